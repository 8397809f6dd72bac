import numpy as np
import pytest
import torch

from skcnn.data import MEMORY_FORMATS, Batches, ScaledImages, TrainingSet
from skcnn.data.image_batches import SCALED_SIZE
from skcnn.runtime import make_generator


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def strided(X):
    wide = np.zeros((2 * len(X), *X.shape[1:-1], X.shape[-1] + 2), X.dtype)
    wide[::2, ..., 1:-1] = X
    return wide[::2, ..., 1:-1]


def negative_stride(X):
    return X[:, ::-1].copy()[:, ::-1]


def field_of_records(X):
    records = np.zeros(len(X), dtype=[("label", "u1"), ("image", "f4", X.shape[1:])])
    records["image"] = X
    return records["image"]


def unaligned(X):
    X = X.astype("f4")
    memory = np.zeros(X.nbytes + 1, "u1")[1:]
    memory[:] = X.view("u1").ravel()
    return memory.view("f4").reshape(X.shape)


KINDS = {
    "contiguous": np.copy,
    "read-only": read_only,
    "strided": strided,
    "Fortran": np.asfortranarray,
    "negative stride": negative_stride,
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
    "field of records": field_of_records,
    "unaligned": unaligned,
}
KINDS |= {
    dtype: lambda X, dtype=dtype: X.astype(dtype)
    for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "g")
}
KINDS |= {
    dtype: lambda X, dtype=dtype: X.astype(dtype) for dtype in (">u2", ">i8", ">f4")
}
INDICES = {
    "all": slice(None),
    "slice": slice(2, 5),
    "shuffled": torch.tensor([5, 0, 3]),
    "one": torch.tensor([4]),
}


@pytest.fixture
def X(rng):
    """Return images whose values every dtype but bool holds exactly."""
    return rng.integers(0, 120, size=(7, 6, 5, 3)).astype(np.float64)


@pytest.fixture(params=KINDS)
def array(request, X):
    return KINDS[request.param](X)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_batches_are_those_of_the_float64_array(array, index, make_images):
    batch = make_images(array).take(index)
    expected = make_images(np.array(array, np.float64)).take(index)
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_batches_of_bools_are_those_of_zeros_and_ones(rng, index, make_images):
    X = rng.random((7, 6, 5, 3)) < 0.3
    expected = make_images(X.astype(np.float64)).take(index)
    torch.testing.assert_close(make_images(X).take(index), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2"]
)
def test_the_whole_range_of_integers_is_kept(rng, dtype, make_images):
    ends = np.iinfo(dtype)
    native = ends.dtype.newbyteorder("=")
    X = rng.integers(ends.min, ends.max, size=(7, 6, 5, 3), dtype=native)
    batch = make_images(X.astype(dtype)).take(slice(2, 5))
    expected = make_images(X.astype(np.float64)).take(slice(2, 5))
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-6)


def test_batches_of_a_memory_map_are_those_of_the_array(X, tmp_path, make_images):
    np.save(tmp_path / "X.npy", X.astype("u1"))
    images = make_images(np.load(tmp_path / "X.npy", mmap_mode="r"))
    expected = make_images(X.astype("u1"))
    for index in INDICES.values():
        assert torch.equal(images.take(index), expected.take(index))


@pytest.mark.parametrize("channel_axis", [-1, 1])
def test_batches_are_the_standardised_array_channels_first(
    X, channel_axis, make_images
):
    expected = (X - X.mean((0, 1, 2))) / X.std((0, 1, 2))
    X = X if channel_axis == -1 else np.moveaxis(X, -1, 1)
    batch = make_images(X, channel_axis, torch.float64).take(slice(None))
    np.testing.assert_allclose(batch, np.moveaxis(expected, -1, 1), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "memory_format"),
    [
        ((9,), torch.contiguous_format),
        ((8, 9, 3), torch.channels_last),
        ((3, 8, 9), torch.channels_last),
        ((6, 8, 9, 3), torch.channels_last_3d),
        ((3, 6, 8, 9), torch.channels_last_3d),
    ],
)
def test_batches_have_their_channels_last_in_memory(
    rng, shape, memory_format, make_images
):
    batch = make_images(rng.normal(size=(5, *shape))).take(slice(0, 4))
    assert batch.is_contiguous(memory_format=memory_format)


def test_the_whole_is_not_copied(array, make_images):
    source = make_images(array).source
    if isinstance(source, torch.Tensor):
        source = source.numpy()
    assert source.shape == array.shape
    assert np.shares_memory(source, array)


@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "u2", "i2", "u4", "f2", "f4", ">u2"]
)
@pytest.mark.parametrize("make", [np.copy, read_only])
def test_pixels_wait_in_their_own_dtype(X, dtype, make, make_images):
    source = make_images(make(X.astype(dtype))).source
    assert np.asarray(source).dtype == dtype


def test_uint8_waits_as_a_uint8_tensor(X, make_images):
    assert make_images(X.astype(np.uint8)).source.dtype == torch.uint8


