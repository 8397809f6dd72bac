"""Augmentations that move pixels."""

from dataclasses import dataclass
from math import radians

import torch
from torch.nn import functional as F

from .draws import for_samples, integers, uniform
from .parameters import check_length, check_number, check_range, in_pixels
from .warping import Affine, as_stored, identities


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror images from left to right.

    It suits photographs, and not what changes its meaning in the mirror: digits,
    letters, road signs.

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
        check_number(self, "p", 0, 1)

    def __call__(self, batch, generator):
        """Return the batch with some samples mirrored."""
        mirrored = for_samples(uniform(batch, generator, 0, 1) < self.p, batch)
        return torch.where(mirrored, batch.flip(-1), batch)


@dataclass(frozen=True)
class Shift(Affine):
    """Shift samples by whole pixels, in each direction by its own number.

    It is the random crop of padded images with which networks for small images
    are trained [1]_. Pixels at the edge are repeated, so that a dark background
    stays dark.

    Parameters
    ----------
    max_shift : float or int, default=0.125
        Largest shift: a float is a share of the length of each axis, an int a
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
        check_length(self, "max_shift")

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
        return as_stored(windows[(samples, *starts)].movedim(-1, 1))

    def _matrices(self, batch, generator):
        """Return the shifts as matrices, see `Affine`."""
        offsets = self._offsets(batch, self._margins(batch), generator)
        matrices = identities(batch)
        matrices[:, :-1, -1] = torch.stack(offsets[::-1], dim=1).to(batch.dtype)
        return matrices

    def _margins(self, batch):
        """Return the largest shift along each axis."""
        spatial_shape = batch.shape[2:]
        lengths = in_pixels(self.max_shift, spatial_shape)
        return [min(m, s - 1) for m, s in zip(lengths, spatial_shape, strict=True)]

    def _offsets(self, batch, margins, generator):
        """Return the shift of each sample along each axis."""
        return [integers(batch, generator, -margin, margin) for margin in margins]


@dataclass(frozen=True)
class Rotation(Affine):
    """Rotate images around their centre; of volumes, the last two axes.

    Parameters
    ----------
    degrees : float, default=15.0
        Largest angle to either side, in degrees.

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
        check_number(self, "degrees", 0, 180)

    def _matrices(self, batch, generator):
        """Return the rotations as matrices, see `Affine`."""
        limit = radians(self.degrees)
        angles = uniform(batch, generator, -limit, limit)
        matrices = identities(batch)
        matrices[:, 0, 0] = matrices[:, 1, 1] = angles.cos()
        matrices[:, 0, 1] = -angles.sin()
        matrices[:, 1, 0] = angles.sin()
        return matrices


@dataclass(frozen=True)
class Scale(Affine):
    """Zoom into samples, or out of them, around their centre.

    Parameters
    ----------
    scale : tuple of float, default=(0.9, 1.1)
        Smallest and largest factor, from 0.1 to 10; above 1 things get larger.

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
        check_range(self, "scale", 0.1, 10)

    def _matrices(self, batch, generator):
        """Return the zooms as matrices, see `Affine`."""
        matrices = identities(batch)
        matrices[:, :-1, :-1] /= uniform(batch, generator, *self.scale, 1, 1)
        return matrices


@dataclass(frozen=True)
class RandomResizedCrop(Affine):
    """Cut a window out of each sample and stretch it to the whole [1]_.

    For signals this is known as window slicing [2]_.

    Parameters
    ----------
    scale : tuple of float, default=(0.7, 1.0)
        Smallest and largest share of the length, area or volume that the window
        has. It has the proportions of the sample.

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
        check_range(self, "scale", 0.01, 1)

    def _matrices(self, batch, generator):
        """Return the windows as matrices, see `Affine`."""
        n_axes = batch.ndim - 2
        share = uniform(batch, generator, *self.scale) ** (1 / n_axes)
        matrices = identities(batch)
        matrices[:, :-1, :-1] *= share[:, None, None]
        for axis, side in enumerate(batch.shape[:1:-1]):
            limits = (1 - share) * (side / 2)
            matrices[:, axis, -1] = uniform(batch, generator, -1, 1) * limits
        return matrices
