"""Features of all images of a source, each computed once."""

import contextlib
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from skcnn.backbones import Preprocessing
from skcnn.features import (
    CachedFeatures,
    FeatureCache,
    FileSource,
    compute_features,
)
from skcnn.features.computing import REVISION, FeatureTable


class Source:
    """Numbers in the place of images."""

    def __init__(self, values, unreadable=()):
        self.values = np.asarray(values, dtype=np.float32)
        self.unreadable = set(unreadable)

    def __len__(self):
        return len(self.values)

    def digests(self):
        return [
            None if row in self.unreadable else int(value).to_bytes(16, "big")
            for row, value in enumerate(self.values)
        ]

    def batches(self, chunks):
        for rows in chunks:
            kept = np.array([row for row in rows if row not in self.unreadable])
            if len(kept):
                yield kept, torch.from_numpy(self.values[kept])[:, None]


class Extractor:
    """Two layers: the value, and its square with a constant."""

    canonical_layers = ("value", "square")

    def __init__(self, n_at_once=1):
        self.n_at_once = n_at_once
        self.batches = []
        self.lock = threading.Lock()

    def forward_size(self, batch_size, n_images):
        return batch_size

    def has_finite_weights(self):
        return True

    def __call__(self, batch, batch_size):
        assert len(batch) <= batch_size * self.n_at_once
        with self.lock:
            self.batches.append(batch[:, 0].tolist())
        return batch.clone(), torch.cat([batch**2, torch.ones_like(batch)], dim=1)

    @property
    def seen(self):
        return sorted(value for batch in self.batches for value in batch)


def expected(values):
    values = np.asarray(values, dtype=np.float32)[:, None]
    return [values, np.hstack([values**2, np.ones_like(values)])]


def assert_features(found, values):
    for part, wanted in zip(found, expected(values), strict=True):
        np.testing.assert_array_equal(part, wanted)


def cached(values, extractor, folder, batch_size=4, context="", **parameters):
    source = Source(values, **parameters)
    return CachedFeatures(source, extractor, batch_size, FeatureCache(folder), context)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 1000])
def test_every_row_is_computed_in_its_place(batch_size):
    extractor = Extractor()
    found = compute_features(Source(range(10)), extractor, batch_size)
    assert_features(found, range(10))
    assert [len(batch) for batch in extractor.batches[:-1]] == [batch_size] * (
        len(extractor.batches) - 1
    )


def test_rows_that_cannot_be_read_are_nan(tmp_path):
    for compute in (
        lambda source: compute_features(source, Extractor(), 4),
        lambda source: CachedFeatures(
            source, Extractor(), 4, FeatureCache(tmp_path), ""
        ).compute(),
    ):
        found = compute(Source(range(10), unreadable=[0, 3, 9]))
        good = [1, 2, 4, 5, 6, 7, 8]
        assert_features([part[good] for part in found], good)
        assert all(np.isnan(part[[0, 3, 9]]).all() for part in found)
        assert compute(Source(range(3), unreadable=range(3))) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_an_error_and_not_kept(value, tmp_path):
    class Broken(Extractor):
        def __call__(self, *args):
            return tuple(part * value for part in super().__call__(*args))

    with pytest.raises(ValueError, match="returned NaN or infinity"):
        compute_features(Source(range(1, 5)), Broken(), 2)
    with pytest.raises(ValueError, match="returned NaN or infinity"):
        cached(range(1, 5), Broken(), tmp_path).compute()
    assert len(FeatureCache(tmp_path)) == 0


def test_what_is_cached_is_not_computed(tmp_path):
    extractor = Extractor()
    first = cached(range(6), extractor, tmp_path)
    assert_features(first.compute(), range(6))
    assert first.n_computed == 6
    second = cached([9, 4, 2, 7, 0], extractor, tmp_path)
    assert_features(second.compute(), [9, 4, 2, 7, 0])
    assert second.n_computed == 2
    assert extractor.seen == [0, 1, 2, 3, 4, 5, 7, 9]


def test_equal_images_are_computed_once(tmp_path):
    extractor = Extractor()
    values = [3, 1, 3, 3, 2, 1, 3]
    features = cached(values, extractor, tmp_path)
    assert_features(features.compute(), values)
    assert features.n_computed == 3
    assert extractor.seen == [1, 2, 3]


def test_what_another_revision_kept_is_computed_anew(tmp_path, monkeypatch):
    extractor = Extractor()
    for revision in (REVISION, REVISION, REVISION + 1):
        monkeypatch.setattr("skcnn.features.computing.REVISION", revision)
        cached(range(4), extractor, tmp_path).compute()
    assert extractor.seen == [0, 0, 1, 1, 2, 2, 3, 3]


