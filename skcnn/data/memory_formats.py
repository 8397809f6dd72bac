"""Where the channels of images and filters are in memory."""

from itertools import chain

import torch

# By the number of axes of a batch; signals have no such format.
MEMORY_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
# Whose code reads maps in any format.
KNOWN_LIBRARIES = ("torch.", "torchvision.", "timm.", "skcnn.")


def with_channels_last(module, n_axes):
    """Return a network whose filters have channels last in memory.

    One with code of its own that calls ``view``, as many flatten their maps, keeps
    its filters and gets batches with channels first in memory: there is no such view
    of others.

    Parameters
    ----------
    module : torch.nn.Module
        The network, which is changed.

    n_axes : int
        Number of axes of its batches. Tensors with others stay as they are, of
        which :meth:`torch.nn.Module.to` refuses some.

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
    """Return the arguments of a network, its batch copied; a hook.

    A batch of one channel is contiguous in either format, and its strides say which.
    """
    batch, *others = arguments
    return batch.clone(memory_format=torch.contiguous_format), *others


def _takes_views(part):
    """Return whether a part of a network has code of its own that calls ``view``."""
    return any(
        "view" in getattr(getattr(value, "__code__", None), "co_names", ())
        for cls in type(part).__mro__
        if cls is not object and not cls.__module__.startswith(KNOWN_LIBRARIES)
        for value in vars(cls).values()
    )
