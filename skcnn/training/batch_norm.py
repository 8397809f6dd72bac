"""Batch normalisation that no number of threads changes.

Where torch normalises maps with channels last, its threads share the sums over
samples and pixels. Here each sum over the pixels of a sample is taken by one
thread, and those of all samples are added up by one. Forward and backward are
passes over memory, so as few of them as possible write to memory that is new.
"""

import torch

from ..data import MEMORY_FORMATS
from .parts import sum_channels

aten = torch.ops.aten


def batch_norm(func, x, weight, bias, *args):
    """Run ``native_batch_norm`` (Ioffe & Szegedy 2015)."""
    running_mean, running_var, training, momentum, eps = args
    if not training or not _is_shared(x):
        return func(x, weight, bias, *args)
    values, weight, bias = _widen(x, weight, bias)
    buffer = torch.empty_like(values)
    mean, var = take_statistics(values, running_mean, running_var, momentum, buffer)
    out = _normalize(values, weight, bias, mean, var, eps, out=buffer)
    return out.to(x.dtype), mean, (var + eps).rsqrt_()


def take_statistics(x, running_mean, running_var, momentum, buffer=None):
    """Return mean and variance of each channel, and let the running ones follow.

    Parameters
    ----------
    x : torch.Tensor of shape (n, n_channels, *spatial_shape)
        Maps.

    running_mean, running_var : torch.Tensor of shape (n_channels,) or None
        What evaluation uses.

    momentum : float
        How far these go towards the new ones, in [0, 1].

    buffer : torch.Tensor, default=None
        Memory like that of `x`, which is written to.
    """
    count = x.numel() // x.shape[1]
    mean = sum_channels(x) / count
    centred = torch.sub(x, as_maps(mean, x), out=buffer)
    var = sum_channels(centred.square_()) / count
    if running_mean is not None:
        unbiased = var * (count / (count - 1))
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return mean, var


def batch_norm_backward(func, grad, x, weight, *args):
    """Run ``native_batch_norm_backward``."""
    if not _is_shared(x):
        return func(grad, x, weight, *args)
    dtypes = x.dtype, *(2 * [torch.float32 if weight is None else weight.dtype])
    *statistics, training, eps, (needs_x, *_) = args
    grad, x, weight, *statistics = _widen(grad, x, weight, *statistics)
    mean, inverse_std = _choose(*statistics, training, eps)
    buffer = x - as_maps(mean, x)
    grad_weight = sum_channels(buffer.mul_(grad)) * inverse_std
    grad_bias = sum_channels(grad)
    grad_x = None
    if needs_x and training:
        scale = inverse_std if weight is None else weight * inverse_std
        sums = grad_weight, grad_bias
        grad_x = gradient_of_statistics(x, scale, mean, inverse_std, *sums, out=buffer)
        grad_x.addcmul_(grad, as_maps(scale, x))
    elif needs_x:
        layer = weight, *statistics, training, eps
        grad_x = func(grad, x, *layer, [True, False, False])[0]
    grads = grad_x, grad_weight, grad_bias
    return tuple(
        g if g is None else g.to(d) for g, d in zip(grads, dtypes, strict=True)
    )


def gradient_of_statistics(x, scale, mean, inverse_std, grad_weight, grad_bias, out):
    """Write the gradient of `x` by way of its statistics to `out` and return it.

    Together with ``scale * grad``, the gradient of the values themselves, it is
    ``scale * (grad - mean(grad) - normed x * mean(grad * normed x))``.
    """
    count = x.numel() // x.shape[1]
    slope = scale * inverse_std * grad_weight / -count
    offset = scale * grad_bias / -count
    return _normalize(x, slope, offset, mean, torch.ones_like(mean), 0.0, out=out)


def _choose(running_mean, running_var, mean, inverse_std, training, eps):
    """Return the mean and the inverse standard deviation that were used."""
    if training:
        return mean, inverse_std
    return running_mean, (running_var + eps).rsqrt()


def as_maps(values, like):
    """Return one value for each channel in a shape that fits maps."""
    return values.view(-1, *(1 for _ in like.shape[2:]))


def _normalize(x, weight, bias, mean, var, eps, out):
    """Write ``weight * (x - mean) / sqrt(var + eps) + bias`` to `out` and return it."""
    unused = torch.empty_like(mean), torch.empty_like(mean)
    layer = weight, bias, mean, var, False, 0.0, eps
    aten.native_batch_norm.out(
        x, *layer, out=out, save_mean=unused[0], save_invstd=unused[1]
    )
    return out


def _is_shared(x):
    """Return whether threads share the sums over `x`."""
    if x.numel() == x.shape[1]:  # one value of each channel has no statistics
        return False
    if x.ndim not in MEMORY_FORMATS:
        return x[0, 0].numel() == 1
    return x.is_contiguous(memory_format=MEMORY_FORMATS[x.ndim])


def _widen(*values):
    """Return tensors in a precision that sums can be taken in; None as it is."""
    return [
        v if v is None else v.to(torch.promote_types(v.dtype, torch.float32))
        for v in values
    ]
