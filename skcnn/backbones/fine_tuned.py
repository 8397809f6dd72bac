"""Network with a new head, whose first layers may be frozen."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..modules import Dropout, find_recipe, note_recipe
from .copies import copy_network
from .head import SKIPPED
from .running_order import RunningOrder, find_blocks


class FineTunedNetwork(nn.Module):
    """Network whose last layer with weights is replaced by a new head.

    The head is a dropout and a fully connected layer whose weights are initially 0. It
    also replaces the network's last dropout. Layers after the last one with weights,
    such as the pooling of SqueezeNet, are kept, except for activations. If the network
    has an identity, or nothing, in place of its last layer, all its layers are kept.

    Parameters
    ----------
    network : torch.nn.Module
        Network. It is copied.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of one sample.

    n_outputs : int
        Number of outputs.

    trainable : "all", "head", str or int, default="all"
        Layers that are trained: "all"; "head", the new head alone; the name of a layer,
        from which on layers are trained; or a number of last blocks, see
        `skcnn.backbones.running_order.find_blocks`. Frozen layers stay in evaluation
        mode.

    lr_decay : float, default=1.0
        Factor of the learning rate from each block to the one before.

    dropout : float, default=0.0
        Probability that a feature is dropped in a training step.

    trains_statistics : bool or None, default=None
        Whether training updates batch-norm statistics. None is True if all of them have
        their initial values. Learnt statistics are kept by default: those of small
        batches of other images are poorer and would damage the weights.

    Attributes
    ----------
    backbone : torch.nn.Module
        The network without its last layer.

    head : torch.nn.Sequential
        Dropout and fully connected layer.

    blocks : tuple of str
        Names of the blocks, in order of execution.

    frozen : tuple of str
        Names of the modules of `backbone` that stay in evaluation mode.

    lr_factors : dict of str to float
        Factor of the learning rate of each parameter of `backbone`.

    layer_options : dict
        Current values of `trainable`, `lr_decay` and `dropout`.

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
        trains_statistics=None,
    ):
        super().__init__()
        recipe = find_recipe(network)
        self.backbone = _plain_copy(network)
        if trains_statistics is None:
            trains_statistics = not any(map(_has_learnt, _norms(self.backbone)))
        self.trains_statistics = trains_statistics
        self.order = RunningOrder(self.backbone, input_shape)
        blocks = find_blocks(self.backbone, self.order.positions)
        if self.order.head:
            remove_head(self.backbone, self.order)
        self.blocks = tuple(filter(self._has_weights, blocks))
        n_features = self._count_features(input_shape)
        self.head = self._make_head(n_features, n_outputs, dropout)
        if recipe is not None:
            recipe = self._make_recipe(recipe, tuple(input_shape), n_outputs, {})
            note_recipe(self, recipe)
        self.choose_layers(trainable, lr_decay, dropout)

    def _has_weights(self, block):
        return any(True for _ in self.backbone.get_submodule(block).parameters())

    def _count_features(self, input_shape):
        """Return the number of features that the network returns without its head."""
        with torch.no_grad():
            try:
                out = self.backbone(torch.zeros(1, *input_shape))
            except RuntimeError as error:  # with its last layer, it took the sample
                raise ValueError(
                    "The head cannot be replaced, as operations after the last layer "
                    "with weights fail without it. Remove these operations, or move "
                    f"them before that layer: {error}"
                ) from error
        if not isinstance(out, torch.Tensor):
            raise ValueError(
                f"The network returns {type(out).__name__}, expected a tensor with a "
                "row for each sample."
            )
        return self._as_rows(out).shape[1]

    def choose_layers(self, trainable, lr_decay, dropout):
        """Set the layers that are trained, their learning rates and the dropout.

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
        if hasattr(self, "recipe_"):
            recipe, structure = self.recipe_
            options = {
                **self.layer_options,
                "trains_statistics": self.trains_statistics,
            }
            self.recipe_ = replace(recipe, options=options), structure

    def features(self, x):
        """Return the features of a batch, the input of the head.

        Parameters
        ----------
        x : torch.Tensor of shape (n, *input_shape)
            Batch.

        Returns
        -------
        torch.Tensor of shape (n, n_features)
            Features; feature maps are averaged over their positions.
        """
        return self._as_rows(self.backbone(x))

    def _make_head(self, n_features, n_outputs, dropout):
        return make_head(n_features, n_outputs, dropout)

    def _make_recipe(self, *args):
        return FineTunedArchitecture(*args)

    def _as_rows(self, out):
        return out.flatten(2).mean(2) if out.ndim > 2 else out

    def forward(self, x):
        """Map ``(n, *input_shape)`` to ``(n, n_outputs)``; also accepts features."""
        if (x.ndim == 2) is True:  # when it is traced, x.ndim is a symbol
            return self.head(x)
        return self.head(self.features(x))

    def train(self, mode=True):
        """Set the mode of the layers that are not frozen.

        Parameters
        ----------
        mode : bool, default=True
            Whether to set training mode (True) or evaluation mode (False).

        Returns
        -------
        FineTunedNetwork
            The network.
        """
        super().train(mode)
        for name in self.frozen:
            self.backbone.get_submodule(name).training = False
        if not self.trains_statistics:
            for norm in _norms(self.backbone):
                norm.training = False
        return self

    def parameter_groups(self):
        """Return the trainable parameters, grouped by learning-rate factor.

        Returns
        -------
        list of dict
            Groups with `params` and `lr_factor`, for an optimiser.
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
        """Freeze the layers before a position; all, if none after it has weights."""
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
        """Return the learning-rate factor of each parameter, by its block."""
        starts = [self.order.position(block) for block in self.blocks]
        factors = {}
        for name, _ in self.backbone.named_parameters():
            n_before = bisect_right(starts, self.order.position(_owner(name)))
            factors[name] = float(lr_decay ** (len(starts) - n_before + 1))
        return factors


