"""Order of execution of the parts of a network, and its blocks.

The network is run to find the order, so networks that cannot be traced have one, too.
"""

from difflib import get_close_matches
from numbers import Integral

import torch

from .head import Ending

MIN_BLOCKS = 4
MAX_SHARE = 0.9  # of all layers; a larger block is divided


class RunningOrder:
    """Order in which the modules of a network begin to run.

    Parameters
    ----------
    network : torch.nn.Module
        The network, in evaluation mode.

    input_shape : tuple of int
        Shape of a sample, channels first.

    Attributes
    ----------
    names : list of str
        Names of the modules, in this order. The network itself, "", is the first.

    positions : dict of str to int
        Position of each module in `names`.

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
        """Return the position of a module, or of its parent if it never runs."""
        while name not in self.positions:
            name = name.rpartition(".")[0]
        return self.positions[name]

    def find_start(self, trainable, blocks):
        """Return the position of the first module that is trained.

        Parameters
        ----------
        trainable : str or int
            Layers that are trained, see `FineTunedNetwork`.

        blocks : sequence of str
            Names of the blocks.

        Returns
        -------
        int
            Position; 0 trains all modules, the number of modules none.
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
            f"trainable={name!r} is not 'all', 'head' or one of the network's "
            f"{len(names)} named layers. Similar names are "
            f"{close_names(name, [*blocks, *names])}."
        )


def find_blocks(network, positions):
    """Return the names of the blocks of a network, in order of execution.

    Blocks are the children of the network that have weights. While there are fewer than
    four, or one has nine tenths of all layers, the largest is replaced by its own
    children. The blocks of a ResNet are its stem and its stages; those of one long
    sequence are its members.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    positions : dict of str to int
        Position of each module that runs.

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
    """Return the names that are similar to an unknown one, for a message.

    Parameters
    ----------
    name : str
        Unknown name.

    names : sequence of str
        Known names, the most likely ones first.

    Returns
    -------
    str
        Up to five names in quotes; the last ones if none is similar.
    """
    names = list(dict.fromkeys(names))
    close = get_close_matches(name, names, n=5, cutoff=0.4) or names[-5:]
    return ", ".join(map(repr, sorted(close, key=names.index)))


def _children(module, prefix, positions):
    """Return the names of the children that have weights and run.

    Children that do not run, such as lists of modules, are replaced by their own.
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
