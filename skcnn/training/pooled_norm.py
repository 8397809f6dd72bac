"""Batch normalisation and max pooling, in the order that is faster.

A normalised value rises with the value where the weight of its channel is positive,
so that the largest of a window is the largest one before, too. Where the weight is
negative, the smallest one is. (Where it is zero, torch takes the first value, which
gives another subgradient of the weight.) So pooling comes first, and normalisation
passes over fewer values: of the whole maps only the statistics are taken, and one
gradient.
"""

from operator import floordiv

import torch

from ..data import MEMORY_FORMATS
from .batch_norm import (
    as_maps,
    gradient_of_statistics,
    has_large_maps,
    has_small_maps,
    normalize,
    plain_batch_norm_backward,
    take_gradients,
    take_statistics,
)
from .parts import map_rows

aten = torch.ops.aten


def normalize_and_pool(x, layer, window):
    """Return the largest normalised value of each window.

    Parameters
    ----------
    x : torch.Tensor of shape (n, n_channels, height, width)
        Maps with channels last.

    layer : BatchNorm2d
        The normalisation, in training. Its running statistics follow.

    window : tuple of int
        Sides of windows that lie side by side.

    Returns
    -------
    torch.Tensor of shape (n, n_channels, height // window[0], width // window[1])
        The values.

    callable
        From their gradient to those of `x`, of the weight and of the bias.
    """
    weight, signs = layer.weight, None
    if weight.min().item() < 0:
        signs = torch.ones_like(weight, dtype=x.dtype).masked_fill_(weight < 0, -1)
        signs = as_maps(signs, x)
    (mean, var), values, indices = _take_largest(x, signs, layer, window)
    values = _signed(values, signs)
    out = normalize(values, weight, layer.bias, mean, var, layer.eps)
    inverse_std = var.add_(layer.eps).rsqrt_()

    def take_back(grad):
        grad = grad.contiguous(memory_format=MEMORY_FORMATS[4])
        if has_small_maps(x):
            grad = _spread(grad, x, window, indices)
            return plain_batch_norm_backward(grad, x, weight, mean, inverse_std)
        sums = take_gradients(grad, values, mean, inverse_std)
        scale = weight * inverse_std
        of_statistics = gradient_of_statistics(x, scale, mean, inverse_std, *sums)
        grad = (grad * as_maps(scale, x)).to(x.dtype)
        return _add_spread(of_statistics, grad, x, window, indices), *sums

    return out, take_back


def _take_largest(x, signs, layer, window):
    """Return statistics of maps, and the largest signed values and their indices."""
    statistics = layer.running_mean, layer.running_var, layer.momentum
    if not has_large_maps(x):
        largest = aten.max_pool2d_with_indices(_signed(x, signs), window, window)
        return take_statistics(x, *statistics), *largest
    shape = *x.shape[:2], *map(floordiv, x.shape[2:], window)
    values, indices = (
        torch.empty(shape, dtype=dtype, memory_format=MEMORY_FORMATS[4])
        for dtype in (x.dtype, torch.int64)
    )

    def pool(rows):
        maps = _signed(x[rows], signs)
        out = {"out": values[rows], "indices": indices[rows]}
        aten.max_pool2d_with_indices.out(maps, window, window, **out)

    return take_statistics(x, *statistics, besides=pool), values, indices


def _signed(x, signs):
    """Return maps times the signs of their channels, None where these are positive."""
    return x if signs is None else x * signs


def _add_spread(of_statistics, grad, x, window, indices):
    """Return the gradient by way of the statistics, and that of the largest values."""
    if not has_large_maps(x):
        return of_statistics(x).add_(_spread(grad, x, window, indices))
    grad_x = torch.empty_like(x)

    def add(rows):
        of_values = _spread(grad[rows], x[rows], window, indices[rows])
        torch.add(of_statistics(x[rows]), of_values, out=grad_x[rows])

    map_rows(add, len(x))
    return grad_x


def _spread(grad, x, window, indices):
    """Return maps with the gradient of each window at its largest value."""
    geometry = window, window, [0, 0], [1, 1], False
    return aten.max_pool2d_with_indices_backward(grad, x, *geometry, indices)
