"""Layers from the output of a network to predictions or features."""

import torch
from torch import nn

from ..features import pool


class Classes(nn.Module):
    """Class codes and probabilities."""

    names = "code", "probabilities"

    def forward(self, outputs):
        """Map ``(n, n_classes)`` to ``(n,)`` and ``(n, n_classes)``."""
        return outputs.argmax(1), outputs.softmax(1)


class Indicators(nn.Module):
    """Label indicators and probabilities."""

    names = "label", "probabilities"

    def forward(self, outputs):
        """Map ``(n, n_labels)`` to two tensors of that shape."""
        return (outputs > 0).long(), outputs.sigmoid()


class Values(nn.Module):
    """Values in the units and the shape of y.

    Parameters
    ----------
    targets : ValueTargets
        Scale of y.
    """

    names = ("variable",)

    def __init__(self, targets):
        super().__init__()
        self.is_1d = targets.is_1d
        scale = targets.scale * ~targets.is_constant  # constants stay constant
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("mean", torch.tensor(targets.mean))

    def forward(self, outputs):
        """Map ``(n, n_outputs)`` to ``(n,)`` or ``(n, n_outputs)`` of float64."""
        values = outputs.double() * self.scale + self.mean
        return (values[:, 0] if self.is_1d else values,)


class Features(nn.Module):
    """Features of some layers, pooled and concatenated.

    Parameters
    ----------
    pooling, n_axes
        See `skcnn.features.pool`.

    channel_axes : sequence of tuple or None
        Channel axes of each layer.
    """

    names = ("features",)

    def __init__(self, pooling, n_axes, channel_axes):
        super().__init__()
        self.pooling, self.n_axes, self.channel_axes = pooling, n_axes, channel_axes

    def forward(self, outputs):
        """Map the outputs of layers to ``(n, n_features)``."""
        parts = [
            pool(output, self.pooling, self.n_axes, axes)
            for output, axes in zip(outputs, self.channel_axes, strict=True)
        ]
        return (torch.cat(parts, 1),)


class AsTheyAre(nn.Module):
    """Features as the network returns them."""

    names = ("features",)

    def forward(self, outputs):
        """Return the features as a tuple of one."""
        return (outputs,)
