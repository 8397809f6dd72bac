"""From raw input to what a network takes, as a layer that torch exports."""

import numpy as np
import torch
from torch import nn

WIDE = ("float64", "int32", "int64")  # need more than float32 holds


class LearntScale(nn.Module):
    """Images with channels first, standardised by a learnt scale.

    Parameters
    ----------
    scaler : ChannelScaler
        The scale.

    dtype : numpy.dtype
        Dtype of X.

    output : torch.dtype
        Dtype of the network.
    """

    def __init__(self, scaler, dtype, output):
        super().__init__()
        self.layout, self.output = scaler.layout, output
        self.inner = torch.float64 if dtype.name in WIDE else output
        shape = (-1, *(1 for _ in scaler.layout.spatial_shape))
        for name, values in (("mean", scaler.mean_), ("factor", 1 / scaler.scale_)):
            tensor = torch.tensor(values, dtype=self.inner).reshape(shape)
            self.register_buffer(name, tensor)

    def forward(self, X):
        """Map ``(n, *sample_shape)`` to ``(n, *input_shape)``."""
        images = self.layout.channels_first(X).to(self.inner)
        return ((images - self.mean) * self.factor).to(self.output)


class PublishedScale(nn.Module):
    """Images of the network's size, normalised as was published with the weights.

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
        super().__init__()
        self.layout, self.output = layout, output
        self.preprocessing = preprocessing
        highest = 1 if dtype.kind == "f" else np.iinfo(np.uint8).max
        std = torch.tensor(preprocessing.std).view(-1, 1, 1)
        mean = torch.tensor(preprocessing.mean).view(-1, 1, 1)
        self.register_buffer("factor", 1 / (highest * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, X):
        """Map ``(n, *sample_shape)`` to ``(n, n_channels, height, width)``."""
        images = self.layout.channels_first(X).to(torch.float32)
        return (images * self.factor + self.shift).to(self.output)


class Exported(nn.Module):
    """Raw input to the results of an estimator, layer after layer.

    Parameters
    ----------
    scale : torch.nn.Module
        From raw input to that of the network.

    network : torch.nn.Module
        The network.

    results : torch.nn.Module
        From its output to the results.
    """

    def __init__(self, scale, network, results):
        super().__init__()
        self.scale, self.network, self.results = scale, network, results

    def forward(self, X):
        """Map raw input to a tuple of results."""
        return self.results(self.network(self.scale(X)))
