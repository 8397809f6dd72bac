"""Networks run on shapes alone, without any numbers."""

import contextlib

import torch
from torch import fx

from .copies import weightless_copy

N_SAMPLES = 3  # which hardly any other axis is as long as


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
        network = weightless_copy(fx.GraphModule(module, graph))
        Interpreter(network, graph=graph).run(batch)
    return shapes
