"""A sequence of layers that can be cut."""

from collections import OrderedDict

from torch import nn


class Layers(nn.Sequential):
    """Layers one after the other; a slice of them is a plain sequence.

    ``net[:-1]`` is the network without its last layer and shares the others.
    """

    def __getitem__(self, index):
        return nn.Sequential(OrderedDict(self.named_children()))[index]
