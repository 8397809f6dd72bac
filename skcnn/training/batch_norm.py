"""Batch normalisation that no number of threads changes.

Where torch normalises maps with channels last, its threads share the sums over
samples and pixels. Here each sum over a part of the batch is taken by one thread,
and those of all parts are added up by one. Forward and backward are passes over
memory, so as few of them as possible write to memory that is new.
"""

import torch

from ..data import MEMORY_FORMATS
from ..runtime import limit_threads
from .parts import add, map_rows

aten = torch.ops.aten
# Below these numbers of values, one thread normalises as fast as many, or takes sums as
# fast as many in fixed parts.
MIN_SHARED_MAPS = 2**17
MIN_SHARED_SUMS = 2**21


def batch_norm(func, x, weight, bias, *args):
    """Run ``native_batch_norm`` (Ioffe & Szegedy 2015)."""
    running_mean, running_var, training, momentum, eps = args
    if not training or not _is_shared(x):
        return func(x, weight, bias, *args)
    if has_small_maps(x):
        with limit_threads(1):
            return func(x, weight, bias, *args)
    values, weight, bias = _widen(x, weight, bias)
    mean, var = take_statistics(values, running_mean, running_var, momentum)
    out = normalize(values, weight, bias, mean, var, eps)
    return out.to(x.dtype), mean, (var + eps).rsqrt_()


def take_statistics(x, running_mean, running_var, momentum, besides=None):
    """Return mean and variance of each channel, and let the running ones follow.

    Parameters
    ----------
    x : torch.Tensor of shape (n, n_channels, *spatial_shape)
        Maps.

    running_mean, running_var : torch.Tensor of shape (n_channels,) or None
        What evaluation uses.

    momentum : float
        How far these go towards the new ones, in [0, 1].

    besides : callable or None, default=None
        Called with slices of the samples of large maps, to use them while they are
        at hand.
    """
    if not has_large_maps(x):
        with limit_threads(1):
            return aten.batch_norm_update_stats(x, running_mean, running_var, momentum)

    def take(rows):
        if besides is not None:
            besides(rows)
        unread = x.new_zeros(2, x.shape[1], dtype=_wide_dtype(x))
        part = x[rows]
        return *aten.batch_norm_update_stats(part, *unread, 0.0), len(part)

    mean, var = _merge_statistics(map_rows(take, len(x)))
    if running_mean is not None:
        count = x.numel() // x.shape[1]
        unbiased = var * (count / (count - 1))
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return mean, var


def _merge_statistics(taken):
    """Return mean and variance of all parts (Chan, Golub & LeVeque 1979)."""
    means, variances, counts = zip(*taken, strict=True)
    means, variances = torch.stack(means), torch.stack(variances)
    shares = means.new_tensor(counts).div_(sum(counts))[:, None]
    mean = (shares * means).sum(0)
    var = (shares * (variances + (means - mean).square_())).sum(0)
    return mean, var


def batch_norm_backward(func, grad, x, weight, *args):
    """Run ``native_batch_norm_backward``."""
    if not _is_shared(x):
        return func(grad, x, weight, *args)
    if has_small_maps(x):
        with limit_threads(1):
            return func(grad, x, weight, *args)
    dtypes = x.dtype, *(2 * [torch.float32 if weight is None else weight.dtype])
    *statistics, training, eps, (needs_x, *_) = args
    grad, x, weight, *statistics = _widen(grad, x, weight, *statistics)
    mean, inverse_std = _choose(*statistics, training, eps)
    sums = take_gradients(grad, x, mean, inverse_std)
    grad_x = None
    if needs_x and training:
        scale = inverse_std if weight is None else weight * inverse_std
        grad_x = gradient_of_statistics(x, scale, mean, inverse_std, *sums)(x)
        grad_x.addcmul_(grad, as_maps(scale, x))
    elif needs_x:
        layer = weight, *statistics, training, eps
        grad_x = func(grad, x, *layer, [True, False, False])[0]
    grads = grad_x, *sums
    return tuple(
        g if g is None else g.to(d) for g, d in zip(grads, dtypes, strict=True)
    )


def plain_batch_norm_backward(grad, x, weight, mean, inverse_std):
    """Return the gradients of maps, weight and bias.

    Parameters
    ----------
    grad, x : torch.Tensor of shape (n, n_channels, *spatial_shape)
        Gradient of the normalised maps, and the maps.

    weight, mean, inverse_std : torch.Tensor of shape (n_channels,)
        What the maps were normalised with.
    """
    layer = weight, None, None, mean, inverse_std, True, 0.0, [True, True, True]
    return batch_norm_backward(aten.native_batch_norm_backward.default, grad, x, *layer)


def take_gradients(grad, x, mean, inverse_std):
    """Return the gradients of weight and bias.

    Parameters
    ----------
    grad, x : torch.Tensor of shape (n, n_channels, *spatial_shape)
        Gradient of the normalised maps, and the maps.

    mean, inverse_std : torch.Tensor of shape (n_channels,)
        What the maps were normalised with.
    """
    layer = None, None, None, mean, inverse_std, True, 0.0, [False, True, True]

    def take(grad, x):
        return aten.native_batch_norm_backward(grad, x, *layer)[1:]

    if not has_large_maps(x):
        with limit_threads(1):
            return take(grad, x)
    parts = map_rows(lambda rows: take(grad[rows], x[rows]), len(x))
    return tuple(map(add, zip(*parts, strict=True)))


def gradient_of_statistics(x, scale, mean, inverse_std, grad_weight, grad_bias):
    """Return a function that computes the gradient of maps by way of their statistics.

    Together with ``scale * grad``, the gradient of the values themselves, it is
    ``scale * (grad - mean(grad) - normed x * mean(grad * normed x))``. The function
    takes `x`, or some samples of it.
    """
    scale = scale / -(x.numel() // x.shape[1])
    slope, offset = scale * inverse_std * grad_weight, scale * grad_bias
    ones = torch.ones_like(mean)
    return lambda x: normalize(x, slope, offset, mean, ones, 0.0)


def _choose(running_mean, running_var, mean, inverse_std, training, eps):
    """Return the mean and the inverse standard deviation that were used."""
    if training:
        return mean, inverse_std
    return running_mean, (running_var + eps).rsqrt()


def has_small_maps(x):
    """Return whether one thread normalises as fast as many."""
    return x.numel() < MIN_SHARED_MAPS


def has_large_maps(x):
    """Return whether sums are taken, each by one thread, of parts of the batch."""
    return x.numel() >= MIN_SHARED_SUMS


def as_maps(values, like):
    """Return one value for each channel in a shape that fits maps."""
    return values.view(-1, *(1 for _ in like.shape[2:]))


def normalize(x, weight, bias, mean, var, eps):
    """Return ``weight * (x - mean) / sqrt(var + eps) + bias``."""
    layer = weight, bias, mean, var, False, 0.0, eps
    return aten.native_batch_norm(x, *layer)[0]


def _is_shared(x):
    """Return whether threads share the sums over `x`."""
    if x.numel() == x.shape[1]:  # one value of each channel has no statistics
        return False
    if x.ndim not in MEMORY_FORMATS:
        return x[0, 0].numel() == 1
    return x.is_contiguous(memory_format=MEMORY_FORMATS[x.ndim])


def _widen(*values):
    """Return tensors in a precision that sums can be taken in; None as it is."""
    return [v if v is None else v.to(_wide_dtype(v)) for v in values]


def _wide_dtype(values):
    return torch.promote_types(values.dtype, torch.float32)
