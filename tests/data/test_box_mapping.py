"""Boxes go where four marked pixels go."""

import numpy as np
import pytest
import torch

from skcnn.data.augmentation import (
    HorizontalFlip,
    Mixup,
    RandomResizedCrop,
    Rotation,
    Scale,
    Shift,
    make_box_augmentation,
)

N, HEIGHT, WIDTH = 250, 40, 56
GEOMETRIC = {
    "flip": HorizontalFlip(),
    "shift": Shift(),
    "rotation": Rotation(30),
    "scale": Scale((0.7, 1.3)),
    "resized_crop": RandomResizedCrop((0.6, 1.0)),
    "strong": ["flip", "shift", "rotation", "scale", "color", "cutout"],
}


def marked(boxes):
    """Return images with a channel for each corner, which has a spot at the corner."""
    y, x = torch.meshgrid(
        torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij"
    )
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2, 1, 1)
    squares = (x - corners[:, :, 0]) ** 2 + (y - corners[:, :, 1]) ** 2
    return (-squares / 4).exp()


def spots(batch):
    """Return where the spot of each channel is, and whether all of it is inside."""
    places = [torch.arange(n) + 0.5 for n in batch.shape[2:]]
    mass = batch.sum((2, 3))
    y = (batch.sum(3) * places[0]).sum(2) / mass
    x = (batch.sum(2) * places[1]).sum(2) / mass
    edges = batch[..., [0, -1], :].amax((2, 3)), batch[..., [0, -1]].amax((2, 3))
    return x, y, (torch.maximum(*edges) < 0.01).all(1)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_boxes_follow_four_marked_pixels(name):
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(N, 2, generator=generator) * 8 + torch.tensor([18.0, 12.0])
    boxes = torch.cat([low, low + 4 + 6 * torch.rand(N, 2, generator=generator)], 1)
    augmentation = GEOMETRIC[name]
    if name == "strong":  # what changes intensities would move centres of mass
        augmentation = augmentation[:-2]
    batch, mapping = make_box_augmentation(augmentation, 2)(marked(boxes), generator)
    scale = torch.tensor([WIDTH, HEIGHT] * 2)
    y = torch.cat([boxes / scale, torch.ones(N, 1)], dim=1)
    mapped, weights = mapping((y, torch.arange(N)))
    assert torch.equal(weights, torch.arange(N))
    assert (mapped[:, 4] == 1).all()
    x, y, is_inside = spots(batch)
    assert is_inside.float().mean() > 0.6
    expected = torch.stack([x.amin(1), y.amin(1), x.amax(1), y.amax(1)], dim=1)
    error = (mapped[:, :4] * scale - expected).abs()[is_inside]
    assert error.max() < 1
    assert (mapped[:, :4] != boxes / scale).any()


def test_what_leaves_the_image_is_cut_off():
    mapping = make_box_augmentation(Shift(20), 2)(
        torch.zeros(200, 1, 40, 40), torch.Generator().manual_seed(0)
    )[1]
    boxes = mapping(torch.tensor([[0.6, 0.6, 0.9, 0.9]]).repeat(200, 1))
    assert boxes.min() >= 0
    assert boxes.max() == 1
    assert (boxes[:, 2:] >= boxes[:, :2]).all()


@pytest.mark.parametrize("augmentation", [Mixup(), lambda batch, generator: batch])
def test_what_does_not_tell_where_boxes_go_is_an_error(augmentation):
    with pytest.raises(ValueError, match="does not support boxes"):
        make_box_augmentation(augmentation, 2)


def test_mirrors_by_matrix_are_those_by_flip(rng):
    batch = torch.as_tensor(rng.random((20, 3, 9, 12)), dtype=torch.float32)
    by_matrix, mapping = make_box_augmentation(HorizontalFlip(), 2)(
        batch, torch.Generator().manual_seed(1)
    )
    plain = HorizontalFlip()(batch, torch.Generator().manual_seed(1))
    np.testing.assert_allclose(by_matrix, plain, atol=1e-5)
    assert (mapping.matrices[:, 0, 0] < 0).any()
