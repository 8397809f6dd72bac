"""What the feature transformer takes: arrays, files, columns, lazy arrays."""

import os
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.backbones import load_backbone

pytestmark = pytest.mark.numerics

N_SAMPLES = 12
SIDE = 32
RTOL = 1e-5


@pytest.fixture(scope="module")
def weights(data_dir):
    return data_dir / "weights" / "resnet20_cifar10.safetensors"


@pytest.fixture(scope="module")
def pixels():
    """Colour images in 0–255 that no resize has to touch."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(N_SAMPLES, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def make(weights):
    def make(**parameters):
        defaults = {"weights": weights, "batch_size": 4}
        return CNNFeatureTransformer("resnet20", **defaults | parameters)

    return make


@pytest.fixture
def features(make, pixels):
    return make().fit_transform(pixels)


def assert_close(features, expected, rtol=RTOL):
    np.testing.assert_allclose(
        features, expected, rtol=0, atol=rtol * np.abs(expected).max()
    )


def normalized(X):
    """Return what resnet20 was trained on, of channels-last bytes."""
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return (torch.from_numpy(X).permute(0, 3, 1, 2) / 255 - mean) / std


def test_features_are_what_the_network_computes(weights, pixels, features):
    module = load_backbone("resnet20", weights).module
    seen = []
    head = [m for m in module.modules() if isinstance(m, torch.nn.Linear)][-1]
    handle = head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        module(normalized(pixels))
    handle.remove()
    assert_close(features, seen[0].numpy())


# Arrays

DTYPES = {
    "uint16": lambda X: X.astype(np.uint16) * 257,
    "big-endian": lambda X: X.astype(">u2") * 257,
    "int16": lambda X: X.astype(np.int16),
    "int32": lambda X: X.astype(np.int32),
    "int64": lambda X: X.astype(np.int64),
    "uint32": lambda X: X.astype(np.uint32),
    "uint64": lambda X: X.astype(np.uint64),
    "float32": lambda X: X.astype(np.float32) / 255,
    "float64": lambda X: X / 255,
    "big-endian-float": lambda X: (X / 255).astype(">f8"),
}


@pytest.mark.parametrize("kind", DTYPES)
def test_pixels_have_the_range_of_their_dtype(make, pixels, features, kind):
    assert_close(make().fit_transform(DTYPES[kind](pixels)), features)


def test_half_precision_is_read_as_it_is(make, pixels, features):
    X = (pixels / 255).astype(np.float16)
    found = make().fit_transform(X)
    assert_close(found, make().fit_transform(X.astype(np.float64)))
    assert_close(found, features, 1e-2)


def test_booleans_are_black_and_white(make, pixels):
    X = pixels > 120
    assert_close(make().fit_transform(X), make().fit_transform(X.astype(float)))
    assert_close(
        make().fit_transform(X), make().fit_transform(X.astype(np.uint8) * 255)
    )


OUT_OF_RANGE = {
    "floats-of-bytes": (lambda X: X.astype(float), "from 0 to 255, .*1"),
    "negative-floats": (lambda X: X / 255 - 0.5, "from -0.5 "),
    "negative": (lambda X: X.astype(np.int16) - 1, "from -1 "),
    "above-255": (lambda X: X.astype(np.int64) + 1, "to 256"),
    "wide": (lambda X: X.astype(np.uint32) * 257, "to 65535"),
    "very-wide": (lambda X: X.astype(np.uint64) << np.uint64(50), "to 9"),
}


@pytest.mark.parametrize("kind", OUT_OF_RANGE)
@pytest.mark.parametrize("cached", [False, True])
def test_pixels_outside_of_the_range_are_refused(make, pixels, kind, cached, tmp_path):
    change, words = OUT_OF_RANGE[kind]
    transformer = make(memory=tmp_path if cached else None)
    with pytest.raises(ValueError, match=f"X has pixels .*{words}"):
        transformer.fit_transform(change(pixels))


def test_channels_may_be_first(make, pixels, features):
    first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(make().fit_transform(first), features)
    np.testing.assert_array_equal(
        make(channel_axis=1).fit_transform(first),
        make(channel_axis=-1).fit_transform(pixels),
    )


def test_grey_images_become_rgb(make, pixels):
    grey = pixels[..., 0]
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    expected = make().fit_transform(rgb)
    np.testing.assert_array_equal(make().fit_transform(grey), expected)
    np.testing.assert_array_equal(make().fit_transform(grey[..., None]), expected)


@pytest.mark.parametrize("shape", [(SIDE, SIDE, 3), (3, SIDE, SIDE), (SIDE, 96)])
def test_flat_rows_have_an_image_shape(make, pixels, shape):
    rows = pixels.reshape(N_SAMPLES, -1)
    parameters = {"image_size": SIDE} if len(shape) == 2 else {}
    expected = make(**parameters).fit_transform(pixels.reshape(N_SAMPLES, *shape))
    transformer = make(image_shape=shape, **parameters)
    np.testing.assert_array_equal(transformer.fit_transform(rows), expected)
    assert transformer.image_shape_ == shape
    assert transformer.n_features_in_ == rows.shape[1]


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_flat_rows_without_an_image_shape_are_an_error(make, pixels, method):
    rows = pixels.reshape(N_SAMPLES, -1)
    with pytest.raises(ValueError, match=r"\(3072,\).*image_shape=\(height, width\)"):
        getattr(make(), method)(rows)


def unaligned(X, folder):
    records = np.zeros(len(X), dtype=[("flag", "u1"), ("image", X.dtype, X.shape[1:])])
    records["image"] = X
    return records["image"]


def memory_map(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


VIEWS = {
    "fortran": lambda X, folder: np.asfortranarray(X),
    "strided": lambda X, folder: np.repeat(X, 2, axis=2)[:, :, ::2],
    "reversed": lambda X, folder: np.ascontiguousarray(X[:, ::-1])[:, ::-1],
    "unaligned": unaligned,
    "memory-map": memory_map,
    "tensor": lambda X, folder: torch.from_numpy(X),
    "list": lambda X, folder: list(X),
    "nested-list": lambda X, folder: X[:, :9, :8].tolist(),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("kind", VIEWS)
def test_where_pixels_lie_in_memory_does_not_matter(
    make, pixels, kind, dtype, tmp_path
):
    X = pixels if dtype == np.uint8 else (pixels / 255).astype(dtype)
    view = VIEWS[kind](X, tmp_path)
    if kind == "nested-list":
        X = np.array(view)
    expected = make().fit_transform(X)
    np.testing.assert_array_equal(make().fit_transform(view), expected)
    cached = make(memory=tmp_path / "cache").fit(X)
    np.testing.assert_array_equal(cached.transform(X), expected)
    np.testing.assert_array_equal(cached.transform(view), expected)
    assert cached.cache_info_.misses == len(X)


def test_the_cache_tells_apart_what_is_read_in_another_way(make, tmp_path):
    """The same bytes as other pixels, shapes, or axes."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, size=(4, 3, SIDE, 3), dtype=np.uint8)
    readings = [
        (X, {"channel_axis": -1}),
        (X, {"channel_axis": 1}),
        (X.reshape(4, SIDE, 3, 3), {"channel_axis": -1}),
        (X.reshape(4, 9, SIDE), {}),
        (X.view(np.int8) // 2 + 64, {"channel_axis": -1}),
        (X > 127, {"channel_axis": -1}),
        (X.reshape(4, -1), {"image_shape": (SIDE, 3, 3), "channel_axis": -1}),
    ]
    for X, parameters in readings:
        expected = make(**parameters).fit_transform(X)
        found = make(**parameters, memory=tmp_path).fit_transform(X)
        np.testing.assert_array_equal(found, expected)


def test_images_of_the_wanted_size_are_not_touched(make, pixels):
    """A resize would change some pixel of noise, and so the features."""
    X = np.random.default_rng(1).integers(0, 256, (4, 40, 24, 3), dtype=np.uint8)
    expected = make(image_size=None).fit_transform(pixels)
    np.testing.assert_array_equal(make(image_size=SIDE).fit_transform(pixels), expected)
    conv = torch.nn.Conv2d(3, 4, 1)
    features = CNNFeatureTransformer(
        torch.nn.Sequential(conv, torch.nn.Identity()),
        preprocessing="resnet20",
        image_size=(40, 24),
        layer="0",
        pooling=None,
    ).transform(X)
    with torch.inference_mode():
        expected = conv(normalized(X)).flatten(1).numpy()
    assert_close(features, expected)


def test_images_of_another_size_are_resized_as_torchvision_does(make):
    from torchvision.transforms.v2 import functional as F

    X = np.random.default_rng(1).integers(0, 256, (4, 80, 64, 3), dtype=np.uint8)
    batch = torch.from_numpy(X).permute(0, 3, 1, 2)
    resized = F.center_crop(F.resize(batch, [40, 32], antialias=True), [SIDE, SIDE])
    expected = make().fit_transform(resized.permute(0, 2, 3, 1).numpy())
    assert_close(make().fit_transform(X), expected)


# Files


@pytest.fixture(scope="module")
def paths(pixels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    found = [folder / f"{index}.png" for index in range(N_SAMPLES)]
    for path, image in zip(found, pixels, strict=True):
        Image.fromarray(image).save(path)
    return found


class Entry(os.PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return os.fspath(self.path)


def object_array(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


SOURCES = {
    "str": lambda paths: [str(path) for path in paths],
    "Path": list,
    "tuple": tuple,
    "PathLike": lambda paths: [Entry(path) for path in paths],
    "bytes": lambda paths: [path.read_bytes() for path in paths],
    "PIL": lambda paths: [Image.open(path) for path in paths],
    "mixed": lambda paths: [
        str(path) if i % 2 else path.read_bytes() for i, path in enumerate(paths)
    ],
    "array": lambda paths: np.array([str(path) for path in paths]),
    "object-array": lambda paths: object_array(paths),
    "column": lambda paths: object_array(paths)[:, None],
    "pandas-series": lambda paths: pd.Series([str(path) for path in paths]),
    "pandas-bytes": lambda paths: pd.Series([path.read_bytes() for path in paths]),
    "pandas-frame": lambda paths: pd.DataFrame({"img": [str(path) for path in paths]}),
    "pandas-index": lambda paths: pd.Series(paths, index=range(50, 50 + len(paths))),
    "polars-series": lambda paths: pl.Series([str(path) for path in paths]),
    "polars-frame": lambda paths: pl.DataFrame({"img": [str(path) for path in paths]}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_files_of_every_kind_are_like_their_pixels(
    make, paths, features, kind, tmp_path
):
    X = SOURCES[kind](paths)
    assert_close(make().fit_transform(X), features)
    assert_close(make().transform(X), features)
    cached = make(memory=tmp_path).fit(X)
    assert_close(cached.transform(X), features)
    assert_close(cached.transform(X), features)
    assert cached.cache_info_ == (N_SAMPLES, N_SAMPLES)


def test_the_cache_knows_a_file_by_its_content(make, paths, features, tmp_path):
    cached = make(memory=tmp_path / "cache").fit(paths)
    cached.transform(paths)
    copies = [tmp_path / path.name for path in paths]
    for path, copy in zip(paths, copies[::-1], strict=True):
        copy.write_bytes(path.read_bytes())
    assert_close(cached.transform(copies), features[::-1])
    assert cached.cache_info_ == (N_SAMPLES, N_SAMPLES)
    copies[0].write_bytes(paths[0].read_bytes())  # another image, the same path
    assert_close(cached.transform(copies[:1]), features[:1])


@pytest.mark.parametrize("columns", ["img", ["img"]], ids=str)
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_column_transformer_passes_files(make, paths, features, columns, library):
    frame = library.DataFrame(
        {"size": list(range(N_SAMPLES)), "img": [str(path) for path in paths]}
    )
    joined = ColumnTransformer(
        [("cnn", make(), columns), ("size", StandardScaler(), ["size"])]
    ).fit(frame)
    found = joined.transform(frame)
    assert_close(found[:, :-1], features)
    names = joined.get_feature_names_out()
    assert names[0] == "cnn__resnet20_penultimate_0"
    assert names[-1] == "size__size"
    assert len(names) == found.shape[1]
    joined.set_output(transform="pandas")
    assert list(joined.transform(frame).columns) == list(names)


def test_a_pipeline_learns_from_files(make, paths):
    y = np.arange(N_SAMPLES) % 2
    pipeline = make_pipeline(make(), StandardScaler(), LogisticRegression(C=100))
    assert pipeline.fit([str(path) for path in paths], y).score(paths, y) == 1


def test_image_shape_and_channel_axis_mean_nothing_to_files(make, paths, features):
    transformer = make(image_shape=(5, 5), channel_axis=1)
    assert_close(transformer.fit_transform(paths), features)


def test_files_for_a_network_that_nothing_is_published_of_are_an_error(paths):
    y = np.arange(N_SAMPLES) % 2
    networks = [
        CNNClassifier(),
        torch.nn.Conv2d(3, 2, 3),
        CNNClassifier(max_epochs=1).fit(np.eye(12), y),
    ]
    for network in networks:
        with pytest.raises(ValueError, match=r"image files, but .* no published"):
            CNNFeatureTransformer(network).fit(paths, y).transform(paths)


def test_files_may_follow_arrays_and_arrays_files(make, paths, pixels, features):
    fitted = make().fit(pixels)
    assert_close(fitted.transform(paths), features)
    fitted = make().fit(paths)
    np.testing.assert_array_equal(fitted.transform(pixels), features)
    assert not hasattr(fitted, "image_shape_")


@pytest.fixture
def broken_paths(paths, tmp_path):
    """Image files of which one is missing, one empty and one cut."""
    found = list(map(str, paths))
    found[2] = str(tmp_path / "missing.png")
    found[5] = str(tmp_path / "empty.png")
    found[6] = str(tmp_path / "cut.png")
    Path(found[5]).touch()
    Path(found[6]).write_bytes(paths[6].read_bytes()[:900])
    return found


BROKEN = [2, 5, 6]


@pytest.mark.parametrize("cached", [False, True])
def test_files_that_cannot_be_read_may_be_skipped(
    make, broken_paths, features, cached, tmp_path
):
    memory = tmp_path / "cache" if cached else None
    transformer = make(on_error="skip", memory=memory).fit(broken_paths)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"3 of 12 images cannot be read"):
            found = transformer.transform(broken_paths)
        good = np.setdiff1d(np.arange(N_SAMPLES), BROKEN)
        assert_close(found[good], features[good])
        assert np.isnan(found[BROKEN]).all()
    with pytest.warns(UserWarning, match="cannot be read"):
        nothing = transformer.transform([broken_paths[row] for row in BROKEN])
    assert nothing.shape == (3, features.shape[1])
    assert nothing.dtype == np.float32
    assert np.isnan(nothing).all()


def test_files_are_turned_upright_whichever_way_they_come(make, data_dir):
    path = data_dir / "odd_images" / "hopper_orientation_6.jpg"
    with Image.open(path) as image:
        pixels = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    transformer = make(image_size=pixels.shape[:2])  # no resize
    expected = transformer.transform(pixels[None])
    for source in (path, path.read_bytes(), Image.open(path)):
        assert_close(transformer.transform([source]), expected)


# Data frames of pixels


def test_feature_names_are_learnt_and_compared(make, pixels):
    rows = pixels.reshape(N_SAMPLES, -1)
    frame = pd.DataFrame(rows, columns=[f"p{index}" for index in range(3072)])
    transformer = make(image_shape=(SIDE, SIDE, 3))
    expected = transformer.transform(rows)
    np.testing.assert_array_equal(transformer.transform(frame), expected)
    np.testing.assert_array_equal(transformer.fit_transform(frame), expected)
    np.testing.assert_array_equal(transformer.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        transformer.transform(frame[frame.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        transformer.transform(rows)


def test_the_name_of_a_column_of_files_is_learnt(make, paths):
    frame = pd.DataFrame({"img": [str(path) for path in paths]})
    fitted = make().fit(frame)
    assert fitted.feature_names_in_.tolist() == ["img"]
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(frame.rename(columns={"img": "path"}))


# Lazy arrays


@pytest.mark.parametrize("chunks", [(5, 32, 32, 3), (4, 16, 32, 1), (12, 32, 32, 3)])
@pytest.mark.parametrize("cached", [False, True])
def test_a_dask_array_gives_a_lazy_one(
    make, pixels, features, chunks, cached, tmp_path
):
    lazy = da.from_array(pixels, chunks=chunks)
    transformer = make(memory=tmp_path if cached else None)
    for found in (transformer.transform(lazy), transformer.fit(lazy).transform(lazy)):
        assert isinstance(found, da.Array)
        assert found.shape == features.shape
        assert found.dtype == features.dtype
        with dask.config.set(scheduler="threads"):
            assert_close(found.compute(), features)


def test_a_dask_array_is_not_read_before_it_is_asked_for(make, pixels):
    def fail(block):
        raise AssertionError("read")

    lazy = da.from_array(pixels, chunks=(4, -1, -1, -1))
    first = lazy[:4]
    rest = lazy[4:].map_blocks(fail, dtype=lazy.dtype, meta=np.empty((0,) * 4, "u1"))
    both = da.concatenate([first, rest])
    features = make().fit(both).transform(both)
    assert features[:4].compute().shape == (4, 64)
    with pytest.raises(AssertionError, match="read"):
        features.compute()


def test_blocks_are_arrays_whatever_the_output_is(make, pixels, features):
    transformer = make().set_output(transform="pandas")
    lazy = da.from_array(pixels, chunks=(5, -1, -1, -1))
    found = transformer.fit(pixels).transform(lazy)
    assert_close(np.asarray(found), features)


def test_double_precision_stays_it_in_a_lazy_array(make, pixels):
    transformer = make(precision="float64")
    lazy = transformer.transform(da.from_array(pixels, chunks=(5, -1, -1, -1)))
    assert lazy.dtype == lazy.compute().dtype == np.float64


def test_a_network_trained_here_takes_a_dask_array(pixels):
    X = pixels[..., 0]
    network = CNNClassifier(max_epochs=1, n_layers=1, n_filters=4, random_state=0)
    transformer = CNNFeatureTransformer(network).fit(X, np.arange(N_SAMPLES) % 2)
    lazy = transformer.transform(da.from_array(X, chunks=(5, -1, -1)))
    assert_close(lazy.compute(), transformer.transform(X))


# Lazy collections of files


def as_bag(paths):
    return pytest.importorskip("dask.bag").from_sequence(paths, npartitions=3)


def as_frame(paths):
    frame = pd.DataFrame({"path": list(map(str, paths))})
    return pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=3)


def as_series(paths):
    return as_frame(paths)["path"]


@pytest.mark.parametrize("collect", [as_bag, as_frame, as_series])
def test_a_dask_collection_of_files_gives_a_lazy_array(collect, make, paths, features):
    lazy = make().fit_transform(collect(paths))
    assert isinstance(lazy, da.Array)
    assert lazy.dtype == features.dtype
    assert lazy.shape[1] == features.shape[1]
    assert lazy.numblocks == (3, 1)
    assert_close(lazy.compute(), features)


def test_files_of_a_collection_are_read_when_they_are_asked_for(make, paths):
    lazy = make().fit_transform(as_bag([*paths, "missing.png"]))
    assert len(lazy.blocks[0].compute()) > 0
    with pytest.raises(ValueError, match=r"missing\.png"):
        lazy.compute()


def test_partitions_of_a_bag_may_be_empty(make, paths, features):
    some = as_bag(paths).filter(lambda path: path in paths[:2])
    assert_close(make().fit_transform(some).compute(), features[:2])
