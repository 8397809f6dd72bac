"""Convolutions that no number of threads changes.

The kernels of oneDNN choose how threads share a convolution. In the forward pass
and in the gradient of the input, threads may share a sum, but do not for images
with channels last on the processors we know. So it is tried once whether the
result is that of parts of the batch, each computed by one thread; where it is
not, parts are computed. In weight gradients threads may share the sum over the
batch. So it is tried once, too, which numbers of threads give what one gives;
where two do not, the gradients of small maps are computed as a convolution of maps
with maps, in which threads share no sum, and all others in parts.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from math import prod

import torch

from ..parallel import map_parts
from ..runtime import limit_threads, use_threads
from . import dense
from .parts import add, count_parts, join, sum_channels

aten = torch.ops.aten
# Up to this number of weights, the parts of a gradient are sums over parts of the
# batch. Above, each is that of some output channels, which takes less memory.
MAX_SUMMED_WEIGHTS = 2**18
# What makes a convolution of maps with maps fast: few pixels, alone and in the batch,
# and many samples and channels.
MAX_PIXELS = 49
MAX_BATCH_PIXELS = 5000
MIN_CHANNELS = 16
# The weight gradient of fewer input channels takes as long as that of so many.
MIN_CHANNELS_OF_WORK = 12

# From here on, what it takes to wake workers is little against a weight gradient.
MAX_WHOLE_FLOPS = 5e8

# In how many parts to compute, by number of threads, function and layouts: none where
# torch gives what parts give.
_n_parts = {}
# How many threads give what one gives, by layouts and number of threads.
_teams = {}
# Of fewer weights, sums in another order may come out alike by chance.
MIN_WEIGHTS_TO_COMPARE = 64
# What may make teams of threads smaller than torch asks for: its kernels then wait
# for the missing ones, for ever.
SMALLER_TEAMS = {"OMP_DYNAMIC", "OMP_THREAD_LIMIT"}


def convolution(func, x, weight, bias, *geometry):
    """Run ``convolution``."""
    return convolve(x, weight, bias, _as_key(geometry))


def convolution_backward(func, grad, x, weight, bias_sizes, *args):
    """Run ``convolution_backward``."""
    *geometry, (needs_x, *mask) = args
    layer = x, weight, _as_key(geometry)
    grad_x = input_gradient(grad, *layer) if needs_x else None
    if not any(mask):
        return grad_x, None, None
    grads = weight_gradients(grad, *layer, mask)
    return grad_x, *(grads or compute([plan_weight_gradients(grad, *layer, mask)])[0])


def convolve(x, weight, bias, geometry):
    """Return the output.

    Parameters
    ----------
    x, weight, bias : torch.Tensor
        Input, filters and offsets, which may be None.

    geometry : tuple
        The other arguments of ``convolution``, with tuples in the place of lists.
    """
    layer = weight, bias, geometry
    return _by_samples(
        lambda: _count_parts(x, weight, geometry), _convolve, (x,), layer
    )


def input_gradient(grad, x, weight, geometry):
    """Return the gradient of the input.

    Parameters
    ----------
    grad : torch.Tensor
        Of the output.

    x, weight, geometry
        As for `convolve`.
    """
    layer = weight, None, geometry
    return _by_samples(
        lambda: _count_parts(x, weight, geometry), _input_gradient, (grad, x), layer
    )


def weight_gradients(grad, x, weight, geometry, mask):
    """Return the gradients of weight and bias as one thread computes them.

    Parameters
    ----------
    grad, x, weight, geometry
        As for `input_gradient`.

    mask : sequence of bool
        Whether each of the two is wanted; the other one is None.

    Returns
    -------
    tuple or None
        None where `plan_weight_gradients` is faster.
    """
    team = _count_team(grad, x, weight, geometry, mask)
    if team is None:
        return None
    with limit_threads(team):
        return _weight_gradients(grad, x, weight, geometry, mask)


def plan_weight_gradients(grad, x, weight, geometry, mask):
    """Return how to compute the gradients of weight and bias, for `compute`.

    Parameters
    ----------
    grad, x, weight, geometry, mask
        As for `weight_gradients`.

    Returns
    -------
    list of tuple
        Arguments of what threads do.

    callable
        From a list of what comes of it to the gradients.
    """
    if _has_small_maps(grad, x, weight, geometry):
        return [], lambda _: (
            _convolve_maps(grad, x, geometry) if mask[0] else None,
            sum_channels(grad) if mask[1] else None,
        )
    n_parts = count_parts(_count_flops_of_weights(x, weight, geometry), len(x))
    *_, is_transposed, _, n_groups = geometry
    if weight.numel() > MAX_SUMMED_WEIGHTS and n_groups == 1 and not is_transposed:
        grads, weights = grad.tensor_split(n_parts, 1), weight.tensor_split(n_parts)
        parts, merge = (grads, repeat(x, n_parts), weights), join
    else:
        grads, samples = grad.tensor_split(n_parts), x.tensor_split(n_parts)
        parts, merge = (grads, samples, repeat(weight, n_parts)), add
    tasks = [(*part, geometry, mask) for part in zip(*parts, strict=True)]
    return tasks, lambda grads: tuple(map(merge, zip(*grads, strict=True)))


def compute(plans):
    """Return the gradients of weights and biases, all from parts that run together.

    Parameters
    ----------
    plans : list of tuple
        What `plan_weight_gradients` returned.

    Returns
    -------
    list of tuple
        Gradient of the weight and of the bias, for each plan.
    """
    tasks = [task for tasks, _ in plans for task in tasks]
    grads = iter(map_parts(_weight_gradients, *zip(*tasks, strict=True)))
    return [merge(list(islice(grads, len(tasks)))) for tasks, merge in plans]


def _count_parts(x, weight, geometry):
    return count_parts(_count_flops(x, weight, geometry), len(x))


def _count_flops_of_weights(x, weight, geometry):
    factor = max(1, MIN_CHANNELS_OF_WORK / x.shape[1])
    return factor * _count_flops(x, weight, geometry)


def _count_flops(x, weight, geometry):
    stride, *_, is_transposed, _, _ = geometry
    n_sites = x.numel() / x.shape[1] / (1 if is_transposed else prod(stride))
    return 2 * n_sites * weight.numel()


def _as_key(geometry):
    return tuple(tuple(v) if isinstance(v, list) else v for v in geometry)


def _convolve(x, weight, bias, geometry):
    if dense.is_dense(x, weight, geometry):
        return dense.convolve(x, weight, bias, geometry)
    return aten.convolution(x, weight, bias, *geometry)


def _input_gradient(grad, x, weight, _, geometry):
    if dense.is_dense(x, weight, geometry):
        return dense.input_gradient(grad, x, weight, geometry)
    mask = [True, False, False]
    return aten.convolution_backward(grad, x, weight, None, *geometry, mask)[0]


def _weight_gradients(grad, x, weight, geometry, mask):
    if dense.is_dense(x, weight, geometry):
        return (
            dense.weight_gradient(grad, x, weight, geometry) if mask[0] else None,
            sum_channels(grad) if mask[1] else None,
        )
    sizes = [grad.shape[1]] if mask[1] else None
    mask = [False, *mask]
    return aten.convolution_backward(grad, x, weight, sizes, *geometry, mask)[1:]


def _count_team(grad, x, weight, geometry, mask):
    """Return how many threads give the weight gradient that one gives.

    None where two do not, whatever the number of torch's threads.
    """
    key = torch.get_num_threads(), geometry, tuple(mask)
    key += tuple(map(_describe, (grad, x, weight)))
    if key not in _teams:
        may_be_whole = (
            mask[0]
            and weight.numel() >= MIN_WEIGHTS_TO_COMPARE
            and weight.dtype in (torch.float32, torch.float64)
            and _count_flops_of_weights(x, weight, geometry) <= MAX_WHOLE_FLOPS
            and all(map(aten.is_non_overlapping_and_dense, (grad, x)))
            and not SMALLER_TEAMS & os.environ.keys()
        )
        _teams[key] = (
            _try_teams(grad, x, weight, geometry, mask) if may_be_whole else None
        )
    return _teams[key]


def _try_teams(grad, x, weight, geometry, mask):
    n_threads = torch.get_num_threads()
    trial = _make_waves(grad), _make_waves(x), weight, geometry, mask
    # in a thread of its own: after a fork, OpenMP has lost those of this one
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_find_team, n_threads, trial).result()


@torch.no_grad()
def _find_team(n_threads, trial):
    def gives_same(n_threads):
        with use_threads(n_threads):
            return all(map(_are_equal, _weight_gradients(*trial), alone))

    with use_threads(1):
        alone = _weight_gradients(*trial)
    if not gives_same(2):
        return None
    teams = [2**k for k in range(n_threads.bit_length())]
    return next(n for n in reversed(teams) if n <= 2 or gives_same(n))


def _are_equal(a, b):
    return a is b is None or torch.equal(a, b)


def _by_samples(count, function, samples, layer):
    """Return ``function(*samples, *layer)``, or what it gives in parts of the batch."""
    weight, bias, geometry = layer
    key = torch.get_num_threads(), function, geometry, bias is None
    key += tuple(map(_describe, (*samples, weight)))
    n_parts = _n_parts.get(key)
    if n_parts is None:
        n_parts = _n_parts[key] = _try_parts(count(), function, samples, layer)
    if not n_parts:
        return function(*samples, *layer)
    return _in_parts(n_parts, function, samples, layer)


def _try_parts(n_parts, function, samples, layer):
    """Return the number of parts, 0 where the whole comes out like parts."""
    if not all(map(aten.is_non_overlapping_and_dense, samples)):
        return n_parts
    samples, layer = (
        [_make_waves(m) if isinstance(m, torch.Tensor) else m for m in arguments]
        for arguments in (samples, layer)
    )
    parts = _in_parts(n_parts, function, samples, layer)
    return 0 if torch.equal(function(*samples, *layer), parts) else n_parts


def _in_parts(n_parts, function, samples, layer):
    parts = (values.tensor_split(n_parts) for values in samples)
    return join(map_parts(lambda *part: function(*part, *layer), *parts))


def _describe(tensor):
    """Return what chooses the kernel."""
    return tensor.shape, tensor.stride(), tensor.dtype


def _make_waves(like):
    """Return a tensor of numbers, hardly any of which are alike."""
    waves = torch.arange(like.numel(), dtype=torch.float32).mul_(0.7).sin_()
    return torch.empty_like(like).copy_(waves.view(like.shape))


def _has_small_maps(grad, x, weight, geometry):
    """Return whether the weight gradient is best computed by `_convolve_maps`."""
    stride, _, dilation, is_transposed, _, n_groups = geometry
    is_plain = {*stride, *dilation} == {1} and n_groups == 1 and not is_transposed
    return (
        is_plain
        and x.ndim == 4
        and x.dtype == torch.float32
        and x[0, 0].numel() <= MAX_PIXELS
        and x[:, 0].numel() <= MAX_BATCH_PIXELS
        and weight[0, 0].numel() > 1
        and min(*grad.shape[:2], x.shape[1]) >= MIN_CHANNELS
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _convolve_maps(grad, x, geometry):
    """Return the weight gradient: samples as channels, the gradient as filters."""
    samples_last = {"memory_format": torch.channels_last}
    maps, filters = (m.transpose(0, 1).contiguous(**samples_last) for m in (x, grad))
    out = _by_samples(
        lambda: count_parts(2 * maps.numel() * len(filters), len(maps)),
        _convolve,
        (maps,),
        (filters, None, geometry),
    )
    return out.transpose(0, 1).contiguous(**samples_last)
