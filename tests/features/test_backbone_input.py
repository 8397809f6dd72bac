"""Where the images of an extraction come from."""

import numpy as np
import pytest
import torch
from PIL import Image

from skcnn.backbones import Preprocessing
from skcnn.data import ChannelScaler, find_layout
from skcnn.features import ArraySource, FileSource, PublishedScaling

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing(
    crop_size=(8, 8),
    resize_size=None,
    interpolation="bilinear",
    mean=(0.2, 0.4, 0.6),
    std=(0.5, 0.25, 0.2),
)
MEAN = torch.tensor(PREPROCESSING.mean).view(3, 1, 1)
STD = torch.tensor(PREPROCESSING.std).view(3, 1, 1)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, size=(10, 8, 8, 3), dtype=np.uint8)


def make_source(X, dtype=torch.float32, **reading):
    layout = find_layout(X.shape[1:], **reading)
    return ArraySource(X, PublishedScaling(PREPROCESSING, layout, X.dtype), CPU, dtype)


def take_all(source, size=4):
    """Return the batches of a source, joined, and their rows."""
    rows = np.arange(len(source))
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    found = list(source.batches(chunks))
    return np.concatenate([r for r, _ in found]), torch.cat([b for _, b in found])


def test_arrays_become_normalised_batches(pixels):
    rows, batch = take_all(make_source(pixels))
    assert rows.tolist() == list(range(10))
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(batch, (x - MEAN) / STD)
    assert batch.dtype == torch.float32


def test_batches_are_channels_last_in_memory(pixels):
    source = make_source(pixels)
    (_, batch), *_ = source.batches([np.arange(4)])
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int64", "uint32", "uint64", "f8"])
def test_pixels_are_scaled_by_the_range_of_their_dtype(pixels, dtype):
    factor = {"uint16": 257, ">u2": 257, "f8": 1 / 255}.get(dtype, 1)
    X = (pixels * factor if dtype == "f8" else pixels.astype(dtype) * factor).astype(
        dtype
    )
    _, batch = take_all(make_source(X))
    torch.testing.assert_close(batch, take_all(make_source(pixels))[1])


def test_a_learnt_scale_is_used_as_it_is(pixels):
    scaler = ChannelScaler(find_layout(pixels.shape[1:])).fit(pixels)
    _, batch = take_all(ArraySource(pixels, scaler, CPU, torch.float32))
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    std = batch.std((0, 2, 3), correction=0)
    torch.testing.assert_close(std, torch.ones(3))


def test_digests_tell_images_apart_and_nothing_else(pixels):
    digests = make_source(pixels).digests()
    assert len(set(digests)) == 10
    assert all(isinstance(digest, bytes) and len(digest) == 16 for digest in digests)
    order = np.random.default_rng(1).permutation(10)
    assert make_source(pixels[order]).digests() == [digests[row] for row in order]
    for view in (
        np.asfortranarray(pixels),
        np.repeat(pixels, 2, axis=2)[:, :, ::2],
        np.ascontiguousarray(pixels[:, ::-1])[:, ::-1],
    ):
        assert make_source(view).digests() == digests
    changed = pixels.copy()
    changed[3, 0, 0, 0] ^= 1
    differing = [
        a != b for a, b in zip(make_source(changed).digests(), digests, strict=True)
    ]
    assert differing == [row == 3 for row in range(10)]


def test_the_same_bytes_read_in_another_way_have_other_digests(pixels):
    X = np.ascontiguousarray(pixels[:, :3])  # (10, 3, 8, 3)
    sources = [
        make_source(X, channel_axis=-1),
        make_source(X, channel_axis=1),
        make_source(X.reshape(10, 8, 3, 3), channel_axis=-1),
        make_source(X.view(np.int8), channel_axis=-1),
        make_source(X.reshape(10, -1), image_shape=(3, 8, 3), channel_axis=-1),
    ]
    digests = [digest for source in sources for digest in source.digests()]
    assert len(set(digests)) == len(digests)


def test_files_become_normalised_batches(pixels, tmp_path):
    paths = [tmp_path / f"{row}.png" for row in range(10)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    source = FileSource(paths, PREPROCESSING, CPU, torch.float32, "raise")
    rows, batch = take_all(source)
    assert rows.tolist() == list(range(10))
    torch.testing.assert_close(batch, take_all(make_source(pixels))[1])
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_files_that_fail_are_left_out_and_warned_of_once(pixels, tmp_path):
    path = tmp_path / "0.png"
    Image.fromarray(pixels[0]).save(path)
    empty = tmp_path / "empty.png"
    empty.touch()
    files = [path, tmp_path / "missing.png", empty, path]
    source = FileSource(files, PREPROCESSING, CPU, torch.float32, "skip")
    digests = source.digests()
    assert [digest is None for digest in digests] == [False, True, False, False]
    assert digests[0] == digests[3]
    with pytest.warns(UserWarning, match=r"2 of 4 images (.|\n)*missing(.|\n)*empty"):
        rows, batch = take_all(source)
    assert list(source.batches([])) == []  # without another warning
    assert rows.tolist() == [0, 3]
    assert torch.equal(batch[0], batch[1])


def test_grey_networks_get_grey_files(pixels, tmp_path):
    path = tmp_path / "0.png"
    Image.fromarray(pixels[0]).save(path)
    grey = Preprocessing((8, 8), None, "bilinear", (0.5,), (0.5,))
    source = FileSource([path], grey, CPU, torch.float32, "raise")
    _, batch = take_all(source)
    with Image.open(path) as image:
        expected = torch.from_numpy(np.array(image.convert("L"))) / 255
    torch.testing.assert_close(batch, ((expected - 0.5) / 0.5)[None, None])
