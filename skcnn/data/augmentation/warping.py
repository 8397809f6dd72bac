"""Affine maps of images, signals and volumes."""

from functools import reduce

import torch
from torch.nn import functional as F

from ..memory_formats import to_channels_last


class Affine:
    """Base class of augmentations that are affine maps.

    A subclass defines ``_matrices(batch, generator)``, which draws a matrix for each
    sample that maps positions in the result to positions in the sample. Matrices have
    shape ``(n, n_axes + 1, n_axes + 1)`` and take homogeneous coordinates in pixels
    from the centre, the last axis of the batch first.
    """

    def __call__(self, batch, generator):
        """Return the batch with each sample mapped by its matrix."""
        return warp(batch, self._matrices(batch, generator))


class Sequence(Affine):
    """Sequence of affine augmentations, interpolated once.

    Parameters
    ----------
    *steps : Affine
        Augmentations, in the order in which they are applied.
    """

    def __init__(self, *steps):
        self.steps = steps

    def _matrices(self, batch, generator):
        """Return the products of the matrices of the steps."""
        matrices = [step._matrices(batch, generator) for step in self.steps]
        return reduce(torch.matmul, matrices)


def identities(batch):
    """Return an identity matrix for each sample of a batch."""
    eye = torch.eye(batch.ndim - 1, dtype=batch.dtype, device=batch.device)
    return eye.repeat(len(batch), 1, 1)


def warp(batch, matrices):
    """Sample a batch at mapped positions, with linear interpolation.

    Positions outside a sample take the value of the nearest pixel.

    Parameters
    ----------
    batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
        Samples.

    matrices : torch.Tensor of shape (n, n_axes + 1, n_axes + 1)
        Affine maps of the samples, see `Affine`.

    Returns
    -------
    torch.Tensor
        A batch of the same shape.
    """
    grid = _sampling_grid(matrices, batch.shape[2:])
    if batch.ndim == 3:  # a signal is sampled as an image of one row
        out = _sample(batch.unsqueeze(2), F.pad(grid.unsqueeze(1), (0, 1)))
        return out.squeeze(2)
    return to_channels_last(_sample(batch, grid))


def _sampling_grid(matrices, spatial_shape):
    """Return positions in [-1, 1] at which to sample, ``(n, *spatial, n_axes)``.

    `torch.nn.functional.affine_grid` takes up to three times as long.
    """
    n_axes = len(spatial_shape)
    rows = zip(matrices.unbind(1), spatial_shape[::-1], strict=False)  # not the last
    scaled = torch.stack([row * (2 / side) for row, side in rows], dim=1)
    columns = (c.view(-1, *(1,) * n_axes, n_axes) for c in scaled.unbind(-1))
    *directions, grid = columns
    for axis, direction in enumerate(directions, start=1):  # the last axis first
        side = spatial_shape[-axis]
        shape = (side, *(1 for _ in range(axis)))
        pixels = torch.arange(side, dtype=grid.dtype, device=grid.device)
        grid = grid + direction * (pixels - (side - 1) / 2).view(shape)
    return grid


def _sample(batch, grid):
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
