"""How many threads a fit uses, and sums that do not depend on it.

A float32 sum depends on the order of its terms, and torch's CPU kernels split
some sums by the number of threads: batch statistics of channels-last maps, and
the products of fully connected layers. A search at ``n_jobs=2`` gives
each worker half of the threads, so the same fit would end elsewhere. Small
fits, which gain little from threads, use one; in larger ones these sums are
taken in a fixed order.
"""

import threading
from contextlib import contextmanager

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..data import MEMORY_FORMATS

# Forward operations of a batch below which one thread is used: the default
# network on 128 digits of 8 x 8 pixels, where two threads took 0.8 of the time of
# one with torch's sums, and as much time with sums in a fixed order.
SMALL_BATCH_FLOPS = 160e6
N_PARTS = 8

_lock = threading.Lock()
_state = {"depth": 0, "n_threads": 1}


@contextmanager
def fitting_threads(flops):
    """Set the number of torch's threads for a fit.

    Parameters
    ----------
    flops : float
        Floating-point operations of a forward pass of one batch.

    Yields
    ------
    int
        The number of threads in use.
    """
    with _lock:
        if _state["depth"] == 0:
            _state["n_threads"] = torch.get_num_threads()
        _state["depth"] += 1
    try:
        if flops < SMALL_BATCH_FLOPS:
            torch.set_num_threads(1)
        yield torch.get_num_threads()
    finally:
        with _lock:
            _state["depth"] -= 1
            torch.set_num_threads(_state["n_threads"])


class FixedOrderSums(TorchFunctionMode):
    """Within this context, layers sum in an order that no thread count changes.

    It replaces batch normalisation in training mode and fully connected layers,
    on the CPU. Speed is that of torch's own kernels for large maps.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return _batch_norm(*args, **kwargs)
        if func is F.linear:
            return _linear(*args, **kwargs)
        return func(*args, **kwargs)


def _linear(x, weight, bias=None):
    if x.ndim != 2 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    out = _Matmul.apply(x, weight)
    return out if bias is None else out + bias


class _Matmul(torch.autograd.Function):
    """``x @ weight.T``, computed and summed in fixed parts of the batch."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return _multiply_rows(x, weight.T)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_weight = torch.bmm(_split_rows(grad).mT, _split_rows(x)).sum(0)
        return _multiply_rows(grad, weight), grad_weight


def _multiply_rows(x, matrix):
    """Return ``x @ matrix``, each part of the rows by one thread."""
    parts = torch.bmm(_split_rows(x), matrix.expand(N_PARTS, *matrix.shape))
    return parts.flatten(0, 1)[: len(x)]


def _split_rows(x):
    """Return the rows of `x` in parts, the last one filled up with zeros."""
    size = -(-len(x) // N_PARTS)
    return F.pad(x, (0, 0, 0, size * N_PARTS - len(x))).view(N_PARTS, size, -1)


def _batch_norm(
    x,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    if not training or weight is None or not _is_summed_by_threads(x):
        return F.batch_norm(
            x, running_mean, running_var, weight, bias, training, momentum, eps
        )
    out, mean, var = _BatchNorm.apply(x, weight, bias, eps)
    if running_mean is not None:
        count = x.numel() // x.shape[1]
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * (count / (count - 1)), momentum)
    return out


def _is_summed_by_threads(x):
    """Return whether torch would split the statistics of `x` by threads."""
    return (
        x.device.type == "cpu"
        and x.ndim in MEMORY_FORMATS
        and x.dtype != torch.bfloat16
        and x.numel() > x.shape[1]  # torch refuses one value for each channel
        and x.is_contiguous(memory_format=MEMORY_FORMATS[x.ndim])
    )


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation of channels-last maps (Ioffe & Szegedy 2015).

    Statistics are summed sample by sample, and the samples' sums after that.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        mean = _map_mean(x)
        out = x - _as_map(mean, x)
        var = _map_mean(out.square_())
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt_())
        ctx.mark_non_differentiable(mean, var)
        unused = x.new_empty(2, 0)
        torch.ops.aten.native_batch_norm.out(
            *(x, weight, bias, mean, var, False, 0.0, eps),
            out=out,
            save_mean=unused[0],
            save_invstd=unused[1],
        )
        return out, mean, var

    @staticmethod
    def backward(ctx, grad, _grad_mean, _grad_var):
        x, weight, mean, inverse_std = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        product = grad * x
        mean_grad = _map_mean(grad)
        covariance = (_map_mean(product) - mean * mean_grad).mul_(inverse_std)
        # scale * (grad - mean(grad) - normalised x * mean(grad * normalised x))
        scale = weight * inverse_std
        slope = -scale * inverse_std * covariance
        offset = -scale * mean_grad - slope * mean
        torch.mul(x, _as_map(slope, x), out=product).add_(_as_map(offset, x))
        product.addcmul_(grad, _as_map(scale, x))
        return product, covariance.mul_(count), mean_grad.mul_(count), None


def _map_mean(x):
    """Return the mean of each channel, samples first, then over the samples."""
    return x.mean(tuple(range(2, x.ndim))).mean(0)


def _as_map(values, x):
    """Return one value for each channel, to broadcast over `x`."""
    return values.view(1, -1, *(1 for _ in x.shape[2:]))
