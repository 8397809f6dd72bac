"""Convolutions that no number of threads changes.

The kernels of oneDNN choose how threads share a convolution. In the forward pass
and in the gradient of the input, threads may share a sum, but do not for images
with channels last on the processors we know. So it is tried once whether the
result is that of parts of the batch, each computed by one thread; where it is
not, parts are computed. In weight gradients threads often share the sum over the
batch. Those of small maps are computed as a convolution of maps with maps, in
which threads share no sum and which is faster, too; all others in parts.
"""

from itertools import islice, repeat
from math import prod

import torch

from ..parallel import map_parts
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
MIN_CHANNELS_OF_WORK = 8

# Whether torch gives what parts give, by function, layouts and number of threads.
_is_like_parts = {}


def convolution(func, x, weight, bias, *geometry):
    """Run ``convolution``."""
    n_parts = _count_parts(x, weight, geometry)
    return _by_samples(n_parts, func, (x,), (weight, bias, *geometry))


def convolution_backward(func, grad, x, weight, bias_sizes, *args):
    """Run ``convolution_backward``."""
    *geometry, (needs_x, *mask) = args
    grad_x = input_gradient(grad, x, weight, geometry) if needs_x else None
    if not any(mask):
        return grad_x, None, None
    return grad_x, *compute([plan_weight_gradients(grad, x, weight, geometry, mask)])[0]


def input_gradient(grad, x, weight, geometry):
    """Return the gradient of the input.

    Parameters
    ----------
    grad : torch.Tensor
        Of the output.

    x, weight : torch.Tensor
        Input and filters.

    geometry : sequence
        The other arguments of ``convolution``, after the bias.
    """
    n_parts = _count_parts(x, weight, geometry)
    return _by_samples(n_parts, _input_gradient, (grad, x), (weight, *geometry))


def plan_weight_gradients(grad, x, weight, geometry, mask):
    """Return how to compute the gradients of weight and bias, for `compute`.

    Parameters
    ----------
    grad, x, weight, geometry
        As for `input_gradient`.

    mask : sequence of bool
        Whether each of the two is wanted; the other one is None.

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
    n_parts = _count_parts(x, weight, geometry, MIN_CHANNELS_OF_WORK)
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


def _count_parts(x, weight, geometry, min_channels=1):
    stride, *_, is_transposed, _, _ = geometry
    n_sites = x.numel() / x.shape[1] / (1 if is_transposed else prod(stride))
    channels = max(1, min_channels / x.shape[1])
    return count_parts(2 * n_sites * weight.numel() * channels, len(x))


def _input_gradient(grad, x, weight, *geometry):
    mask = [True, False, False]
    return aten.convolution_backward(grad, x, weight, None, *geometry, mask)[0]


def _weight_gradients(grad, x, weight, geometry, mask):
    sizes = [grad.shape[1]] if mask[1] else None
    mask = [False, *mask]
    return aten.convolution_backward(grad, x, weight, sizes, *geometry, mask)[1:]


def _by_samples(n_parts, function, samples, layer):
    """Return ``function(*samples, *layer)``, or what it gives in parts of the batch."""

    def in_parts(*samples):
        parts = (values.tensor_split(n_parts) for values in samples)
        return join(map_parts(lambda *part: function(*part, *layer), *parts))

    if not all(map(aten.is_non_overlapping_and_dense, samples)):
        return in_parts(*samples)
    key = torch.get_num_threads(), n_parts, function
    key += tuple(map(_describe, (*samples, *layer)))
    if key not in _is_like_parts:
        trial = [_make_waves(values) for values in samples]
        whole = function(*trial, *layer)
        _is_like_parts[key] = torch.equal(whole, in_parts(*trial))
    return function(*samples, *layer) if _is_like_parts[key] else in_parts(*samples)


def _describe(argument):
    """Return what chooses the kernel."""
    if isinstance(argument, torch.Tensor):
        return argument.shape, argument.stride(), argument.dtype
    return tuple(argument) if isinstance(argument, list) else argument


def _make_waves(like):
    """Return a tensor of numbers, none of which are alike."""
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
    n_parts = count_parts(2 * maps.numel() * len(filters), len(maps))
    layer = filters, None, *geometry
    out = _by_samples(n_parts, aten.convolution.default, (maps,), layer)
    return out.transpose(0, 1).contiguous(**samples_last)
