import numpy as np
import pytest
import torch

from skcnn.data import MEMORY_FORMATS, ScaledImages
from skcnn.data.scaled import SMALL

SHAPES = {
    "signals": ((12,), "auto"),
    "channels of signals": ((3, 12), 1),
    "grey": ((6, 5), "auto"),
    "channels last": ((6, 5, 3), -1),
    "channels first": ((3, 6, 5), 1),
    "volumes": ((6, 5, 4, 2), -1),
}
INDICES = {
    "all": slice(None),
    "slice": slice(2, 5),
    "shuffled": torch.tensor([5, 0, 3]),
    "array": np.array([4, 1]),
}


@pytest.fixture(params=SHAPES)
def images(request, rng, make_images):
    shape, channel_axis = SHAPES[request.param]
    X = rng.integers(0, 256, size=(7, *shape), dtype=np.uint8)
    return make_images(X, channel_axis)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_batches_are_those_that_are_scaled_when_they_come(images, index, dtype):
    images.dtype = dtype
    ours, expected = ScaledImages(images).take(index), images.take(index)
    assert torch.equal(ours, expected)
    assert ours.dtype == dtype
    memory_format = MEMORY_FORMATS.get(ours.ndim, torch.contiguous_format)
    assert ours.is_contiguous(memory_format=memory_format)
    assert len(ScaledImages(images)) == len(images)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_a_subset_takes_its_rows(images, index):
    rows = np.array([6, 0, 5, 1, 2, 4])
    subset = ScaledImages(images).subset(rows)
    assert len(subset) == 6
    assert torch.equal(subset.take(index), images.subset(rows).take(index))


def test_what_is_done_to_a_batch_stays_with_it(images):
    scaled = ScaledImages(images)
    for rows in (None, np.array([3, 1, 2, 0, 6, 5])):
        for index in INDICES.values():
            scaled.subset(rows).take(index).zero_()
    assert torch.equal(scaled.take(slice(None)), images.take(slice(None)))


def test_later_changes_of_the_array_change_no_batch(make_images, rng):
    X = rng.normal(size=(5, 4, 4)).astype(np.float32)
    scaled = ScaledImages(make_images(X))
    expected = scaled.take(slice(None))
    X[:] = 0
    assert torch.equal(scaled.take(slice(None)), expected)


def test_what_takes_little_memory_is_worth_it(make_images):
    assert ScaledImages.is_worthwhile(make_images(np.zeros((3, 4, 4), "u1")))
    side = int((SMALL // 4) ** 0.5)
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
