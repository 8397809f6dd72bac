"""Multiply-adds of layers, and numbers of weights if they were fully connected."""

from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..backbones.cutting import evaluating
from ..backbones.dry_run import N_SAMPLES, blank_batch, run_dry
from ..backbones.tracing import trace


class LayerCosts(NamedTuple):
    """Costs of a layer for one sample.

    Parameters
    ----------
    n_multiply_adds : int
        Number of multiply-adds.

    n_dense_weights : int
        For convolutions, number of weights of a fully connected layer with the same
        inputs and outputs; 0 for other layers.
    """

    n_multiply_adds: int
    n_dense_weights: int


def count_costs(module, input_shape):
    """Count the costs of the layers of a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network. It is run with tensors that have a shape but no values.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample.

    Returns
    -------
    dict of str to LayerCosts or None
        Costs by layer name, in order of execution. Operations between two layers count
        for the second. None if the network cannot be run without values.

    Examples
    --------
    >>> from skcnn.inspection.layer_costs import count_costs
    >>> from skcnn.modules import LeNet5
    >>> costs = count_costs(LeNet5((1, 28, 28), 10), (1, 28, 28))
    >>> max(cost.n_multiply_adds for cost in costs.values())  # 16 filters of 6×5×5
    240000
    """
    module = evaluating(module)
    network = trace(module) or module
    costs, counter = {}, CostCounter()

    def note(name, value):
        before = costs.get(name, LayerCosts(0, 0))
        since = counter.read()
        costs[name] = LayerCosts(*map(sum, zip(before, since, strict=True)))

    with counter:
        ran = run_dry(network, blank_batch(network, input_shape), note)
    return costs if ran else None


class CostCounter(TorchDispatchMode):
    """Counter of the costs of operations for one sample."""

    def __init__(self):
        super().__init__()
        self.n_multiply_adds = self.n_dense_weights = 0

    def read(self):
        """Return the costs since the last call."""
        costs = LayerCosts(self.n_multiply_adds, self.n_dense_weights)
        self.n_multiply_adds = self.n_dense_weights = 0
        return costs

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:  # torch counts a multiplication and an addition as two
            flops = count(*args, **kwargs, out_val=out)
            self.n_multiply_adds += flops // (2 * N_SAMPLES)
        if func.overloadpacket is torch.ops.aten.convolution:
            n_inputs, n_outputs = args[0][0].numel(), out[0].numel()
            self.n_dense_weights += n_inputs * n_outputs
        return out
