"""What the passes of `direct` can stand in for.

Networks exactly as `ConvNet` makes them: what somebody has added or exchanged has to
run as it is.
"""

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from ..modules import ConvBlock, ConvNet, Dropout
from .optimizers import FUSED
from .sums import is_fixed_order

# Losses and layers that compute the same with any number of threads.
LOSSES = {nn.CrossEntropyLoss, nn.MSELoss}
MAX_OUTPUTS = 16384  # of a batch; those of more may be shared by threads
INDEPENDENT = {nn.Identity, nn.ReLU, nn.LeakyReLU, Dropout}
# What the parts of a block may be.
BLOCK = {
    "conv": {nn.Conv2d},
    "norm": {nn.BatchNorm2d, nn.Identity},
    "activation": INDEPENDENT,
    "pool": {nn.Identity, nn.MaxPool2d, nn.AvgPool2d},
    "dropout": {Dropout},
}
# What somebody may have added to a layer.
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
METHODS = {"forward", "_conv_forward", "finish"}


def is_known(network, criterion, batch_size):
    """Return whether a network and its loss are as this package makes them.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    criterion : torch.nn.Module
        The loss.

    batch_size : int
        Number of samples in a batch.

    Returns
    -------
    bool
        Whether a step goes without the mode, wherever `is_ready` is also True.
    """
    return (
        type(network) is ConvNet
        and type(criterion) in LOSSES
        and all(map(_is_plain, network.modules()))
        and _has_usual_layers(network)
        and all(map(_is_trained, network.parameters()))
        and batch_size * network.output[-1].out_features < MAX_OUTPUTS
    )


def is_ready(network):
    """Return whether a step of a known network can go without the mode now.

    Parameters
    ----------
    network : ConvNet
        The network.

    Returns
    -------
    bool
        False also where there is no mode, as on a GPU and in small fits.
    """
    return (
        is_fixed_order()
        and not torch.is_autocast_enabled("cpu")
        and not _has_any_global_hook()
        and all(map(_is_ready, network.modules()))
    )


def _is_ready(layer):
    has_generator = type(layer) is not Dropout or layer.generator is not None
    return layer.training and (has_generator or not layer.p)


def is_fused(optimizer):
    """Return whether an optimiser's steps are the same without the mode.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Of the weights of a known network.

    Returns
    -------
    bool
        False also where somebody has added a hook to it.
    """
    hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    return (
        type(optimizer) in FUSED
        and not any(hooks)
        and all(group["fused"] for group in optimizer.param_groups)
    )


def is_usual(optimizer):
    """Return whether an optimiser is torch's or ours, of which none is random.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimiser.

    Returns
    -------
    bool
    """
    return type(optimizer).__module__.startswith(("torch.", "skcnn."))


def is_changed(layer):
    """Return whether somebody has added a hook to a layer, or exchanged a method."""
    return bool(METHODS & vars(layer).keys()) or any(
        getattr(layer, hooks) for hooks in HOOKS
    )


def has_hooks(weight):
    """Return whether something looks at the gradients of a weight."""
    return bool(weight._backward_hooks or weight._post_accumulate_grad_hooks)


def _is_plain(layer):
    """Return whether a layer is as torch or this package makes it."""
    if is_changed(layer):
        return False
    if type(layer) is nn.Conv2d:
        sizes = layer.stride, layer.padding, layer.dilation
        return layer.padding_mode == "zeros" and {*map(type, sizes)} == {tuple}
    if type(layer) is nn.BatchNorm2d:
        values = layer.weight, layer.bias, layer.num_batches_tracked, layer.momentum
        return layer.track_running_stats and all(v is not None for v in values)
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return type(layer) is not nn.Linear or layer.bias is not None


def _has_usual_layers(network):
    """Return whether layers are in the places where `ConvNet` has them."""
    layers = list(network._modules.values())
    n_blocks = sum(type(layer) is ConvBlock for layer in layers)
    heads = layers[n_blocks + 1 :]
    kinds = [ConvBlock] * n_blocks + [nn.Flatten] + [nn.Sequential] * len(heads)
    return (
        [type(layer) for layer in layers] == kinds
        and all(map(_has_usual_parts, layers[:n_blocks]))
        and all(
            type(layer) in {*INDEPENDENT, nn.Linear}
            for head in heads
            for layer in head._modules.values()
        )
        and [*network._modules][-1:] == ["output"]
        and [type(layer) for layer in network.output][-1:] == [nn.Linear]
    )


def _has_usual_parts(block):
    parts = block._modules
    return (
        block.thinning is None
        and parts.keys() == BLOCK.keys()
        and all(type(part) in BLOCK[name] for name, part in parts.items())
    )


def _is_trained(weight):
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.requires_grad
        and not has_hooks(weight)
    )
