"""Batch normalisation that no number of threads changes.

Where torch normalises maps with channels last, its threads share the sums over
samples and pixels. Here these are added up from the sums of parts of the batch.
"""

import torch

from ..data import MEMORY_FORMATS
from ..parallel import map_parts
from .parts import add, count_parts

aten = torch.ops.aten
READING = 128  # operations that take as long as reading a value


def batch_norm(func, x, weight, bias, *args):
    """Run ``native_batch_norm`` (Ioffe & Szegedy 2015)."""
    running_mean, running_var, training, momentum, eps = args
    if not training or not _is_shared(x):
        return func(x, weight, bias, *args)
    values, weight, bias = _widen(x, weight, bias)
    mean, var = _measure(values)
    if running_mean is not None:
        count = x.numel() // x.shape[1]
        unbiased = var * (count / (count - 1))
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    out, _, _ = func(values, weight, bias, mean, var, False, 0.0, eps)
    return out.to(x.dtype), mean, (var + eps).rsqrt_()


def batch_norm_backward(func, grad, x, weight, *args):
    """Run ``native_batch_norm_backward``."""
    if not _is_shared(x):
        return func(grad, x, weight, *args)
    dtypes = x.dtype, *(2 * [torch.float32 if weight is None else weight.dtype])
    *statistics, training, eps, _ = args
    grad, x, weight, *statistics = _widen(grad, x, weight, *statistics)
    layer = weight, *statistics, training, eps

    def sums(grad, x):
        return func(grad, x, *layer, [False, True, True])[1:]

    parts = map_parts(sums, _split(grad), _split(x))
    grads = tuple(map(add, zip(*parts, strict=True)))
    if training:
        grad_x = _input_gradient(grad, x, weight, *statistics[2:], *grads)
    else:
        grad_x = func(grad, x, *layer, [True, False, False])[0]
    return tuple(g.to(d) for g, d in zip((grad_x, *grads), dtypes, strict=True))


def _measure(x):
    """Return mean and biased variance of each channel."""
    parts = _split(x)
    statistics = map_parts(
        lambda part: aten.batch_norm_update_stats(part, None, None, 0.0), parts
    )
    if len(parts) == 1:
        return statistics[0]
    shares = [len(part) / len(x) for part in parts]
    mean = add([m * s for (m, _), s in zip(statistics, shares, strict=True)])
    squares = (var + (m - mean).square_() for m, var in statistics)
    return mean, add([v * s for v, s in zip(squares, shares, strict=True)])


def _input_gradient(grad, x, weight, mean, inverse_std, grad_weight, grad_bias):
    """Return scale * (grad - mean(grad) - normed x * mean(grad * normed x))."""
    count = x.numel() // x.shape[1]
    scale = inverse_std if weight is None else weight * inverse_std
    slope = scale * inverse_std * grad_weight / -count
    offset = scale * grad_bias / -count - slope * mean
    zeros, ones = torch.zeros_like(mean), torch.ones_like(mean)
    line = slope, offset, zeros, ones, False, 0.0, 0.0
    out, _, _ = aten.native_batch_norm(x, *line)
    return out.addcmul_(grad, scale.view(1, -1, *(1 for _ in x.shape[2:])))


def _is_shared(x):
    """Return whether threads share the sums over `x`."""
    if x.numel() == x.shape[1]:  # one value of each channel has no statistics
        return False
    if x.ndim not in MEMORY_FORMATS:
        return x[0, 0].numel() == 1
    return x.is_contiguous(memory_format=MEMORY_FORMATS[x.ndim])


def _split(x):
    return x.tensor_split(count_parts(READING * x.numel(), len(x)))


def _widen(*values):
    """Return tensors in a precision that sums can be taken in; None as it is."""
    return [
        v if v is None else v.to(torch.promote_types(v.dtype, torch.float32))
        for v in values
    ]
