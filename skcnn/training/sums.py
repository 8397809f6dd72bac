"""Training that does not depend on the number of threads.

A float32 sum depends on the order of its terms, and torch's CPU kernels split
some sums by the number of threads: weight gradients of convolutions, statistics
of batch normalisation, products of matrices. Also, the values that are left
over at the end of a thread's part are not computed as vectors are, which
changes the last bit of a sigmoid. A search at ``n_jobs=2`` gives each worker
half of the threads, so the same fit would end elsewhere.
"""

from contextlib import contextmanager, nullcontext
from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from ..runtime import fixed_kernels, limit_threads
from .batch_norm import batch_norm, batch_norm_backward
from .convolution import convolution, convolution_backward
from .parts import GRAIN_SIZE, group_norm, group_norm_backward, matmul
from .threads import SMALL_BATCH_FLOPS, shared_threads

aten = torch.ops.aten
# A multiple of the values in all vectors that a kernel computes at once.
VECTOR_SIZE = 64

# Operations that move values, or compute each one exactly rounded or as a whole.
INDEPENDENT = {
    # allocation and copies
    aten._to_copy,
    aten._unsafe_view,
    aten.cat,
    aten.clone,
    aten.constant_pad_nd,
    aten.copy_,
    aten.embedding,
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.fill_,
    aten.flip,
    aten.full_like,
    aten.gather,
    aten.index,
    aten.index_copy_,
    aten.index_select,
    aten.masked_fill_,
    aten.new_empty,
    aten.new_empty_strided,
    aten.new_zeros,
    aten.ones_like,
    aten.roll,
    aten.slice_backward,
    aten.stack,
    aten.where,
    aten.zero_,
    aten.zeros,
    aten.zeros_like,
    aten._local_scalar_dense,
    torch.ops.profiler._record_function_enter_new,
    torch.ops.profiler._record_function_exit,
    # one rounding
    aten._foreach_add_,
    aten.add,
    aten.add_,
    aten.div,
    aten.div_,
    aten.leaky_relu,
    aten.leaky_relu_,
    aten.leaky_relu_backward,
    aten.mul,
    aten.mul_,
    aten.neg,
    aten.relu,
    aten.relu_,
    aten.sqrt,
    aten.sub,
    aten.sub_,
    aten.threshold_backward,
    # rows of a table, each sum by one thread
    aten._embedding_bag,
    aten._embedding_bag_forward_only,
    # comparisons
    aten.ge,
    aten.gt,
    # windows of one map
    aten._adaptive_avg_pool2d,
    aten._adaptive_avg_pool2d_backward,
    aten.avg_pool2d,
    aten.avg_pool2d_backward,
    aten.avg_pool3d,
    aten.avg_pool3d_backward,
    aten.max_pool2d_with_indices,
    aten.max_pool2d_with_indices_backward,
    aten.max_pool3d_with_indices,
    aten.max_pool3d_with_indices_backward,
    # optimisers and random numbers
    aten._fused_adagrad_,
    aten._fused_adam_,
    aten._fused_adamw_,
    aten._fused_sgd_,
    aten.addcdiv_,
    aten.addcmul_,
    aten.bernoulli_,
    aten.lerp_,
    aten.randperm,
}
# Functions of single values, in series or with branches.
ELEMENTWISE = {
    aten.elu,
    aten.elu_backward,
    aten.gelu,
    aten.gelu_backward,
    aten.mish,
    aten.mish_backward,
    aten.sigmoid,
    aten.sigmoid_backward,
    aten.silu,
    aten.silu_backward,
    aten.softplus,
    aten.softplus_backward,
    aten.tanh,
    aten.tanh_backward,
}
IN_FIXED_PARTS = {
    aten.addmm.default: matmul,
    aten.convolution.default: convolution,
    aten.convolution_backward.default: convolution_backward,
    aten.mm.default: matmul,
    aten.native_batch_norm.default: batch_norm,
    aten.native_batch_norm_backward.default: batch_norm_backward,
    aten.native_group_norm.default: group_norm,
    aten.native_group_norm_backward.default: group_norm_backward,
}


@contextmanager
def reproducible(flops, device):
    """Within this context, a fit gives the same bits each time.

    On a CPU that does not depend on the number of threads.

    Parameters
    ----------
    flops : float
        Floating-point operations of a forward pass of one batch. For few of them,
        one thread is used.

    device : str or torch.device
        Where the network computes.
    """
    kind = torch.device(device).type
    if kind != "cpu":
        with fixed_kernels.held() if kind == "cuda" else nullcontext():
            yield
        return
    sums = FixedOrderSums() if flops >= SMALL_BATCH_FLOPS else nullcontext()
    with shared_threads.fitting(flops), sums:
        yield


class FixedOrderSums(TorchDispatchMode):
    """Within this context, no number of threads changes what torch computes.

    On the CPU, in forward and backward passes and in optimisers. Operations that
    are known not to depend on it run as they are, heavy ones that do in fixed
    parts, and all others on one thread.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        rule = find_rule(func)
        if rule is None:
            return func(*args, **kwargs)
        if not _are_plain(args):
            rule = _on_one_thread
        return rule(func, *args, **kwargs)


def is_fixed_order():
    """Return whether `FixedOrderSums` is the innermost mode of this thread."""
    return isinstance(_get_current_dispatch_mode(), FixedOrderSums)


@contextmanager
def suspended():
    """Within this context, `FixedOrderSums` is no longer the innermost mode."""
    if not is_fixed_order():
        yield
        return
    mode = _get_current_dispatch_mode()
    mode.__exit__(None, None, None)
    try:
        yield
    finally:
        mode.__enter__()


@cache
def find_rule(func):
    """Return the function that runs `func`, None where it may run as it is."""
    packet = func.overloadpacket
    if func.is_view or packet in INDEPENDENT:
        return None
    if packet in ELEMENTWISE:
        return _in_whole_vectors
    return IN_FIXED_PARTS.get(func, _on_one_thread)


def _are_plain(args):
    """Return whether all tensors are dense and on the CPU."""
    return all(
        a.device.type == "cpu" and a.layout is torch.strided
        for a in args
        if isinstance(a, torch.Tensor)
    )


def _on_one_thread(func, *args, **kwargs):
    with limit_threads(1):
        return func(*args, **kwargs)


def _in_whole_vectors(func, *args, **kwargs):
    """Run an elementwise function so that every value is in a whole vector."""
    *_, x = (a for a in args if isinstance(a, torch.Tensor))
    if func._schema.is_mutable or not aten.is_non_overlapping_and_dense(x):
        return _on_one_thread(func, *args, **kwargs)
    n_threads = torch.get_num_threads()
    if x.numel() < n_threads * GRAIN_SIZE:
        n_threads = 1
    padding = -x.numel() % (n_threads * VECTOR_SIZE)
    args = (_flatten(a, x, padding) if isinstance(a, torch.Tensor) else a for a in args)
    with limit_threads(n_threads):
        out = func(*args, **kwargs)
    return out.as_strided(x.shape, x.stride())


def _flatten(values, like, padding):
    """Return values in the order of memory of `like`, and zeros after them."""
    size = like.numel()
    if values.stride() == like.stride() and not padding:
        return values.as_strided((size,), (1,))
    flat = values.new_empty(size + padding)
    flat.as_strided(like.shape, like.stride()).copy_(values)
    flat[size:] = 0
    return flat
