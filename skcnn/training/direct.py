"""Passes of the plain network that no number of threads changes, without a mode.

`FixedOrderSums` sees each operation in Python, which takes a tenth of the time of a
step of a small network. The layers of `ConvNet` are known, so here they call the
functions that stand in for torch's operations themselves. Each layer leaves a
function that takes the gradient of its output back to its input; torch records the
loss alone.
"""

from contextlib import contextmanager

import torch
from torch import nn
from torch.autograd.graph import get_gradient_edge

from ..data import MEMORY_FORMATS
from ..modules import ConvBlock, Dropout
from .batch_norm import batch_norm, plain_batch_norm_backward
from .convolution import (
    compute,
    convolve,
    input_gradient,
    plan_weight_gradients,
    weight_gradients,
)
from .parts import matmul, sum_samples
from .pooled_norm import normalize_and_pool
from .sums import suspended

aten = torch.ops.aten


@contextmanager
def passes(dtype):
    """Within this context, one forward and one backward pass run.

    Parameters
    ----------
    dtype : torch.dtype
        Of the maps, and of the products of matrices.

    Yields
    ------
    Passes
        What stands in for a network, where `known.is_known` and `known.is_ready`
        return True.
    """
    with suspended():
        passes = Passes(dtype)
        try:
            yield passes
            passes.finish()
        finally:
            passes.forget()