def test_taking_batches_leaves_the_array_as_it_is(X, make_images):
    X = X.astype(np.float32)
    before = X.copy()
    images = make_images(X)
    for index in INDICES.values():
        images.take(index).zero_()
    np.testing.assert_array_equal(X, before)


def test_what_a_gpu_gets_is_moved_in_chunks(array, make_images, monkeypatch):
    images = make_images(array)
    monkeypatch.setattr("skcnn.data.image_batches.CHUNK_SIZE", 2 * array[0].size * 8)
    moved = images._moved(array)
    assert moved.is_contiguous()
    np.testing.assert_array_equal(moved.numpy(), array)
    resident = make_images(array)
    resident.source = moved
    assert torch.equal(resident.take(slice(None)), images.take(slice(None)))


@pytest.mark.parametrize("index", [np.arange(2, 5), np.array([5, 0, 3]), np.array([4])])
def test_rows_may_be_an_array(array, make_images, index):
    images = make_images(array)
    expected = images.take(torch.from_numpy(index))
    assert torch.equal(images.take(index), expected)
    ((rows, batch),) = images.batches([index])
    assert rows is index
    assert torch.equal(batch, expected)


def test_length_is_the_number_of_samples(X, make_images):
    assert len(make_images(X)) == len(make_images(read_only(X))) == 7


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_shuffled_batches_on_a_gpu_are_those_on_the_cpu(array, make_images):
    targets = torch.arange(len(array))
    passes = []
    for device in ("cpu", "cuda:0"):
        images = make_images(array, device=device)
        dataset = TrainingSet(images, targets.to(device), None, make_generator(0))
        passes.append([X.cpu() for X, _ in Batches(dataset, 3, shuffle=True)])
    for on_cpu, on_gpu in zip(*passes, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", [np.copy, read_only])
@pytest.mark.parametrize("index", [slice(1, 3), torch.tensor([2, 0])])
def test_a_subset_takes_its_rows_and_shares_the_array(make_images, rng, form, index):
    images = make_images(form(rng.normal(size=(6, 4, 4))))
    rows = np.array([5, 1, 3])
    subset = images.subset(rows)
    assert len(subset) == 3
    assert subset.source is images.source
    assert torch.equal(subset.take(index), images.take(torch.as_tensor(rows)[index]))
    assert len(subset.subset(None)) == len(images) == 6


SHAPES = {
    "signals": ((12,), "auto"),
    "channels of signals": ((3, 12), 1),
    "grey": ((6, 5), "auto"),
    "channels last": ((6, 5, 3), -1),
    "channels first": ((3, 6, 5), 1),
    "volumes": ((6, 5, 4, 2), -1),
}


@pytest.fixture(params=SHAPES)
def learnt(request, rng, make_images):
    shape, channel_axis = SHAPES[request.param]
    X = rng.integers(0, 256, size=(7, *shape), dtype=np.uint8)
    return make_images(X, channel_axis)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_batches_are_those_that_are_scaled_when_they_come(learnt, index, dtype):
    learnt.dtype = dtype
    ours, expected = ScaledImages(learnt).take(index), learnt.take(index)
    assert torch.equal(ours, expected)
    assert ours.dtype == dtype
    memory_format = MEMORY_FORMATS.get(ours.ndim, torch.contiguous_format)
    assert ours.is_contiguous(memory_format=memory_format)
    assert len(ScaledImages(learnt)) == len(learnt)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_a_subset_of_scaled_images_takes_its_rows(learnt, index):
    rows = np.array([6, 0, 5, 1, 2, 4])
    subset = ScaledImages(learnt).subset(rows)
    assert len(subset) == 6
    assert torch.equal(subset.take(index), learnt.subset(rows).take(index))


def test_what_is_done_to_a_batch_stays_with_it(learnt):
    scaled = ScaledImages(learnt)
    for rows in (None, np.array([3, 1, 2, 0, 6, 5])):
        for index in INDICES.values():
            scaled.subset(rows).take(index).zero_()
    assert torch.equal(scaled.take(slice(None)), learnt.take(slice(None)))


def test_later_changes_of_the_array_change_no_batch(make_images, rng):
    X = rng.normal(size=(5, 4, 4)).astype(np.float32)
    scaled = ScaledImages(make_images(X))
    expected = scaled.take(slice(None))
    X[:] = 0
    assert torch.equal(scaled.take(slice(None)), expected)


def test_what_takes_little_memory_is_worth_it(make_images):
    assert ScaledImages.is_worthwhile(make_images(np.zeros((3, 4, 4), "u1")))
    side = int((SCALED_SIZE // 4) ** 0.5)
    large = make_images(np.broadcast_to(np.uint8(0), (1, side, side)))
    assert ScaledImages.is_worthwhile(large)
    large.dtype = torch.float64
    assert not ScaledImages.is_worthwhile(large)
    larger = make_images(np.broadcast_to(np.uint8(0), (2, side, side)))
    assert not ScaledImages.is_worthwhile(larger)


def test_pixels_that_are_checked_batch_by_batch_are_not(make_images):
    images = make_images(np.zeros((3, 4, 4), "u1"))
    images.scaler = object()
    assert not ScaledImages.is_worthwhile(images)