def test_another_context_or_layer_is_computed_anew(tmp_path):
    extractor = Extractor()
    for context in ("a", "b", "a"):
        assert_features(
            cached(range(4), extractor, tmp_path, context=context).compute(), range(4)
        )
    assert len(extractor.seen) == 8
    extractor.canonical_layers = ("value", "cube")  # one of them is known
    cached(range(4), extractor, tmp_path, context="a").compute()
    assert len(extractor.seen) == 12
    extractor.canonical_layers = ("cube", "value")  # both are, each under its own name
    found = cached(range(4), extractor, tmp_path, context="a").compute()
    assert len(extractor.seen) == 12
    assert_features(found[::-1], range(4))


def test_batches_are_full_whatever_is_cached(tmp_path):
    extractor = Extractor()
    cached(range(0, 40, 3), extractor, tmp_path).compute()
    extractor.batches.clear()
    cached(range(40), extractor, tmp_path, batch_size=5).compute()
    assert [len(batch) for batch in extractor.batches] == [5, 5, 5, 5, 5, 1]


def test_an_extractor_gets_as_many_batches_as_it_computes_at_once(tmp_path):
    extractor = Extractor(n_at_once=3)
    assert_features(compute_features(Source(range(20)), extractor, 2), range(20))
    assert_features(cached(range(20), extractor, tmp_path, 2).compute(), range(20))
    assert [len(batch) for batch in extractor.batches] == 2 * [6, 6, 6, 2]


def test_workers_that_meet_the_same_images_share_the_work(tmp_path):
    extractor = Extractor()
    barrier = threading.Barrier(4)

    def work(start):
        barrier.wait()
        values = np.roll(np.arange(60), start)
        features = cached(values, extractor, tmp_path)
        assert_features(features.compute(), values)
        return features.n_computed

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(work, (0, 15, 30, 45)))
    assert extractor.seen == list(range(60))
    assert sum(counts) == 60


def test_what_a_failed_worker_has_locked_is_computed_by_the_next(tmp_path):
    class Failing(Extractor):
        def __call__(self, *args):
            if len(self.batches) == 2:
                raise KeyboardInterrupt
            return super().__call__(*args)

    with pytest.raises(KeyboardInterrupt):
        cached(range(20), Failing(), tmp_path).compute()
    extractor = Extractor()
    features = cached(range(20), extractor, tmp_path)
    assert_features(features.compute(), range(20))
    assert 12 <= features.n_computed <= 16  # the batch before the fault may be lost


def test_images_that_another_worker_is_at_come_last(tmp_path):
    other = FeatureCache(tmp_path)
    lock = other.lock(3)

    class Watched(Extractor):
        """Has the other worker store its image after two of three batches."""

        def __call__(self, *args):
            outputs = super().__call__(*args)
            if len(self.batches) == 2:
                pool.submit(finish)
            return outputs

    def finish():
        """Store the image 3 and let go of 3 and 19, which is still missing."""
        store(other, features, 3)
        time.sleep(0.2)
        lock.release()

    extractor = Watched()
    features = cached(range(20), extractor, tmp_path, batch_size=6)
    with ThreadPoolExecutor(1) as pool:
        assert_features(features.compute(), range(20))
    assert [len(batch) for batch in extractor.batches] == [6, 6, 6, 1]
    assert extractor.batches[-1] == [19]
    assert features.n_computed == 19


def store(cache, features, value):
    """Store the features of a value as another worker would."""
    parts = [part[0] for part in expected([value])]
    keys = [value.to_bytes(16, "big") + suffix for suffix in features.suffixes]
    cache.store(dict(zip(keys, parts, strict=True)))


def test_a_worker_that_hangs_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("skcnn.features.computing.PATIENCE", 0.1)
    lock = FeatureCache(tmp_path).lock(3)
    features = cached([3, 19, 4], Extractor(), tmp_path)
    with pytest.warns(UserWarning, match="locked it and stores nothing"):
        assert_features(features.compute(), [3, 19, 4])
    assert features.n_computed == 3
    lock.release()


def test_a_worker_that_is_slow_is_waited_for(tmp_path):
    class Slow(FeatureCache):
        """Another worker stores one image in the time that one waits for it."""

        values = [3, 19, 35]

        def lock(self, stripe, timeout=0):
            if timeout:
                store(self, features, self.values.pop())
            return None if self.values else super().lock(stripe, timeout)

    source = Source([3, 19, 35])
    features = CachedFeatures(source, Extractor(), 4, Slow(tmp_path), "")
    assert_features(features.compute(), [3, 19, 35])
    assert features.n_computed == 0


@pytest.mark.parametrize("n_wrong", [1, 5])
def test_rows_of_another_width_are_damage(n_wrong, tmp_path):
    features = cached(range(6), Extractor(), tmp_path)
    FeatureCache(tmp_path).store(
        {
            value.to_bytes(16, "big") + suffix: np.zeros(5, "float32")
            for value in range(n_wrong)
            for suffix in features.suffixes
        }
    )
    with pytest.warns(UserWarning, match="features of other widths .* emptied"):
        found = features.compute()
    assert_features(found, range(6))
    again = cached(range(6), Extractor(), tmp_path)
    assert_features(again.compute(), range(6))
    assert again.n_computed == 0


