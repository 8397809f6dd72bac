"""Layers from raw input to the input of a network, which torch can export.

Each layer has the `name` of its input, the shape of one example in `sample_shape`, and
the names of axes of any length in `free_axes`.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WIDE = ("float64", "int32", "int64")  # need more precision than float32


class Codes(nn.Identity):
    """Word codes, which need no scaling."""

    name, sample_shape, free_axes = "codes", (9,), {1: "length"}


class Images(nn.Module):
    """Images of one shape.

    Parameters
    ----------
    layout : Layout
        Meaning of the axes of X.
    """

    name, free_axes = "X", {}

    def __init__(self, layout):
        super().__init__()
        self.layout, self.sample_shape = layout, layout.sample_shape


class LearntScale(Images):
    """Images with channels first, standardised by a fitted scaler.

    Parameters
    ----------
    scaler : ChannelScaler
        Fitted scaler.

    dtype : numpy.dtype
        Dtype of X.

    output : torch.dtype
        Dtype of the network.
    """

    def __init__(self, scaler, dtype, output):
        super().__init__(scaler.layout)
        self.output = output
        self.inner = torch.float64 if dtype.name in WIDE else output
        shape = (-1, *(1 for _ in scaler.layout.spatial_shape))
        for name, values in (("mean", scaler.mean_), ("factor", 1 / scaler.scale_)):
            tensor = torch.tensor(values, dtype=self.inner).reshape(shape)
            self.register_buffer(name, tensor)

    def forward(self, X):
        """Map ``(n, *sample_shape)`` to ``(n, *input_shape)``."""
        images = self.layout.channels_first(X).to(self.inner)
        return ((images - self.mean) * self.factor).to(self.output)


class PublishedScale(Images):
    """Images of the network's size, normalised as published with the weights.

    Parameters
    ----------
    preprocessing : Preprocessing
        The preprocessing.

    layout : Layout
        Meaning of the axes of X.

    dtype : numpy.dtype
        Dtype of X: uint8, or floats in [0, 1].

    output : torch.dtype
        Dtype of the network.
    """

    def __init__(self, preprocessing, layout, dtype, output):
        super().__init__(layout)
        self.preprocessing, self.output = preprocessing, output
        highest = 1 if dtype.kind == "f" else np.iinfo(np.uint8).max
        std = torch.tensor(preprocessing.std).view(-1, 1, 1)
        mean = torch.tensor(preprocessing.mean).view(-1, 1, 1)
        self.register_buffer("factor", 1 / (highest * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, X):
        """Map ``(n, *sample_shape)`` to ``(n, n_channels, height, width)``."""
        return self._normalize(self.layout.channels_first(X).to(torch.float32))

    def _normalize(self, images):
        return (images * self.factor + self.shift).to(self.output)


class ResizedScale(PublishedScale):
    """Images of any size, resized, cropped and normalised as published.

    Parameters
    ----------
    preprocessing, layout, dtype, output
        See `PublishedScale`.
    """

    def __init__(self, preprocessing, layout, dtype, output):
        super().__init__(preprocessing, layout, dtype, output)
        self.is_rounded = dtype.kind != "f"
        axes = range(1, len(layout.sample_shape) + 1)
        sides = [axis for axis in axes if axis - 1 != layout.channel_axis]
        self.free_axes = dict(zip(sides, ("height", "width"), strict=True))

    def forward(self, X):
        """Map images of any size to ``(n, n_channels, height, width)``."""
        axis = self.layout.channel_axis
        images = X[:, None] if axis is None else X.movedim(axis + 1, 1)
        size = self.preprocessing.resized_size(*images.shape[2:])
        mode = self.preprocessing.interpolation
        images = F.interpolate(images.float(), size, mode=mode, antialias=True)
        for axis, length in enumerate(self.preprocessing.crop_size, start=2):
            margin = size[axis - 2] - length
            start = (margin + margin // 2 % 2) // 2  # half of it, rounded to even
            images = images.index_select(axis, start + torch.arange(length))
        highest = 255 if self.is_rounded else 1
        images = images.round() if self.is_rounded else images
        return self._normalize(images.clamp(0, highest))


class Exported(nn.Module):
    """Network from raw input to the results of an estimator.

    Parameters
    ----------
    scale : torch.nn.Module
        Layer from raw input to the input of the network.

    network : torch.nn.Module
        The network.

    results : torch.nn.Module
        Layer from the output of the network to the results.
    """

    def __init__(self, scale, network, results):
        super().__init__()
        self.scale, self.network, self.results = scale, network, results

    def forward(self, X):
        """Map raw input to a tuple of results."""
        return self.results(self.network(self.scale(X)))
