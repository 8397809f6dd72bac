"""How many threads a fit uses, and sums that do not depend on it.

A float32 sum depends on the order of its terms, and torch's CPU kernels split
some sums by the number of threads: batch statistics of channels-last maps, and
the weight gradient of a fully connected layer. A search at ``n_jobs=2`` gives
each worker half of the threads, so the same fit would end elsewhere. Small
fits, which gain little from threads, use one; in larger ones these sums are
taken in a fixed order.
"""

import threading
from contextlib import contextmanager

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Forward operations of a batch below which one thread is used. At this size a
# step takes about 5 ms, and four threads took 0.8 of the time of one.
SMALL_BATCH_FLOPS = 100e6

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
    n_threads = torch.get_num_threads()
    try:
        if flops < SMALL_BATCH_FLOPS and n_threads > 1:
            n_threads = 1
            torch.set_num_threads(1)
        yield n_threads
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
    """``x @ weight.T``, its weight gradient summed over fixed parts of the batch."""

    N_PARTS = 8

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        size = -(-len(x) // _Matmul.N_PARTS)
        missing = size * _Matmul.N_PARTS - len(x)
        parts = [
            F.pad(t, (0, 0, 0, missing)).view(_Matmul.N_PARTS, size, -1)
            for t in (grad, x)
        ]
        return grad @ weight, torch.bmm(parts[0].mT, parts[1]).sum(0)


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
    plain = x.device.type != "cpu" or x.ndim < 4 or x.dtype == torch.bfloat16
    if not training or plain or weight is None or x.is_contiguous():
        return F.batch_norm(
            x, running_mean, running_var, weight, bias, training, momentum, eps
        )
    out, mean, var = _BatchNorm.apply(x, weight, bias, eps)
    if running_mean is not None:
        count = x.numel() // x.shape[1]
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * (count / (count - 1)), momentum)
    return out


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation of channels-last maps (Ioffe & Szegedy 2015).

    Statistics are summed sample by sample, and the samples' sums after that.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        dims = tuple(range(2, x.ndim))
        count = x.numel() // x.shape[1]
        mean = x.sum(dims).double().sum(0) / count
        square = torch.linalg.vector_norm(x, dim=dims).double().square_().sum(0) / count
        var = (square - mean * mean).clamp_(min=0).to(x.dtype)
        mean = mean.to(x.dtype)
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt())
        ctx.mark_non_differentiable(mean, var)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var

    @staticmethod
    def backward(ctx, grad, _grad_mean, _grad_var):
        x, weight, mean, inverse_std = ctx.saved_tensors
        dims = tuple(range(2, x.ndim))
        count = x.numel() // x.shape[1]
        shape = (1, -1) + (1,) * len(dims)
        sum_grad = grad.sum(dims).sum(0)
        product = grad * x
        grad_weight = (product.sum(dims).sum(0) - mean * sum_grad) * inverse_std
        scale = weight * inverse_std
        slope = -scale * inverse_std * grad_weight / count
        offset = -scale * sum_grad / count - slope * mean
        # scale * (grad - mean(grad) - normalised x * mean(grad * normalised x))
        torch.mul(x, slope.view(shape), out=product).add_(offset.view(shape))
        return product.addcmul_(grad, scale.view(shape)), grad_weight, sum_grad, None