class Passes:
    """A forward and a backward pass of a known network.

    The gradients of the convolutions' weights are computed when all others are
    there, so that threads are woken once and wait for each other once.

    In another precision than that of the weights, all maps are in it; weights and
    statistics, their gradients and the outputs are not. This is what autocast does.
    """

    def __init__(self, dtype):
        self._dtype = dtype
        self._steps = []  # of the backward pass, the first one last
        self._plans = []

    @torch.no_grad()
    def run(self, network, x):
        """Return ``network(x)``.

        Parameters
        ----------
        network : ConvNet
            The network.

        x : torch.Tensor of shape (n, n_channels, height, width)
            A batch.

        Returns
        -------
        torch.Tensor of shape (n, n_outputs)
            With a record of gradients, which begins here.
        """
        dtype, x = x.dtype, x.to(self._dtype)
        for layer in network._modules.values():
            if type(layer) is ConvBlock:
                x = self._run_block(layer, x)
            elif type(layer) is nn.Flatten:
                x = self._flatten(x)
            else:
                for part in layer._modules.values():
                    x = self._run_layer(part, x)
        self._outputs = x.to(dtype).requires_grad_()
        return self._outputs

    @torch.no_grad()
    def finish(self):
        """Run the backward pass, from the gradient of the outputs to the weights."""
        grad = self._outputs.grad.to(self._dtype)
        while self._steps:
            grad = self._steps.pop()(grad)
        grads = compute([plan for _, plan in self._plans])
        for (weights, _), of_weights in zip(self._plans, grads, strict=True):
            _accumulate(weights, of_weights)

    def forget(self):
        """Break the cycles of references that steps and plans are."""
        self._steps.clear()
        self._plans.clear()

    def _run_block(self, block, x):
        """Return ``block(x)``."""
        norm, pool = block.norm, block.pool
        x = self._convolve(block.conv, x)
        if type(norm) is not nn.Identity:
            if x.numel() == x.shape[1]:
                norm(x)  # says that it needs more
            norm.num_batches_tracked.add_(1)
            x = x.contiguous(memory_format=MEMORY_FORMATS[4])
            if block.pools_first and _has_plain_windows(pool):
                x, pool = self._normalize_and_pool(norm, pool.kernel_size, x), None
            else:
                x = self._normalize(norm, x)
        parts = pool, block.activation
        for part in (*(parts if block.pools_first else parts[::-1]), block.dropout):
            x = x if part is None else self._run_layer(part, x)
        return x

    def _run_layer(self, layer, x):
        """Return ``layer(x)``."""
        kind = type(layer)
        if kind is nn.Linear:
            return self._multiply(layer, x)
        if kind is nn.ReLU:
            return self._rectify(x)
        if kind is nn.LeakyReLU:
            return self._leak(x, layer.negative_slope)
        if kind is Dropout and layer.p:
            return self._leave_out(layer, x)
        if kind in (Dropout, nn.Identity):
            return x
        return self._pool(layer, x)

    def _convolve(self, layer, x):
        weights = layer.weight, layer.bias
        weight, bias = (_cast(values, x) for values in weights)
        geometry = layer.stride, layer.padding, layer.dilation, False, (0, 0)
        geometry += (layer.groups,)
        needs_x, mask = self._is_watched, (True, bias is not None)

        def step(grad):
            of_layer = grad, x, weight, geometry
            grads = weight_gradients(*of_layer, mask)
            if grads is None:
                self._plans.append((weights, plan_weight_gradients(*of_layer, mask)))
            else:
                _accumulate(weights, grads)
            return input_gradient(*of_layer) if needs_x else None

        self._steps.append(step)
        return convolve(x, weight, bias, geometry)

    @property
    def _is_watched(self):
        """Whether something before the next layer wants a gradient."""
        return bool(self._steps)

    def _multiply(self, layer, x):
        weight, bias = (_cast(values, x) for values in (layer.weight, layer.bias))
        needs_x = self._is_watched

        def take_back(grad):
            grad_x = matmul(aten.mm.default, grad, weight) if needs_x else None
            return grad_x, matmul(aten.mm.default, grad.t(), x), sum_samples(grad)

        self._add_step(layer, take_back)
        return matmul(aten.addmm.default, bias, x, weight.t())

    def _add_step(self, layer, take_back):
        """Add the step of a layer with a function that gives all of its gradients."""
        weights = layer.weight, layer.bias

        def step(grad):
            grad, *grads = take_back(grad)
            _accumulate(weights, grads)
            return grad

        self._steps.append(step)

    def _flatten(self, x):
        shape = x.shape
        if self._is_watched:
            self._steps.append(lambda grad: grad.reshape(shape))
        return x.flatten(1)

    def _rectify(self, x):
        out = torch.relu(x)
        self._steps.append(lambda grad: aten.threshold_backward(grad, out, 0))
        return out

    def _leak(self, x, slope):
        self._steps.append(lambda grad: aten.leaky_relu_backward(grad, x, slope, False))
        return aten.leaky_relu(x, slope)

    def _leave_out(self, layer, x):
        factors = layer.draw(x)
        self._steps.append(lambda grad: grad * factors)
        return x * factors

    def _pool(self, layer, x):
        """Return ``layer(x)``, recorded by torch."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            out = layer(x)
        edge = get_gradient_edge(out)  # `out` itself would be kept
        self._steps.append(lambda grad: torch.autograd.grad(edge, x, grad)[0])
        return out.detach()

    def _normalize(self, layer, x):
        running = layer.running_mean, layer.running_var
        arguments = layer.weight, layer.bias, *running, True, layer.momentum, layer.eps
        out, *taken = batch_norm(aten.native_batch_norm.default, x, *arguments)
        of_layer = x, layer.weight, *taken
        self._add_step(layer, lambda grad: plain_batch_norm_backward(grad, *of_layer))
        return out

    def _normalize_and_pool(self, layer, window, x):
        out, take_back = normalize_and_pool(x, layer, window)
        self._add_step(layer, take_back)
        return out


def _has_plain_windows(pool):
    """Return whether a layer takes the largest value of windows side by side."""
    if type(pool) is not nn.MaxPool2d or type(pool.kernel_size) is not tuple:
        return False
    geometry = pool.stride, pool.padding, pool.dilation, pool.ceil_mode
    return geometry == (pool.kernel_size, 0, 1, False)


def _accumulate(weights, grads):
    """Add gradients to those of the weights, as the record of gradients does."""
    for weight, grad in zip(weights, grads, strict=True):
        if grad is None:
            continue
        grad = grad.to(weight.dtype)
        if weight.grad is not None:
            weight.grad = weight.grad + grad
        elif grad.stride() == weight.stride():
            weight.grad = grad
        else:
            weight.grad = torch.empty_like(weight).copy_(grad)


def _cast(values, like):
    """Return values in the precision of others; None as it is."""
    return values if values is None else values.to(like.dtype)
