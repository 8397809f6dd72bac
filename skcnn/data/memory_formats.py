"""Memory formats: channels last in batches and in the filters of networks."""

from itertools import chain

import torch

from ..runtime import is_of

# Formats by the number of axes of a batch; signals have none.
MEMORY_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def to_channels_last(batch):
    """Return a batch with channels last in memory; signals become contiguous."""
    memory_format = MEMORY_FORMATS.get(batch.ndim, torch.contiguous_format)
    return batch.contiguous(memory_format=memory_format)


def with_channels_last(module, n_axes):
    """Convert the filters of a network to channels last in memory.

    If the network calls ``view``, for example to flatten feature maps, its filters are
    not changed and its batches are copied to channels first, as ``view`` fails for
    other memory formats.

    Parameters
    ----------
    module : torch.nn.Module
        Network, which is changed.

    n_axes : int
        Number of axes of a batch. Only parameters and buffers with this number of axes
        are changed.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    if any(map(_takes_views, module.modules())):
        if _with_channels_first not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_with_channels_first)
        return module
    memory_format = MEMORY_FORMATS.get(n_axes)
    for tensor in chain(module.parameters(), module.buffers()):
        if memory_format is not None and tensor.ndim == n_axes:
            tensor.data = tensor.data.to(memory_format=memory_format)
    return module


def _with_channels_first(module, arguments):
    """Copy the batch to channels first in a network's arguments (forward pre-hook).

    A batch of one channel is contiguous in both formats; only a copy has the strides
    of channels first.
    """
    batch, *others = arguments
    return batch.clone(memory_format=torch.contiguous_format), *others


def _takes_views(part):
    """Return whether a module has code, other than a library's, that calls ``view``."""
    return any(
        "view" in getattr(getattr(value, "__code__", None), "co_names", ())
        for cls in type(part).__mro__
        if not is_of(cls)
        for value in vars(cls).values()
    )
