"""Passes of the plain network that no number of threads changes, without a mode.

`FixedOrderSums` sees each operation in Python, which takes a tenth of the time of a
step of a small network. The layers of `ConvNet` are known, so here they call the
functions that stand in for torch's operations themselves. Max pooling comes before
normalisation, which then passes over fewer values: of the whole maps only the
statistics are taken, and one gradient.
"""

from contextlib import contextmanager
from operator import floordiv

import torch
from torch import nn
from torch.autograd.function import Function, once_differentiable

from ..data import MEMORY_FORMATS
from ..modules import ConvBlock
from .batch_norm import (
    as_maps,
    batch_norm,
    batch_norm_backward,
    gradient_of_statistics,
    has_large_maps,
    has_small_maps,
    normalize,
    take_gradients,
    take_statistics,
)
from .convolution import (
    compute,
    convolve,
    input_gradient,
    plan_weight_gradients,
    weight_gradients,
)
from .parts import map_rows, matmul, sum_samples
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
        self._plans = []

    @torch.no_grad()
    def finish(self):
        """Give the weights their gradients, after the backward pass."""
        grads = compute([plan for _, plan in self._plans])
        for (weights, _), of_weights in zip(self._plans, grads, strict=True):
            for weight, grad in zip(weights, of_weights, strict=True):
                if grad is not None:
                    _accumulate(weight, grad)

    def forget(self):
        """Break the cycle of references that plans and the record of gradients are."""
        self._plans.clear()

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
            With a record of gradients.
        """
        dtype, x = x.dtype, x.to(self._dtype)
        for layer in network._modules.values():
            if type(layer) is ConvBlock:
                x = self._run_block(layer, x)
            elif type(layer) is nn.Flatten:
                x = layer(x)
            else:
                for part in layer._modules.values():
                    is_linear = type(part) is nn.Linear
                    x = _run_linear(part, x) if is_linear else part(x)
        return x.to(dtype)

    def _run_block(self, block, x):
        """Return ``block(x)``."""
        conv, norm = block.conv, block.norm
        geometry = conv.stride, conv.padding, conv.dilation, False, (0, 0), conv.groups
        x = _Convolution.apply(self._plans, x, conv.weight, conv.bias, geometry)
        if type(norm) is nn.Identity:
            return block.finish(x)
        if x.numel() == x.shape[1]:
            return block.finish(norm(x))  # which says that it needs more
        norm.num_batches_tracked.add_(1)
        x = x.contiguous(memory_format=MEMORY_FORMATS[4])
        layer = norm.weight, norm.bias, norm.running_mean, norm.running_var
        layer += norm.momentum, norm.eps
        if block.pools_first and _has_plain_windows(block.pool):
            x = _PooledNorm.apply(x, *layer, block.pool.kernel_size)
            return block.dropout(block.activation(x))
        return block.finish(_Norm.apply(x, *layer))


def _run_linear(layer, x):
    return _Linear.apply(x, layer.weight, layer.bias)


def _has_plain_windows(pool):
    """Return whether a layer takes the largest value of windows side by side."""
    if type(pool) is not nn.MaxPool2d or type(pool.kernel_size) is not tuple:
        return False
    geometry = pool.stride, pool.padding, pool.dilation, pool.ceil_mode
    return geometry == (pool.kernel_size, 0, 1, False)


def _accumulate(weight, grad):
    """Add a gradient as the record of gradients does."""
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


class _Convolution(Function):
    @staticmethod
    def forward(ctx, plans, x, weight, bias, geometry):
        ctx.plans, ctx.geometry, ctx.weights = plans, geometry, (weight, bias)
        weight, bias = _cast(weight, x), _cast(bias, x)
        ctx.save_for_backward(x, weight)
        return convolve(x, weight, bias, geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        _, needs_x, *mask, _ = ctx.needs_input_grad
        layer = *ctx.saved_tensors, ctx.geometry
        grads = weight_gradients(grad, *layer, mask)
        if grads is None:
            ctx.plans.append((ctx.weights, plan_weight_gradients(grad, *layer, mask)))
            grads = None, None
        grad_x = input_gradient(grad, *layer) if needs_x else None
        return None, grad_x, *grads, None


class _Linear(Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        weight, bias = _cast(weight, x), _cast(bias, x)
        ctx.save_for_backward(x, weight)
        return matmul(aten.addmm.default, bias, x, weight.t())

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_x = matmul(aten.mm.default, grad, weight)
        grad_weight = matmul(aten.mm.default, grad.t(), x)
        return grad_x, grad_weight, sum_samples(grad)


class _Norm(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, mean, var, momentum, eps):
        layer = weight, bias, mean, var, True, momentum, eps
        out, *taken = batch_norm(aten.native_batch_norm.default, x, *layer)
        ctx.save_for_backward(x, weight, *taken)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grads = _normalize_backward(grad, *ctx.saved_tensors)
        return *grads, None, None, None, None


class _PooledNorm(Function):
    """Batch normalisation and max pooling, in the order that is faster.

    A normalised value rises with the value where the weight of its channel is
    positive, so that the largest of a window is the largest one before, too. Where
    the weight is negative, the smallest one is. (Where it is zero, torch takes the
    first value, which gives another subgradient of the weight.)
    """

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, momentum, eps, window):
        signs = None
        if weight.min().item() < 0:
            signs = torch.ones_like(weight, dtype=x.dtype).masked_fill_(weight < 0, -1)
            signs = as_maps(signs, x)
        statistics = running_mean, running_var, momentum
        if has_large_maps(x):
            values, indices = _empty_windows(x, window)

            def pool(rows):
                out = {"out": values[rows], "indices": indices[rows]}
                maps = _signed(x[rows], signs)
                aten.max_pool2d_with_indices.out(maps, window, window, **out)

            mean, var = take_statistics(x, *statistics, besides=pool)
        else:
            mean, var = take_statistics(x, *statistics)
            maps = _signed(x, signs)
            values, indices = aten.max_pool2d_with_indices(maps, window, window)
        values = _signed(values, signs)
        out = normalize(values, weight, bias, mean, var, eps)
        inverse_std = var.add_(eps).rsqrt_()
        ctx.save_for_backward(x, values, indices, weight, mean, inverse_std)
        ctx.window = window
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, values, indices, weight, *statistics = ctx.saved_tensors
        grad = grad.contiguous(memory_format=MEMORY_FORMATS[4])
        if has_small_maps(x):
            grad = _spread(grad, x, ctx.window, indices)
            return *_normalize_backward(grad, x, weight, *statistics), *(5 * [None])
        sums = take_gradients(grad, values, *statistics)
        scale = weight * statistics[1]
        of_statistics = gradient_of_statistics(x, scale, *statistics, *sums)
        grad = _cast(grad * as_maps(scale, x), x)
        if has_large_maps(x):
            grad_x = torch.empty_like(x)

            def compute(rows):
                of_values = _spread(grad[rows], x[rows], ctx.window, indices[rows])
                torch.add(of_statistics(x[rows]), of_values, out=grad_x[rows])

            map_rows(compute, len(x))
        else:
            of_values = _spread(grad, x, ctx.window, indices)
            grad_x = of_statistics(x).add_(of_values)
        return grad_x, *sums, *(5 * [None])


def _empty_windows(x, window):
    """Return new memory for the largest value of each window, and for its index."""
    shape = *x.shape[:2], *map(floordiv, x.shape[2:], window)
    layout = {"memory_format": MEMORY_FORMATS[4]}
    return [torch.empty(shape, dtype=d, **layout) for d in (x.dtype, torch.int64)]


def _signed(x, signs):
    """Return maps times the signs of their channels, None where these are positive."""
    return x if signs is None else x * signs


def _normalize_backward(grad, x, weight, mean, inverse_std):
    layer = weight, None, None, mean, inverse_std, True, 0.0, [True, True, True]
    return batch_norm_backward(aten.native_batch_norm_backward.default, grad, x, *layer)


def _spread(grad, x, window, indices):
    """Return maps with the gradient of each window at its largest value."""
    geometry = window, window, [0, 0], [1, 1], False
    return aten.max_pool2d_with_indices_backward(grad, x, *geometry, indices)
