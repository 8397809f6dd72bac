"""Parts of operations, the same for every number of threads.

Public functions with an argument `func` stand in for that operation of torch, and
take its arguments.
"""

from itertools import repeat
from math import log2

import torch

from ..parallel import map_parts
from ..runtime import limit_threads

MAX_PARTS = 8
PART_FLOPS = 1.28e8  # 2 ms, many times what it takes to wake a worker
# From this number of pixels on, threads share a map in torch's group norm.
SHARED_MAP = 1024
# Below this number of values, torch does not share a sum.
GRAIN_SIZE = 32768


def count_parts(flops, length):
    """Return how many parts to make of an axis of some length: a power of two."""
    return 2 ** int(log2(max(1, min(flops / PART_FLOPS, MAX_PARTS, length))))


def map_rows(function, n_samples):
    """Return what `function` gives for slices of a batch, each by one thread."""
    n_parts = min(MAX_PARTS, n_samples)
    bounds = [i * n_samples // n_parts for i in range(n_parts + 1)]
    return map_parts(function, map(slice, bounds, bounds[1:]))


def join(parts, axis=0):
    """Return the parts as one tensor; None where they are."""
    return parts[0] if len(parts) == 1 or parts[0] is None else torch.cat(parts, axis)


def add(parts):
    """Return the sum of the parts, in their order; None where they are."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    dtype = parts[0].dtype
    total = parts[0].to(torch.promote_types(dtype, torch.float32))
    for part in parts[1:]:
        total = total + part
    return total.to(dtype)


def sum_channels(x):
    """Return the sum of each channel, a thread's work that over a sample's pixels."""
    pixels = x.movedim(1, -1).reshape(len(x), -1, x.shape[1])
    return sum_samples(pixels.sum(1))


def sum_samples(x):
    """Return the sum of the samples."""
    if x.numel() < GRAIN_SIZE:  # one thread, whatever their number
        return x.sum(0)
    with limit_threads(1):
        return x.sum(0)


def matmul(func, *args, **kwargs):
    """Run ``mm`` or ``addmm`` in parts of the longer axis of the product."""
    *bias, a, b = args
    shape = len(a), b.shape[1]
    axis = int(shape[1] > shape[0])
    n_parts = count_parts(2 * a.numel() * shape[1], shape[axis])
    if n_parts == 1:
        with limit_threads(1):
            return func(*args, **kwargs)
    factors = a.tensor_split(n_parts), repeat(b, n_parts)
    if axis == 1:
        factors = repeat(a, n_parts), b.tensor_split(n_parts, 1)
    bias = [m.expand(shape).tensor_split(n_parts, axis) for m in bias]
    parts = map_parts(lambda *m: func(*m, **kwargs), *bias, *factors)
    return join(parts, axis)


def group_norm(func, x, weight, bias, n_samples, *sizes):
    """Run ``native_group_norm`` in parts of the batch."""
    if _has_whole_maps(x):
        return func(x, weight, bias, n_samples, *sizes)
    samples = x.tensor_split(min(MAX_PARTS, n_samples))
    parts = map_parts(lambda x: func(x, weight, bias, len(x), *sizes), samples)
    return tuple(map(join, zip(*parts, strict=True)))


def group_norm_backward(func, grad, x, *args):
    """Run ``native_group_norm_backward`` in parts of the batch."""
    if _has_whole_maps(x):
        return func(grad, x, *args)
    mean, inverse_std, weight, n_samples, *sizes = args
    samples = (
        values.tensor_split(min(MAX_PARTS, n_samples))
        for values in (grad, x, mean, inverse_std)
    )
    parts = map_parts(lambda *s: func(*s, weight, len(s[0]), *sizes), *samples)
    grads_x, grads_weight, grads_bias = zip(*parts, strict=True)
    return join(grads_x), add(grads_weight), add(grads_bias)


def _has_whole_maps(x):
    """Return whether threads share no map in a group norm."""
    return x.is_contiguous() or x[0, 0].numel() < SHARED_MAP
