"""The order in which the parts of a network run, and the blocks that they form.

It is found out by running the network, so that networks which cannot be traced have
one, too.
"""

from difflib import get_close_matches
from numbers import Integral

import torch

from .head import Ending

MIN_BLOCKS = 4
MAX_SHARE = 0.9  # of the layers that a block has: more, and it is not one block


class RunningOrder:
    """The order in which the modules of a network begin to run.

    Parameters
    ----------
    network : torch.nn.Module
        The network, in evaluation mode.

    input_shape : tuple of int
        Shape of a sample, channels first.

    Attributes
    ----------
    names : list of str
        Of the modules, in that order; the network itself is the first, "".

    positions : dict of str to int
        Where each one is in `names`.

    head : list of str
        Names of the last layers, see `skcnn.backbones.head.Ending`.

    Raises
    ------
    ValueError
        If no part of the network has weights.
    """

    def __init__(self, network, input_shape):
        self.positions = {}
        ending = Ending(network)
        handles = ending.watch() + [
            module.register_forward_pre_hook(self._noting(name))
            for name, module in network.named_modules()
        ]
        try:
            with torch.no_grad():
                out = network(torch.zeros(1, *input_shape))
        finally:
            for handle in handles:
                handle.remove()
        self.names = list(self.positions)
        self.head = ending.head(out)

    def _noting(self, name):
        def note(module, args):
            self.positions.setdefault(name, len(self.positions))

        return note

    def position(self, name):
        """Return the position of a module, of its parent if it never runs."""
        while name not in self.positions:
            name = name.rpartition(".")[0]
        return self.positions[name]

    def find_start(self, trainable, blocks):
        """Return the position from which on modules are trained.

        Parameters
        ----------
        trainable : str or int
            As of `FineTunedNetwork`.

        blocks : sequence of str
            Names of the blocks.

        Returns
        -------
        int
            0 to train all; the number of modules to train none.
        """
        if isinstance(trainable, bool):  # which would count as 1 or 0
            raise ValueError(
                f"trainable={trainable}, expected 'all', 'head', the name of a layer "
                "or a number of blocks."
            )
        if trainable in ("head", 0):
            return len(self.names)
        if trainable == "all":
            return 0
        if not isinstance(trainable, Integral):
            return self._find_layer(trainable, blocks)
        if trainable > len(blocks):
            raise ValueError(
                f"trainable={trainable}, but the network has {len(blocks)} blocks: "
                f"{', '.join(blocks)}. Use trainable='all' to train all layers."
            )
        return self.positions[blocks[-trainable]]

    def _find_layer(self, name, blocks):
        names = self.names[1:]
        inside = [n for n in names if f"{n}.".startswith(f"{name}.")]
        if inside:  # a list of modules does not run itself
            return self.positions[inside[0]]
        raise ValueError(
            f"trainable={name!r} is neither 'all' nor 'head' nor one of the network's "
            f"{len(names)} layers that have a name. Close ones are "
            f"{close_names(name, [*blocks, *names])}."
        )


def find_blocks(network, positions):
    """Return the names of the blocks of a network in the order in which they run.

    They are the network's children that have weights. While these are fewer than
    four, or one of them has nine tenths of all layers, the one with the most is
    replaced by its own children: so the blocks of a ResNet are its stem and its
    stages, those of a network that is one long sequence are its members.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    positions : dict of str to int
        Its modules that run, and when.

    Returns
    -------
    list of str
        The names.
    """
    blocks = _children(network, "", positions)
    sizes = {name: _count_layers(network.get_submodule(name)) for name in blocks}
    while blocks:
        largest = max(blocks, key=sizes.get)
        is_one_block = sizes[largest] < MAX_SHARE * sum(sizes[n] for n in blocks)
        if sizes[largest] < 2 or (len(blocks) >= MIN_BLOCKS and is_one_block):
            break
        part = network.get_submodule(largest)
        children = _children(part, f"{largest}.", positions)
        if not children:
            break
        sizes |= {name: _count_layers(network.get_submodule(name)) for name in children}
        blocks = [name for name in blocks if name != largest] + children
    return sorted(blocks, key=positions.get)


def close_names(name, names):
    """Return the names that are close to an unknown one, for a message.

    Parameters
    ----------
    name : str
        That one.

    names : sequence of str
        The names that there are, the most likely ones first.

    Returns
    -------
    str
        Up to five of them in quotes; the last ones if none is close.
    """
    names = list(dict.fromkeys(names))
    close = get_close_matches(name, names, n=5, cutoff=0.4) or names[-5:]
    return ", ".join(map(repr, sorted(close, key=names.index)))


def _children(module, prefix, positions):
    """Return the names of the children that have weights and run.

    In the place of those that do not, as lists of modules, come their own children.
    """
    names = []
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        if name in positions:
            names += [name] if _count_layers(child) else []
        else:
            names += _children(child, f"{name}.", positions)
    return names


def _count_layers(module):
    """Return the number of modules that have weights of their own."""
    return sum(any(True for _ in part.parameters(False)) for part in module.modules())
