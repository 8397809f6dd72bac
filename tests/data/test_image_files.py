import io
import os
import pickle
import shutil
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from skcnn import CNNFeatureTransformer
from skcnn.data import ImageFiles, decode_files
from skcnn.data.device_transfer import BATCHES_AHEAD
from skcnn.data.image_decoding import ImageFileError, decode_image
from skcnn.data.image_files import DecodedImages

SIZE = (8, 6)
N_FILES = 24


def resize(image):
    return image.resize(SIZE)


@pytest.fixture
def paths(tmp_path, rng):
    """Images of unequal sizes."""
    paths = [tmp_path / f"{index}.png" for index in range(N_FILES)]
    for path in paths:
        height, width = rng.integers(5, 20, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def with_failures(paths):
    """The same, with a missing, an empty and a truncated file in rows 2, 5 and 7."""
    paths[2].unlink()
    paths[5].write_bytes(b"")
    paths[7].write_bytes(paths[7].read_bytes()[:-60])
    return paths


def encode(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoding_threads():
    names = [thread.name for thread in threading.enumerate()]
    return sum(name.startswith("skcnn-decode") for name in names)


def split(n_rows, n_batches):
    return np.array_split(np.arange(n_rows), n_batches)


class CountedResize:
    """Resizes, and knows how often it was called and in which threads."""

    def __init__(self, seconds=0, n_fast=0):
        self.seconds = seconds
        self.n_fast = n_fast
        self.lock = threading.Lock()
        self.threads = []

    def __call__(self, image):
        if len(self.threads) >= self.n_fast:
            time.sleep(self.seconds)
        with self.lock:
            self.threads.append(threading.get_ident())
        return resize(image)


@pytest.mark.parametrize("n_threads", [1, 3, None])
@pytest.mark.parametrize(("mode", "n_channels"), [("RGB", 3), ("L", 1)])
def test_batches_hold_the_files_in_the_order_of_their_rows(
    paths, rng, n_threads, mode, n_channels
):
    files = ImageFiles(paths, resize, mode=mode, n_threads=n_threads)
    assert len(files) == N_FILES
    order = rng.permutation(N_FILES)
    row_arrays = np.array_split(order, 5)
    batches = list(files.batches(iter(row_arrays)))
    assert len(batches) == 5
    for (rows, pixels), expected_rows in zip(batches, row_arrays, strict=True):
        assert np.array_equal(rows, expected_rows)
        assert pixels.dtype == torch.uint8
        assert pixels.shape == (len(rows), *SIZE[::-1], n_channels)
        for row, image in zip(rows, pixels, strict=True):
            expected = resize(decode_image(paths[row], mode))
            assert np.array_equal(image.squeeze(2), expected)


def test_a_row_may_come_again_and_files_may_be_read_again(paths):
    files = ImageFiles(paths, resize)
    for _ in range(2):
        ((rows, pixels),) = files.batches([np.array([3, 1, 3])])
        assert rows.tolist() == [3, 1, 3]
        assert torch.equal(pixels[0], pixels[2])
        assert not torch.equal(pixels[0], pixels[1])


def test_the_short_side_reduces_large_jpegs(rng):
    image = Image.new("RGB", (2400, 2400), "red")
    sizes = []

    def note_size(image):
        sizes.append(image.size)
        return resize(image)

    files = ImageFiles([encode(image, "JPEG")], note_size, short_side=50)
    assert len(list(files.batches([np.array([0])]))) == 1
    assert sizes == [(600, 600)]


def test_no_more_than_two_batches_are_decoded_ahead(paths):
    counted, taken = CountedResize(), []

    def row_arrays():
        for rows in split(N_FILES, N_FILES // 2):
            taken.append(rows)
            yield rows

    files = ImageFiles(paths, counted, n_threads=4)
    batches = files.batches(row_arrays())
    assert (taken, counted.threads) == ([], [])
    for n_batches, _ in enumerate(batches, start=1):
        assert len(taken) <= n_batches + BATCHES_AHEAD
        assert len(counted.threads) <= 2 * (n_batches + BATCHES_AHEAD)
    assert len(taken) == N_FILES // 2
    assert len(counted.threads) == N_FILES


@pytest.mark.parametrize("n_threads", [1, 2])
def test_no_more_threads_decode_than_were_asked_for(paths, n_threads):
    counted = CountedResize()
    files = ImageFiles(paths, counted, n_threads=n_threads)
    assert sum(len(rows) for rows, _ in files.batches(split(N_FILES, 3))) == N_FILES
    assert 1 <= len(set(counted.threads)) <= n_threads
    assert threading.get_ident() not in counted.threads


def test_threads_end_when_the_batches_do(paths):
    files = ImageFiles(paths, resize, n_threads=2)
    batches = files.batches(split(N_FILES, 8))
    assert decoding_threads() == 0
    next(batches)
    assert decoding_threads() > 0
    assert len(list(batches)) == 7
    assert decoding_threads() == 0


def test_threads_end_and_decoding_stops_when_the_batches_are_closed(paths):
    counted = CountedResize(seconds=0.1, n_fast=N_FILES // 2)
    batches = ImageFiles(paths, counted, n_threads=1).batches(split(N_FILES, 2))
    next(batches)
    batches.close()
    assert decoding_threads() == 0
    assert len(counted.threads) < N_FILES - 4


def test_threads_end_when_the_rows_raise(paths):
    def row_arrays():
        yield np.arange(3)
        raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError, match="no more rows"):
        list(ImageFiles(paths, resize, n_threads=2).batches(row_arrays()))
    assert decoding_threads() == 0


def test_an_error_of_resize_is_no_fault_of_the_file(paths):
    def fail(image):
        raise ZeroDivisionError

    files = ImageFiles(paths, fail, on_error="skip", n_threads=2)
    with pytest.raises(ZeroDivisionError):
        list(files.batches(split(N_FILES, 8)))
    assert decoding_threads() == 0
    assert files.failed == {}


def test_an_image_that_becomes_too_large_fails_as_its_file_does(paths):
    def resize(image):
        raise OverflowError("has too many pixels.")

    with pytest.raises(ImageFileError, match=r"Row 0 .*png' has too many pixels\."):
        list(ImageFiles(paths[:1], resize).batches([[0]]))
    files = ImageFiles(paths[:1], resize, on_error="skip")
    with pytest.warns(UserWarning, match="1 of 1 images cannot be read"):
        assert list(files.batches([[0]])) == []


def test_the_first_row_that_fails_is_an_error_and_the_others_are_left(with_failures):
    counted = CountedResize(seconds=0.1)
    files = ImageFiles(with_failures, counted, n_threads=2)
    words = r"Row 2 of X: '.*2\.png' does not exist"
    with pytest.raises(ImageFileError, match=words) as caught:
        list(files.batches(split(N_FILES, 1)))
    assert decoding_threads() == 0
    assert len(counted.threads) < N_FILES // 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_rows_that_fail_are_left_out_with_one_warning(with_failures):
    files = ImageFiles(with_failures, resize, on_error="skip")
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        batches = list(files.batches(split(N_FILES, 5)))
    rows = np.concatenate([rows for rows, _ in batches])
    assert rows.tolist() == [row for row in range(N_FILES) if row not in (2, 5, 7)]
    assert all(len(rows) == len(pixels) for rows, pixels in batches)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert f"3 of {N_FILES} images" in text
    for row, reason in {2: "does not exist", 5: "empty", 7: "damaged"}.items():
        assert f"{row}.png' " in text
        assert reason in files.failed[row]
        assert files.failed[row] in text
    assert set(files.failed) == {2, 5, 7}


def test_the_warning_shows_the_first_few_of_many_failures(tmp_path):
    missing = [tmp_path / f"{row}.jpg" for row in range(100)]
    files = ImageFiles(missing, resize, on_error="skip")
    with pytest.warns(UserWarning, match="100 of 100 images") as caught:
        assert list(files.batches(split(100, 3))) == []
    text = str(caught[0].message)
    assert [f"Row {row} of X" in text for row in range(4)] == [True, True, True, False]
    assert text.endswith("...")


def test_what_was_warned_of_is_not_warned_of_again(with_failures):
    files = ImageFiles(with_failures, resize, on_error="skip")
    with pytest.warns(UserWarning, match="3 of 24"):
        list(files.batches(split(N_FILES, 2)))
    with_failures[10].unlink()
    with pytest.warns(UserWarning, match="1 of 24 images cannot.*\nRow 10|Row 10"):
        list(files.batches(split(N_FILES, 2)))
    list(files.batches(split(N_FILES, 2)))


def test_closing_the_batches_early_warns_of_what_failed_so_far(with_failures):
    files = ImageFiles(with_failures, resize, on_error="skip")
    batches = files.batches(split(N_FILES, 8))
    assert next(batches)[0].tolist() == [0, 1]
    with pytest.warns(UserWarning, match="cannot be read"):
        batches.close()
    assert 2 in files.failed


def test_animations_are_warned_of_once(paths):
    frames = [Image.new("L", (9, 9), grey) for grey in (0, 100, 200)]
    movie = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    files = ImageFiles([paths[0], movie, movie, paths[1], movie], resize)
    words = r"3 of 5 images have several frames.*row 1: Encoded image of \d+ bytes"
    with pytest.warns(UserWarning, match=words) as caught:
        ((_, pixels),) = files.batches([np.arange(5)])
    assert len(caught) == 1
    assert pixels[1].max() == 0
    list(files.batches([np.arange(5)]))


def test_no_thread_changes_the_filters_of_warnings(paths):
    before = list(warnings.filters)
    list(ImageFiles(paths, resize, n_threads=4).batches(split(N_FILES, 4)))
    assert warnings.filters == before


def test_one_pil_image_may_stand_in_many_rows_unloaded(paths, monkeypatch):
    load, busy = ImageFile.ImageFile.load, []

    def slow_load(image):
        if not image.tile:  # loaded already
            return load(image)
        busy.append(image)
        time.sleep(0.01)
        assert len(busy) == 1
        result = load(image)
        busy.pop()
        return result

    exif = Image.Exif()
    exif[0x112] = 6
    data = encode(decode_image(paths[0]).resize((64, 48)), "JPEG", exif=exif)
    expected = resize(decode_image(data))
    monkeypatch.setattr(ImageFile.ImageFile, "load", slow_load)
    with Image.open(io.BytesIO(data)) as image:
        ((_, pixels),) = ImageFiles([image] * 9, resize, n_threads=3).batches(
            [range(9)]
        )
    assert all(np.array_equal(image, expected) for image in pixels)
    with Image.open(io.BytesIO(data)) as image:
        digests = ImageFiles([image] * 99, resize, n_threads=3).digests(range(99))
    assert len(set(digests)) == 1


def test_a_pil_image_with_odd_exif_is_read():
    image = Image.new("RGB", SIZE, "red")
    image.info["exif"] = b"nonsense"
    files = ImageFiles([image], resize)
    ((_, pixels),) = files.batches([np.array([0])])
    assert np.array_equal(pixels[0], image)
    assert len(files.digests([0])[0]) == 16


def test_a_pil_image_that_was_closed_says_so(paths):
    with Image.open(paths[0]) as image:
        pass
    with pytest.raises(ImageFileError, match="was closed before it was read"):
        list(ImageFiles([image], resize).batches([[0]]))


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (10, 0)])
def test_a_pil_image_without_pixels_is_an_error(size):
    with pytest.raises(ImageFileError, match=rf"no pixels \({size[0]} x {size[1]}\)"):
        list(ImageFiles([Image.new("RGB", size)], resize).batches([[0]]))


@pytest.mark.parametrize("content", [b"x", b"xx", b"xxx"])
def test_a_few_bytes_are_no_image(content):
    with pytest.raises(ImageFileError, match="is not an image in a format"):
        list(ImageFiles([content], resize).batches([[0]]))


def test_a_pil_image_that_cannot_be_loaded_is_named(with_failures):
    data = encode(Image.new("RGB", (64, 64)), "JPEG")
    image = Image.open(io.BytesIO(data[:-30]))
    files = ImageFiles([with_failures[0], image], resize)
    for call in (files.digests, lambda rows: list(files.batches([rows]))):
        with pytest.raises(ImageFileError, match="Row 1 of X: PIL image of mode RGB"):
            call(np.arange(2))


def test_digests_tell_contents_apart_wherever_they_come_from(paths):
    encoded = [path.read_bytes() for path in paths]
    digests = ImageFiles(paths, resize).digests(range(N_FILES))
    assert [len(digest) for digest in digests] == [16] * N_FILES
    assert len(set(digests)) == N_FILES
    assert ImageFiles(encoded, resize, n_threads=1).digests(range(N_FILES)) == digests
    some = ImageFiles(list(map(str, paths)), resize).digests(np.array([7, 3, 7]))
    assert some == [digests[7], digests[3], digests[7]]
    assert decoding_threads() == 0


def test_digests_of_many_rows_keep_their_order():
    sources = [index.to_bytes(2) for index in range(200)]
    files = ImageFiles(sources, resize, n_threads=4)
    digests = files.digests(range(200))
    assert digests == [files.digests([row])[0] for row in range(200)]


def with_info(image, **info):
    image = image.copy()
    image.info.update(info)
    return image


def test_digests_of_pil_images_differ_with_all_that_decides_their_pixels():
    grey = Image.new("L", (6, 4), 7)
    palette = Image.new("P", (6, 4), 7)
    red = palette.copy()
    red.putpalette([255, 0, 0] * 8)
    wide = Image.new("I", (6, 4), 7)
    read_from_16_bits = wide.copy()
    read_from_16_bits.format = "PPM"
    exif = Image.Exif()
    exif[0x112] = 6
    images = [
        grey,
        grey.resize((4, 6)),
        Image.new("L", (6, 4), 8),
        palette,
        red,
        with_info(red, transparency=7),
        with_info(grey, exif=exif.tobytes()),
        wide,
        read_from_16_bits,
    ]
    digests = ImageFiles(images, resize).digests(range(len(images)))
    assert len(set(digests)) == len(images)
    copies = [with_info(image, dpi=(72, 72)) for image in images]
    copies[-1].format = "PPM"
    assert ImageFiles(copies, resize).digests(range(len(images))) == digests


def test_a_file_that_cannot_be_hashed_is_an_error_that_names_its_row(paths):
    paths[3].unlink()
    with pytest.raises(ImageFileError, match=r"Row 3 of X: '.*3.png' does not exist"):
        ImageFiles(paths, resize).digests(range(N_FILES))
    assert decoding_threads() == 0


def test_a_file_that_cannot_be_hashed_has_no_digest_and_is_left_out(paths):
    paths[3].unlink()
    files = ImageFiles(paths, resize, on_error="skip")
    digests = files.digests(range(N_FILES))
    assert [row for row in range(N_FILES) if digests[row] is None] == [3]
    Image.new("RGB", SIZE).save(paths[3])  # too late: its features would have no key
    with pytest.warns(UserWarning, match="1 of 24 images cannot be read"):
        ((rows, _),) = files.batches([np.arange(N_FILES)])
    assert 3 not in rows


@pytest.mark.parametrize("change", ["replaced", "written to"])
def test_a_file_that_changes_after_it_was_hashed_is_no_longer_that_file(
    paths, tmp_path, change
):
    files = ImageFiles(paths[:3], resize, on_error="skip")
    digests = files.digests(range(3))
    if change == "replaced":
        shutil.copy(paths[3], tmp_path / "new.png")
        os.replace(tmp_path / "new.png", paths[1])
    else:
        with open(paths[1], "ab") as file:
            file.write(b"more")
    with pytest.warns(UserWarning, match="Row 1 .* was changed while it was read"):
        ((rows, _),) = files.batches([np.arange(3)])
    assert rows.tolist() == [0, 2]
    assert None not in digests


def test_failures_of_hashing_are_warned_of_where_nothing_is_decoded(paths):
    paths[3].unlink()
    files = ImageFiles(paths, resize, on_error="skip")
    files.digests(range(N_FILES))
    with pytest.warns(UserWarning, match=r"Row 3 of X: .*does not exist"):
        assert list(files.batches([])) == []


@pytest.fixture
def decoded(rng):
    images = [
        Image.fromarray(rng.integers(0, 256, (6, 4, 3), np.uint8)) for _ in range(70)
    ]
    return ImageFiles(images, lambda image: image)


@pytest.mark.parametrize("memory_limit", [2**20, 1])
def test_pixels_are_those_of_the_files_in_their_order(decoded, memory_limit):
    pixels = decode_files(decoded, (6, 4, 3), memory_limit)
    assert isinstance(pixels, DecodedImages)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, [np.asarray(f) for f in decoded.sources])
    assert isinstance(pixels[[1, 2]], DecodedImages)


