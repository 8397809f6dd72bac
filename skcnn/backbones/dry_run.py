"""Networks run on shapes alone, without any numbers."""

import contextlib
import copy

import torch
from torch import fx, nn

N_SAMPLES = 3  # which hardly any other axis is as long as


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


def find_shapes(module, graph, input_shape):
    """Return the shapes of what the operations of a traced network return.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    graph : torch.fx.Graph
        Its operations.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample, of which a batch has
        `N_SAMPLES`.

    Returns
    -------
    dict of torch.fx.Node to tuple of int
        None of what is no tensor. Where the network cannot be run so to its end, of
        the operations before that which fails.
    """
    shapes = {}

    class Interpreter(fx.Interpreter):
        def run_node(self, n):
            value = super().run_node(n)
            is_tensor = isinstance(value, torch.Tensor)
            shapes[n] = tuple(value.shape) if is_tensor else None
            return value

    batch = torch.zeros(N_SAMPLES, *input_shape, device="meta")
    # Whatever does not work without numbers, or with such a shape, may be raised.
    with torch.no_grad(), contextlib.suppress(Exception):
        network = fx.GraphModule(weightless_copy(module), graph)
        Interpreter(network, graph=graph).run(batch)
    return shapes
