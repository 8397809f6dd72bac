"""Where the channels of images and filters are in memory."""

from itertools import chain

import torch

# By the number of axes of a batch; signals have no such format.
MEMORY_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def with_channels_last(module, n_axes):
    """Return a network whose filters have channels last in memory.

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
    memory_format = MEMORY_FORMATS.get(n_axes)
    for tensor in chain(module.parameters(), module.buffers()):
        if memory_format is not None and tensor.ndim == n_axes:
            tensor.data = tensor.data.to(memory_format=memory_format)
    return module