def test_beyond_the_limit_pixels_are_in_a_file_without_a_name(
    decoded, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = decode_files(decoded, (6, 4, 3), memory_limit=1)
    assert isinstance(pixels.base, np.memmap)
    assert list(tmp_path.iterdir()) == []
    pixels[0] = 7
    assert (pixels[0] == 7).all()


def test_arrays_of_unequal_sizes_are_read_like_pil_images(rng):
    arrays = [rng.integers(0, 256, (n, 9, 3), dtype=np.uint8) for n in (5, 12, 7)]
    images = [Image.fromarray(array) for array in arrays]
    ours, theirs = ImageFiles(arrays, resize), ImageFiles(images, resize)
    ((_, pixels),) = ours.batches([np.arange(3)])
    ((_, expected),) = theirs.batches([np.arange(3)])
    assert torch.equal(pixels, expected)
    assert ours.digests(range(3)) == theirs.digests(range(3))


def test_an_array_that_cannot_be_read_is_named():
    arrays = [np.zeros((4, 5)), np.full((5, 4), 3.0)]
    words = r"Row 1 of X: Array of shape \(5, 4\) has pixels from 3 to 3"
    with pytest.raises(ImageFileError, match=words):
        list(ImageFiles(arrays, resize).batches([[0, 1]]))
    files = ImageFiles(arrays, resize, on_error="skip")
    with pytest.warns(UserWarning, match="1 of 2 images cannot be read"):
        ((rows, _),) = files.batches([[0, 1]])
    assert rows.tolist() == [0]


def test_estimators_that_resize_take_arrays_of_unequal_sizes(rng):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(2))
    arrays = [rng.integers(0, 256, (n, 9, 3), dtype=np.uint8) for n in (10, 12, 11)]
    resizing = CNNFeatureTransformer(
        network, preprocessing="resnet20", layer="0", image_size=8
    )
    images = [Image.fromarray(array) for array in arrays]
    np.testing.assert_array_equal(
        resizing.fit_transform(arrays), resizing.transform(images)
    )
    other = CNNFeatureTransformer(network, layer="0")
    with pytest.raises(ValueError, match=r"such as \(10, 9, 3\) and \(11, 9, 3\)"):
        other.fit(arrays)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_values_are_errors_or_left_out_like_files(paths, missing):
    sources = [paths[0], missing, paths[1], missing]
    with pytest.raises(ImageFileError, match=r"missing value \(.*\) in row 1"):
        ImageFiles(sources, resize)
    files = ImageFiles(sources, resize, on_error="skip")
    assert [digest is None for digest in files.digests(range(4))] == [0, 1, 0, 1]
    with pytest.warns(UserWarning, match=r"2 of 4 images cannot be read.*row 1"):
        ((rows, _),) = files.batches([np.arange(4)])
    assert rows.tolist() == [0, 2]


@pytest.mark.parametrize("memory", [False, True])
def test_a_transformer_gives_missing_values_rows_of_nan(paths, tmp_path, memory):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(2))
    transformer = CNNFeatureTransformer(
        network,
        preprocessing="resnet20",
        layer="0",
        image_size=8,
        on_error="skip",
        memory=tmp_path / "cache" if memory else None,
    )
    for sources in ([paths[0], None, paths[1]], [None, None]):
        with pytest.warns(UserWarning, match=f"{sources.count(None)} of"):
            features = transformer.fit_transform(np.array(sources, dtype=object))
        is_nan = np.isnan(features).all(axis=1)
        assert is_nan.tolist() == [source is None for source in sources]
