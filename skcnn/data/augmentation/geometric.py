"""Geometric augmentations: flips, shifts, rotations, zooms and crops."""

from dataclasses import dataclass
from math import radians
from numbers import Real

import torch
from sklearn.utils import check_scalar
from torch.nn import functional as F

from ..memory_formats import to_channels_last
from .strengths import (
    check_length,
    check_range,
    for_samples,
    in_pixels,
    integers,
    uniform,
)
from .warping import Affine, identities


@dataclass(frozen=True)
class HorizontalFlip:
    """Random horizontal flip of images.

    It suits photographs, but not images whose meaning changes if they are mirrored,
    such as digits, letters and road signs.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a sample is mirrored.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import HorizontalFlip
    >>> batch = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> HorizontalFlip(p=1.0)(batch, torch.Generator())
    tensor([[[[3., 2., 1.]]]])
    """

    p: float = 0.5

    n_axes = (2, 3)

    def __post_init__(self):
        check_scalar(self.p, "p", Real, min_val=0, max_val=1)

    def __call__(self, batch, generator):
        """Return the batch with some samples mirrored."""
        mirrored = for_samples(uniform(batch, generator, 0, 1) < self.p, batch)
        return torch.where(mirrored, batch.flip(-1), batch)

    def _matrices(self, batch, generator):
        """Draw flips as matrices for images with boxes, see `Affine`."""
        matrices = identities(batch)
        matrices[uniform(batch, generator, 0, 1) < self.p, 0, 0] = -1
        return matrices


@dataclass(frozen=True)
class Shift(Affine):
    """Random shift of samples by whole pixels, independently along each axis.

    This is the random crop of padded images that is common in training networks for
    small images [1]_. Edge pixels are repeated, so that a dark background stays dark.

    Parameters
    ----------
    max_shift : float or int, default=0.125
        Maximum shift: a float is a fraction of the length of each axis, an int a
        number of pixels.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image
       recognition", CVPR 2016, section 4.2.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Shift
    >>> batch = torch.tensor([1.0, 2.0, 3.0]).expand(100, 1, 3)
    >>> Shift(max_shift=1)(batch, torch.Generator()).unique(dim=0).squeeze(1)
    tensor([[1., 1., 2.],
            [1., 2., 3.],
            [2., 3., 3.]])
    """

    max_shift: float | int = 0.125

    n_axes = (1, 2, 3)

    def __post_init__(self):
        check_length(self.max_shift, "max_shift")

    def __call__(self, batch, generator):
        """Return the batch with each sample shifted."""
        margins = self._margins(batch)
        padding = [margin for margin in margins[::-1] for _ in range(2)]
        windows = F.pad(batch, padding, mode="replicate").movedim(1, -1)
        for axis, side in enumerate(batch.shape[2:], start=1):
            windows = windows.unfold(axis, side, 1)
        windows = windows.movedim(batch.ndim - 1, -1)  # (n, *starts, *spatial, c)
        offsets = self._offsets(batch, margins, generator)
        starts = [offset + m for offset, m in zip(offsets, margins, strict=True)]
        samples = torch.arange(len(batch), device=batch.device)
        return to_channels_last(windows[(samples, *starts)].movedim(-1, 1))

    def _matrices(self, batch, generator):
        """Draw shifts, see `Affine`."""
        offsets = self._offsets(batch, self._margins(batch), generator)
        matrices = identities(batch)
        matrices[:, :-1, -1] = torch.stack(offsets[::-1], dim=1).to(batch.dtype)
        return matrices

    def _margins(self, batch):
        """Return the maximum shift along each axis."""
        spatial_shape = batch.shape[2:]
        lengths = in_pixels(self.max_shift, spatial_shape)
        return [min(m, s - 1) for m, s in zip(lengths, spatial_shape, strict=True)]

    def _offsets(self, batch, margins, generator):
        """Draw the shift of each sample along each axis."""
        return [integers(batch, generator, -margin, margin) for margin in margins]


@dataclass(frozen=True)
class Rotation(Affine):
    """Random rotation of images, and of volumes in the plane of their last two axes.

    Parameters
    ----------
    degrees : float, default=15.0
        Maximum angle to either side, in degrees, in [0, 180].

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Rotation
    >>> batch = torch.randn(4, 1, 8, 8)
    >>> Rotation(degrees=10)(batch, torch.Generator()).shape
    torch.Size([4, 1, 8, 8])
    """

    degrees: float = 15.0

    n_axes = (2, 3)

    def __post_init__(self):
        check_scalar(self.degrees, "degrees", Real, min_val=0, max_val=180)

    def _matrices(self, batch, generator):
        """Draw rotations, see `Affine`."""
        limit = radians(self.degrees)
        angles = uniform(batch, generator, -limit, limit)
        matrices = identities(batch)
        matrices[:, 0, 0] = matrices[:, 1, 1] = angles.cos()
        matrices[:, 0, 1] = -angles.sin()
        matrices[:, 1, 0] = angles.sin()
        return matrices


@dataclass(frozen=True)
class Scale(Affine):
    """Random zoom into or out of the centre of samples.

    Parameters
    ----------
    scale : tuple of float, default=(0.9, 1.1)
        Minimum and maximum zoom factor, in [0.1, 10]. Factors above 1 enlarge objects.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Scale
    >>> batch = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])
    >>> Scale(scale=(2, 2))(batch, torch.Generator())
    tensor([[[0.7500, 1.2500, 1.7500, 2.2500]]])
    """

    scale: tuple = (0.9, 1.1)

    n_axes = (1, 2, 3)

    def __post_init__(self):
        check_range(self.scale, "scale", 0.1, 10)

    def _matrices(self, batch, generator):
        """Draw zooms, see `Affine`."""
        matrices = identities(batch)
        matrices[:, :-1, :-1] /= uniform(batch, generator, *self.scale, 1, 1)
        return matrices


@dataclass(frozen=True)
class RandomResizedCrop(Affine):
    """Random crop of samples, resized to their original size [1]_.

    For signals, this is known as window slicing [2]_.

    Parameters
    ----------
    scale : tuple of float, default=(0.7, 1.0)
        Minimum and maximum fraction of the length, area or volume of the sample that
        is cropped, in [0.01, 1]. The crop has the aspect ratio of the sample.

    References
    ----------
    .. [1] C. Szegedy et al., "Going deeper with convolutions", CVPR 2015.
    .. [2] A. Le Guennec, S. Malinowski, R. Tavenard, "Data augmentation for time
       series classification using convolutional neural networks", ECML/PKDD
       Workshop AALTD 2016.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import RandomResizedCrop
    >>> batch = torch.randn(4, 3, 100)
    >>> RandomResizedCrop(scale=(0.8, 1.0))(batch, torch.Generator()).shape
    torch.Size([4, 3, 100])
    """

    scale: tuple = (0.7, 1.0)

    n_axes = (1, 2, 3)

    def __post_init__(self):
        check_range(self.scale, "scale", 0.01, 1)

    def _matrices(self, batch, generator):
        """Draw crops, see `Affine`."""
        n_axes = batch.ndim - 2
        share = uniform(batch, generator, *self.scale) ** (1 / n_axes)
        matrices = identities(batch)
        matrices[:, :-1, :-1] *= share[:, None, None]
        for axis, side in enumerate(batch.shape[:1:-1]):
            limits = (1 - share) * (side / 2)
            matrices[:, axis, -1] = uniform(batch, generator, -1, 1) * limits
        return matrices
