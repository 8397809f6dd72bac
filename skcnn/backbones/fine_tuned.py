"""A network with a new head, of which the first layers may be frozen.

What runs first and what runs later is found out by running the network, so
that networks which cannot be traced have an order, too.
"""

from bisect import bisect_right
from collections import defaultdict
from difflib import get_close_matches
from numbers import Integral

import torch
from torch import nn

from ..modules import Dropout
from .copies import copy_network
from .hooked import WITH_WEIGHTS, Ending
from .layers import SKIPPED

MIN_BLOCKS = 4


class FineTunedNetwork(nn.Module):
    """A network whose last layer with weights is replaced by a new head.

    The head is a dropout and a fully connected layer that starts at zero. It
    replaces the network's own last dropout, too. Layers behind the last one
    with weights, such as the pooling of SqueezeNet, stay, activations excepted.
    All layers of a network stay that has an identity, or nothing, in the place of
    its last layer.

    Parameters
    ----------
    network : torch.nn.Module
        The network, of which a copy is kept.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of one sample.

    n_outputs : int
        Number of values returned for a sample.

    trainable : "all", "head", str or int, default="all"
        "head" freezes all layers but the head; the name of a layer those that
        run before it; a number all but so many last blocks, see `find_blocks`.
        What is frozen stays in evaluation mode.

    lr_decay : float, default=1.0
        Factor of the learning rate from each block to the one before.

    dropout : float, default=0.0
        Probability that a feature is left out of a training step.

    Attributes
    ----------
    backbone : torch.nn.Module
        The network without its last layer.

    head : torch.nn.Sequential
        Dropout and fully connected layer.

    blocks : tuple of str
        Names of the blocks in the order in which they run.

    frozen : tuple of str
        Names of the modules of `backbone` that stay in evaluation mode.

    lr_factors : dict of str to float
        Factor of the learning rate of each parameter of `backbone`.

    layer_options : dict
        `trainable`, `lr_decay` and `dropout` as they are.

    Raises
    ------
    ValueError
        If there is no such layer, or there are fewer blocks.

    Examples
    --------
    >>> from skcnn.backbones.fine_tuned import FineTunedNetwork
    >>> from skcnn.modules import LeNet5
    >>> network = FineTunedNetwork(LeNet5((1, 28, 28), 10), (1, 28, 28), 3, trainable=1)
    >>> network.head
    Sequential(
      (0): Dropout(p=0.0)
      (1): Linear(in_features=84, out_features=3, bias=True)
    )
    """

    def __init__(
        self,
        network,
        input_shape,
        n_outputs,
        *,
        trainable="all",
        lr_decay=1.0,
        dropout=0.0,
    ):
        super().__init__()
        self.backbone = _plain_copy(network)
        self.order = RunningOrder(self.backbone, input_shape)
        if not self.order.is_bare:
            remove_last_layer(self.backbone, self.order)
        self.blocks = tuple(find_blocks(self.backbone, self.order))
        n_features = self._count_features(input_shape)
        self.head = make_head(n_features, n_outputs, dropout)
        self.choose_layers(trainable, lr_decay, dropout)

    def _count_features(self, input_shape):
        """Return the number of features, if the network ends at them."""
        with torch.no_grad():
            try:
                out = self.backbone(torch.zeros(1, *input_shape))
            except RuntimeError as error:  # which took the sample with its last layer
                raise ValueError(
                    "The network computes something after its last layer with weights "
                    "that does not take what a new head gets. Leave it out, or put it "
                    f"before that layer: {error}"
                ) from error
        if not isinstance(out, torch.Tensor):
            raise ValueError(
                f"The network returns {type(out).__name__}, expected a tensor with a "
                "row for each sample."
            )
        return self._as_rows(out).shape[1]

    def choose_layers(self, trainable, lr_decay, dropout):
        """Choose the layers that are trained from now on, and how.

        Parameters
        ----------
        trainable, lr_decay, dropout
            See the class.

        Raises
        ------
        ValueError
            If there is no such layer, or there are fewer blocks.
        """
        self._freeze(self.order.find_start(trainable, self.blocks))
        self.lr_factors = self._find_lr_factors(lr_decay)
        self.head[0].p = dropout
        self.layer_options = {
            "trainable": trainable,
            "lr_decay": lr_decay,
            "dropout": dropout,
        }

    def features(self, x):
        """Return what the head takes of a batch.

        Parameters
        ----------
        x : torch.Tensor of shape (n, *input_shape)
            The batch.

        Returns
        -------
        torch.Tensor of shape (n, n_features)
            Means of maps over their positions.
        """
        return self._as_rows(self.backbone(x))

    def _as_rows(self, out):
        return out.flatten(2).mean(2) if out.ndim > 2 else out

    def forward(self, x):
        """Map ``(n, *input_shape)`` to ``(n, n_outputs)``; also their features."""
        if (x.ndim == 2) is True:  # while it is traced, x has no number of axes
            return self.head(x)
        return self.head(self.features(x))

    def train(self, mode=True):
        """Set the mode of what is not frozen.

        Parameters
        ----------
        mode : bool, default=True
            Whether it is the mode for training.

        Returns
        -------
        FineTunedNetwork
            The network.
        """
        super().train(mode)
        for name in self.frozen:
            self.backbone.get_submodule(name).training = False
        return self

    def parameter_groups(self):
        """Return the parameters that are trained, by the factor of their rate.

        Returns
        -------
        list of dict
            With `params` and `lr_factor`, for an optimiser.
        """
        groups = defaultdict(list)
        for name, parameter in self.backbone.named_parameters():
            if parameter.requires_grad:
                groups[self.lr_factors[name]].append(parameter)
        groups[1.0] += self.head.parameters()
        return [
            {"params": params, "lr_factor": factor} for factor, params in groups.items()
        ]

    def _freeze(self, start):
        """Freeze what runs before a position, all where no weights run later."""
        order = self.order
        parameters = dict(self.backbone.named_parameters())
        if not any(order.position(_owner(name)) >= start for name in parameters):
            start = len(order.names)
        for name, parameter in parameters.items():
            parameter.requires_grad_(order.position(_owner(name)) >= start)
        self.frozen = tuple(
            name
            for name, module in self.backbone.named_modules()
            if all(
                order.position(f"{name}.{inner}".strip(".")) < start
                for inner, _ in module.named_modules()
            )
        )

    def _find_lr_factors(self, lr_decay):
        """Return the factor of each parameter, by the blocks that come after it."""
        starts = [self.order.position(block) for block in self.blocks]
        factors = {}
        for name, _ in self.backbone.named_parameters():
            n_before = bisect_right(starts, self.order.position(_owner(name)))
            factors[name] = float(lr_decay ** (len(starts) - n_before + 1))
        return factors


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

    is_bare : bool
        Whether the network has nothing in the place of its last layer.
    """

    def __init__(self, network, input_shape):
        self.positions = {}
        modules = dict(network.named_modules())
        weighted = {n: part for n, part in modules.items() if _has_weights(part)}
        ending = Ending(network, weighted)
        handles = ending.watch() + [
            module.register_forward_pre_hook(self._noting(name))
            for name, module in modules.items()
        ]
        try:
            with torch.no_grad():
                out = network(torch.zeros(1, *input_shape))
        finally:
            for handle in handles:
                handle.remove()
        self.names = list(self.positions)
        self.is_bare = ending.is_bare(out)

    def _noting(self, name):
        def note(module, args):
            self.positions.setdefault(name, len(self.positions))

        return note

    def position(self, name):
        """Return the position of a module, of its parent where it never runs."""
        while name not in self.positions:
            name = _owner(name)
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
            return self._find_layer(trainable)
        if trainable > len(blocks):
            raise ValueError(
                f"trainable={trainable}, but the network has {len(blocks)} blocks: "
                f"{', '.join(blocks)}. Use trainable='all' to train all layers."
            )
        return self.positions[blocks[-trainable]]

    def _find_layer(self, name):
        names = self.names[1:]
        inside = [n for n in names if f"{n}.".startswith(f"{name}.")]
        if inside:  # a list of modules does not run itself
            return self.positions[inside[0]]
        close = get_close_matches(name, names, n=5, cutoff=0.4) or names[-5:]
        raise ValueError(
            f"trainable={name!r} is neither 'all' nor 'head' nor one of the network's "
            f"{len(names)} layers that have a name. Close ones are "
            f"{', '.join(map(repr, close))}."
        )


def make_head(n_features, n_outputs, dropout):
    """Return a dropout and a fully connected layer that starts at zero.

    Parameters
    ----------
    n_features : int
        Number of values that come in for a sample.

    n_outputs : int
        Number of values that go out.

    dropout : float
        Probability that a feature is left out of a training step.

    Returns
    -------
    torch.nn.Sequential
        The head.
    """
    linear = nn.Linear(n_features, n_outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(Dropout(dropout), linear)


def remove_last_layer(network, order):
    """Replace the last layer with weights by nothing.

    The dropout directly before it and activations after it go as well.

    Parameters
    ----------
    network : torch.nn.Module
        The network, which is changed.

    order : RunningOrder
        Of its modules.

    Raises
    ------
    ValueError
        If it has no such layer.
    """
    names = order.names
    modules = {name: network.get_submodule(name) for name in names}
    weighted = [name for name in names if _has_weights(modules[name])]
    if not any(weighted):
        raise ValueError(
            "The network has no convolution or fully connected layer that a new head "
            "could replace."
        )
    last = names.index(weighted[-1])
    first = last
    while isinstance(modules[names[first - 1]], SKIPPED):
        first -= 1
    activations = [name for name in names[last:] if _is_activation(modules[name])]
    for name in [*names[first : last + 1], *activations]:
        network.set_submodule(name, nn.Identity())


def find_blocks(network, order):
    """Return the names of the blocks of a network in the order in which they run.

    They are the network's children that have weights. While these are fewer than
    four, the one with the most layers is replaced by its own children: so the
    blocks of a ResNet are its stem and its stages, those of a network that is one
    long sequence are its members.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    order : RunningOrder
        Of its modules.

    Returns
    -------
    list of str
        The names.
    """
    blocks = _children(network, "", order)
    while len(blocks) < MIN_BLOCKS:
        sizes = {name: _count_layers(network.get_submodule(name)) for name in blocks}
        largest = max(blocks, key=sizes.get, default=None)
        if largest is None or sizes[largest] < 2:
            break
        blocks.remove(largest)
        blocks += _children(network.get_submodule(largest), f"{largest}.", order)
    return sorted(blocks, key=order.position)


def _plain_copy(network):
    """Return a copy of which nothing is frozen, in evaluation mode, on the CPU."""
    network = copy_network(network).to("cpu", torch.float32)
    for module in network.modules():
        if isinstance(module, FineTunedNetwork):
            module.frozen = ()
    return network.eval().requires_grad_()


def _children(module, prefix, order):
    """Return the names of the children that have weights and run.

    In the place of those that do not, as lists of modules, come their own children.
    """
    names = []
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        if name in order.positions:
            names += [name] if _count_layers(child) else []
        else:
            names += _children(child, f"{name}.", order)
    return names


def _has_weights(module):
    return isinstance(module, WITH_WEIGHTS)


def _count_layers(module):
    """Return the number of modules that have weights of their own."""
    return sum(any(True for _ in part.parameters(False)) for part in module.modules())


def _is_activation(module):
    return type(module).__module__ == "torch.nn.modules.activation"


def _owner(name):
    """Return the name of the module that has a parameter or a module."""
    return name.rpartition(".")[0]
