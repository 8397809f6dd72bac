"""Copies of networks."""

import copy

import torch
from torch import nn


def copy_network(module):
    """Return a copy of a network, with its own weights.

    Parameters
    ----------
    module : torch.nn.Module
        Network. Tensors in its attributes with a gradient history, as after pruning or
        weight normalisation, are detached in the copy.

    Returns
    -------
    torch.nn.Module
        The copy.
    """
    values = (value for part in module.modules() for value in vars(part).values())
    tensors = (value for value in values if isinstance(value, torch.Tensor))
    return copy.deepcopy(
        module, {id(t): t.detach().clone() for t in tensors if not t.is_leaf}
    )


def copy_sharing_weights(module):
    """Return a copy of a network that shares its parameters and buffers.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    torch.nn.Module
        Copy. Changes of its other attributes do not affect the network.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def weightless_copy(module):
    """Return a copy of a network whose tensors have shapes but no values.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    torch.nn.Module
        Copy on the device "meta".
    """
    tensors = {id(p): nn.Parameter(p.to("meta"), False) for p in module.parameters()}
    tensors |= {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    return copy.deepcopy(module, tensors).to("meta")
