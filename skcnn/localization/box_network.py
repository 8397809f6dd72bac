"""Pretrained network with a head that predicts one box."""

import torch
from torch import nn

from ..backbones import FineTunedNetwork
from ..backbones.fine_tuned import FineTunedArchitecture
from ..modules import Dropout
from .box_targets import N_SIDES

MAX_STRIDE = 16  # at a stride of 32, small objects cover less than one position


class BoxHead(nn.Module):
    """Head that predicts one box, the weighted mean of the proposals of all positions.

    Each position proposes its distances to the four sides of the box. Its weight is a
    softmax over positions, so that few images suffice to learn to locate objects.

    Parameters
    ----------
    map_shape : tuple of int
        ``(n_channels, height, width)`` of the feature map.

    n_classes : int
        Number of class outputs, which are averaged with the same weights as the box.
    """

    def __init__(self, map_shape, n_classes):
        super().__init__()
        self.map_shape = tuple(map_shape)
        self.proposals = nn.Conv2d(map_shape[0], 1 + N_SIDES + n_classes, 1)
        nn.init.zeros_(self.proposals.weight)
        nn.init.zeros_(self.proposals.bias)
        y, x = ((torch.arange(n) + 0.5) / n for n in map_shape[1:])
        y, x = torch.meshgrid(y, x, indexing="ij")
        self.register_buffer("places", torch.stack([x, y, x, y]))

    def forward(self, x):
        """Map (n, c, h, w), or the same flattened, to (n, 4 + n_classes)."""
        out = self.proposals(x.reshape(-1, *self.map_shape)).flatten(2)  # (n, k, hw)
        weights, sides, classes = out.split(
            [1, N_SIDES, out.shape[1] - 1 - N_SIDES], dim=1
        )
        low, high = sides.sigmoid().split(2, dim=1)
        sides = self.places.flatten(1) + torch.cat([-low, high], dim=1)
        return (torch.cat([sides, classes], 1) * weights.softmax(2)).sum(2)


class BoxNetwork(FineTunedNetwork):
    """Network with a `BoxHead` on a feature map with a stride of at most 16 pixels.

    Parameters are those of `FineTunedNetwork`; `n_outputs` is 4 plus the number of
    classes. Boxes are in fractions of the width and height.
    """

    def _count_features(self, input_shape):
        """Return the shape of the feature map."""
        blank = torch.zeros(1, *input_shape)
        self.map_layer = find_map_block(self.backbone, self.blocks, blank)
        with torch.no_grad():
            return self.features(blank).shape[1:]

    def _make_head(self, n_features, n_outputs, dropout):
        return make_box_head(n_features, n_outputs, dropout)

    def _make_recipe(self, *args):
        return BoxArchitecture(*args)

    def features(self, x):
        """Return the input of the head, a feature map (n, c, h, w)."""
        kept = []
        part = self.backbone.get_submodule(self.map_layer)
        handle = part.register_forward_hook(lambda part, args, out: kept.append(out))
        try:
            self.backbone(x)
        finally:
            handle.remove()
        return kept[-1]

    def forward(self, x):
        """Map ``(n, *input_shape)`` to ``(n, n_outputs)``."""
        return self.head(self.features(x))


class BoxArchitecture(FineTunedArchitecture):
    """Recipe of a `BoxNetwork`."""

    built = BoxNetwork


def make_box_head(map_shape, n_outputs, dropout):
    """Return a dropout layer followed by a `BoxHead`."""
    return nn.Sequential(Dropout(dropout), BoxHead(map_shape, n_outputs - N_SIDES))


def find_map_block(network, blocks, blank):
    """Find the block of a network whose feature map suits small objects best.

    Parameters
    ----------
    network : torch.nn.Module
        The network, in evaluation mode.

    blocks : sequence of str
        Names of the network's blocks, in order of execution.

    blank : torch.Tensor of shape (1, n_channels, height, width)
        A sample.

    Returns
    -------
    str
        The last block with a stride of at most 16 pixels, or else the first with a
        feature map.

    Raises
    ------
    ValueError
        If no block returns a feature map.
    """
    sides = {}

    def noting(name):
        def note(part, args, out):
            if isinstance(out, torch.Tensor) and out.ndim == 4:
                sides[name] = min(out.shape[2:])

        return note

    parts = {name: network.get_submodule(name) for name in blocks}
    handles = [part.register_forward_hook(noting(name)) for name, part in parts.items()]
    try:
        with torch.no_grad():
            network(blank)
    finally:
        for handle in handles:
            handle.remove()
    names = [name for name, side in sides.items() if side > 1]
    if not names:
        raise ValueError(
            "The network has no feature maps (n_channels, height, width), expected a "
            "convolutional network for images. Choose another backbone."
        )
    fine = min(blank.shape[2:]) // MAX_STRIDE
    return [name for name in names if sides[name] >= fine or name == names[0]][-1]