def test_unreadable_rows_of_other_workers_are_waited_for_by_no_one(tmp_path):
    """Stripes with images that could not be read are released at the end."""

    class Decoding(Source):
        def digests(self):  # the fault shows when the image is decoded
            return [int(value).to_bytes(16, "big") for value in self.values]

    for _ in range(2):
        source = Decoding(range(8), unreadable=[5])
        features = CachedFeatures(source, Extractor(), 4, FeatureCache(tmp_path), "")
        found = features.compute()
        assert np.isnan(found[0][5]).all()
        good = [0, 1, 2, 3, 4, 6, 7]
        assert_features([part[good] for part in found], good)


class Brightness(Extractor):
    """The brightness of images, which are grey, in the place of the value."""

    def __call__(self, batch, batch_size):
        return super().__call__(batch.mean((2, 3)), batch_size)


def open_files(paths):
    """Return the source of grey files, in the values of their pixels."""
    preprocessing = Preprocessing(
        crop_size=(8, 8),
        resize_size=None,
        interpolation="bilinear",
        mean=(0,),
        std=(1 / 255,),
    )
    return FileSource(paths, preprocessing, torch.device("cpu"), torch.float32, "skip")


def write_files(folder, values):
    """Write images that are grey all over, and what is no image for None."""
    paths = [folder / f"{row}.png" for row in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        if value is None:
            path.write_bytes(b"garbage")
        else:
            Image.new("L", (8, 8), value).save(path)
    return paths


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_each_of_equal_files_that_cannot_be_read_is_named(batch_size, tmp_path):
    paths = write_files(tmp_path, [7, None, 7, 9, 20, None, 30, None, 40])
    paths[3] = tmp_path / "absent.png"
    good = [0, 2, 4, 6, 8]
    extractor = Brightness()
    sources = open_files(paths), open_files(paths)
    cache = FeatureCache(tmp_path / "cache")
    features = CachedFeatures(sources[0], extractor, batch_size, cache, "")
    with pytest.warns(UserWarning, match="4 of 9 images cannot be read") as caught:
        found = features.compute()
    assert extractor.seen == [7, 20, 30, 40]
    with pytest.warns(UserWarning, match="4 of 9 images cannot be read") as uncached:
        without_cache = compute_features(sources[1], extractor, batch_size)
    assert [str(w.message) for w in caught] == [str(w.message) for w in uncached]
    assert sources[0].files.failed == sources[1].files.failed
    for features in (found, without_cache):
        assert_features([part[good] for part in features], [7, 7, 20, 30, 40])
        assert all(np.isnan(part[[1, 3, 5, 7]]).all() for part in features)


def test_a_file_equal_to_one_that_was_changed_meanwhile_is_computed(tmp_path):
    paths = write_files(tmp_path, [5, 5, 6, 5])
    cache = FeatureCache(tmp_path / "cache")
    features = CachedFeatures(open_files(paths), Brightness(), 2, cache, "")
    Image.new("L", (8, 8), 9).save(paths[0])
    paths[3].unlink()
    with pytest.warns(UserWarning, match="2 of 4 images cannot be read"):
        found = features.compute()
    assert_features([part[[1, 2]] for part in found], [5, 6])
    assert np.isnan(found[0][[0, 3]]).all()
    source = open_files(paths[:3])
    again = CachedFeatures(source, Brightness(), 2, cache, "")
    assert_features(again.compute(), [9, 5, 6])
    assert again.n_computed == 1


def test_a_cache_that_stays_locked_costs_one_wait_and_no_features(
    tmp_path, monkeypatch
):
    cached(range(8), Extractor(), tmp_path).compute()
    monkeypatch.setattr("skcnn.features.database.BUSY_TIMEOUT", 0.2)
    path = tmp_path / "features.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        with pytest.warns(UserWarning, match="locked") as caught:
            found = cached(range(72), Extractor(), tmp_path, batch_size=8).compute()
        assert time.monotonic() - begin < 2  # of 19 waits, it would be 4
    assert len(caught) == 1
    assert_features(found, range(72))
    again = cached(range(72), Extractor(), tmp_path)
    assert_features(again.compute(), range(72))
    assert again.n_computed == 64


def test_a_table_that_is_filled_in_parts_is_nan_elsewhere():
    table = FeatureTable(4)
    assert table.arrays is None
    table.fill(np.array([2, 0]), [np.array([[1.0], [2.0]]), np.ones((2, 3))])
    table.fill(np.array([3]), [np.array([[5.0]]), np.zeros((1, 3))])
    np.testing.assert_array_equal(table.arrays[0], [[2], [np.nan], [1], [5]])
    assert table.arrays[1].shape == (4, 3)
    assert np.isnan(table.arrays[1][1]).all()
