"""Intensity augmentations: colours, noise, scaling and cutout.

Batches are standardised, so strengths are in units of the standard deviation of the
training set, and 0 is its mean.
"""

from dataclasses import dataclass
from functools import reduce
from numbers import Real

import torch
from sklearn.utils import check_scalar

from ..memory_formats import to_channels_last
from .strengths import (
    check_length,
    for_samples,
    in_pixels,
    integers,
    normal,
    uniform,
)


@dataclass(frozen=True)
class ColorJitter:
    """Random change of the brightness, contrast and saturation of images.

    Parameters
    ----------
    brightness : float, default=0.2
        Maximum value added to or subtracted from a sample, in standard deviations.

    contrast : float, default=0.2
        Maximum change of the contrast, in [0, 1]: differences from the mean of the
        sample are multiplied by a factor from ``1 - contrast`` to ``1 + contrast``.

    saturation : float, default=0.2
        Maximum change of the saturation, in [0, 1]: differences of the three channels
        from their mean, pixel by pixel, are multiplied likewise. It has no effect on
        images without three channels.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import ColorJitter
    >>> jitter = ColorJitter(brightness=0.5)
    >>> jitter(torch.randn(4, 3, 8, 8), torch.Generator()).shape
    torch.Size([4, 3, 8, 8])
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    n_axes = (2, 3)

    def __post_init__(self):
        check_scalar(self.brightness, "brightness", Real, min_val=0)
        check_scalar(self.contrast, "contrast", Real, min_val=0, max_val=1)
        check_scalar(self.saturation, "saturation", Real, min_val=0, max_val=1)

    def __call__(self, batch, generator):
        """Return the batch with the colours of each sample changed."""
        offset = uniform(batch, generator, -self.brightness, self.brightness)
        contrast = uniform(batch, generator, 1 - self.contrast, 1 + self.contrast)
        offset += (1 - contrast) * batch.mean(tuple(range(1, batch.ndim)))
        contrast, offset = for_samples(contrast, batch), for_samples(offset, batch)
        if batch.shape[1] != 3 or self.saturation == 0:
            return batch * contrast + offset
        limits = 1 - self.saturation, 1 + self.saturation
        saturation = for_samples(uniform(batch, generator, *limits), batch)
        grey = (sum(batch.unbind(1)) / 3).unsqueeze(1)
        rest = grey * (contrast * (1 - saturation)) + offset
        return batch * (contrast * saturation) + rest


@dataclass(frozen=True)
class Noise:
    """Additive Gaussian noise, known as jittering for signals [1]_.

    Parameters
    ----------
    std : float, default=0.1
        Standard deviation of the noise, in standard deviations of the data.

    References
    ----------
    .. [1] T. T. Um et al., "Data augmentation of wearable sensor data for
       Parkinson's disease monitoring using convolutional neural networks",
       arXiv 1706.00527, 2017.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Noise
    >>> out = Noise(std=0.5)(torch.zeros(10, 1, 50, 50), torch.Generator())
    >>> round(out.std().item(), 2)
    0.5
    """

    std: float = 0.1

    n_axes = (1, 2, 3)

    def __post_init__(self):
        check_scalar(self.std, "std", Real, min_val=0)

    def __call__(self, batch, generator):
        """Return the batch with noise."""
        # drawn in the order of memory, channels last
        noise = normal(batch, generator, *batch.shape[2:], batch.shape[1])
        return torch.add(batch, noise.movedim(-1, 1), alpha=self.std)


@dataclass(frozen=True)
class Scaling:
    """Random scaling of each channel of a signal [1]_.

    Parameters
    ----------
    std : float, default=0.1
        Standard deviation of the factors, which are normal with a mean of 1.

    References
    ----------
    .. [1] T. T. Um et al., "Data augmentation of wearable sensor data for
       Parkinson's disease monitoring using convolutional neural networks",
       arXiv 1706.00527, 2017.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Scaling
    >>> batch = torch.ones(4, 3, 100)
    >>> out = Scaling(std=0.2)(batch, torch.Generator())
    >>> torch.equal(out, out[..., :1].expand_as(out))
    True
    """

    std: float = 0.1

    n_axes = (1,)

    def __post_init__(self):
        check_scalar(self.std, "std", Real, min_val=0)

    def __call__(self, batch, generator):
        """Return the batch with each channel of each sample scaled."""
        return batch * (1 + self.std * normal(batch, generator, batch.shape[1], 1))


@dataclass(frozen=True)
class Cutout:
    """Random square of each image that is set to 0, the mean of the training set [1]_.

    For signals it is an interval, for volumes a box. Its centre may be any pixel, so
    part of the square may lie outside the image.

    Parameters
    ----------
    size : float or int, default=0.25
        Side of the square: a float is a fraction of the length of each axis, an int
        a number of pixels.

    References
    ----------
    .. [1] T. DeVries, G. W. Taylor, "Improved regularization of convolutional
       neural networks with cutout", arXiv 1708.04552, 2017.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Cutout
    >>> batch = torch.ones(100, 1, 3)
    >>> Cutout(size=1)(batch, torch.Generator()).unique(dim=0).squeeze(1)
    tensor([[0., 1., 1.],
            [1., 0., 1.],
            [1., 1., 0.]])
    """

    size: float | int = 0.25

    n_axes = (1, 2, 3)

    def __post_init__(self):
        check_length(self.size, "size")

    def __call__(self, batch, generator):
        """Return the batch with a square of each sample cut out."""
        sizes = in_pixels(self.size, batch.shape[2:])
        inside = [
            self._interval(batch, axis, size, generator)
            for axis, size in enumerate(sizes, start=2)
        ]
        box = reduce(torch.logical_and, inside)
        return to_channels_last(batch.masked_fill(box, 0))

    def _interval(self, batch, axis, size, generator):
        """Draw a mask of the cut-out positions of an axis, broadcastable to a batch."""
        side = batch.shape[axis]
        start = integers(batch, generator, 0, side - 1) - size // 2
        position = torch.arange(side, device=batch.device) - start[:, None]
        inside = (position >= 0) & (position < size)
        return inside.view(
            -1, *(side if a == axis else 1 for a in range(1, batch.ndim))
        )