@dataclass(frozen=True)
class FineTunedArchitecture:
    """Recipe to build a :class:`FineTunedNetwork`.

    Parameters
    ----------
    network : object
        Recipe of the network.

    input_shape, n_outputs, options
        Arguments of :class:`FineTunedNetwork`.
    """

    network: object
    input_shape: tuple
    n_outputs: int
    options: dict

    built = FineTunedNetwork

    def build(self):
        """Return the network, with placeholder weights."""
        network = self.network.build()
        return self.built(network, self.input_shape, self.n_outputs, **self.options)


def make_head(n_features, n_outputs, dropout):
    """Return a dropout and a fully connected layer with weights of 0.

    Parameters
    ----------
    n_features : int
        Number of input values.

    n_outputs : int
        Number of output values.

    dropout : float
        Probability that a feature is dropped in a training step.

    Returns
    -------
    torch.nn.Sequential
        The head.
    """
    linear = nn.Linear(n_features, n_outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(Dropout(dropout), linear)


def remove_head(network, order):
    """Replace the last layers with weights by identities.

    The dropout directly before them and activations after them are replaced as well.

    Parameters
    ----------
    network : torch.nn.Module
        Network, modified in place.

    order : RunningOrder
        Order of its modules.
    """
    names = order.names
    modules = {name: network.get_submodule(name) for name in names}
    first = last = names.index(order.head[-1])
    while isinstance(modules[names[first - 1]], SKIPPED):
        first -= 1
    activations = [name for name in names[last:] if _is_activation(modules[name])]
    removed = [*order.head, *names[first:last]]
    for name in activations:
        if not name.startswith(tuple(f"{head}." for head in order.head)):
            removed.append(name)
    for name in removed:
        network.set_submodule(name, nn.Identity())


def _plain_copy(network):
    """Return a copy without frozen layers, in evaluation mode, on the CPU."""
    network = copy_network(network).to("cpu", torch.float32)
    for module in network.modules():
        if isinstance(module, FineTunedNetwork):
            module.frozen = ()
    return network.eval().requires_grad_()


def _norms(network):
    """Return the batch-norm layers of a network with running statistics."""
    parts = network.modules()
    return [p for p in parts if isinstance(p, _BatchNorm) and p.track_running_stats]


def _has_learnt(norm):
    """Return whether batch-norm statistics differ from their initial values."""
    return bool(norm.running_mean.any() or (norm.running_var != 1).any())


def _is_activation(module):
    return type(module).__module__ == "torch.nn.modules.activation"


def _owner(name):
    """Return the name of the parent of a parameter or module."""
    return name.rpartition(".")[0]
