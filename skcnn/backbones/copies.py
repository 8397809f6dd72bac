"""Copies of networks."""

import copy

import torch
from torch import nn


def copy_network(module):
    """Return a copy of a network whose weights are its own.

    Parameters
    ----------
    module : torch.nn.Module
        The network. Tensors that it keeps as attributes may have a history, as what
        pruning and weight normalisation compute has; the copy's have none.

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
    """Return a copy of a network that has the same parameters and buffers.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    torch.nn.Module
        What changes its other attributes leaves the network as it is.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def weightless_copy(module):
    """Return a copy of a network whose tensors have shapes and no numbers.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    torch.nn.Module
        On the device "meta".
    """
    tensors = {id(p): nn.Parameter(p.to("meta"), False) for p in module.parameters()}
    tensors |= {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    return copy.deepcopy(module, tensors).to("meta")
