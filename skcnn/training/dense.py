"""Convolutions that see the whole map from each pixel, as products of matrices.

The last maps of small images have one or four pixels, and three by three filters
reach all of them from each. Kernels for convolutions pad such maps, and so multiply
zeros for the most part. Samples times all values of their maps need no padding.
"""

from itertools import product

import torch

aten = torch.ops.aten
DTYPES = (torch.float32, torch.float64)
# A matrix holds the filters more than once: up to this number of pixels and from this
# number of samples on, that takes less time than it saves. Of one pixel it does not.
MAX_PIXELS = 9
MIN_SAMPLES_PER_PIXEL = 16


def is_dense(x, weight, geometry):
    """Return whether to multiply matrices: each output is a sum over all of its input.

    Parameters
    ----------
    x : torch.Tensor of shape (n, n_channels, height, width)
        Maps.

    weight : torch.Tensor
        Filters.

    geometry : tuple
        The other arguments of ``convolution``.
    """
    stride, padding, dilation, is_transposed, _, n_groups = geometry
    return (
        x.ndim == 4
        and x.dtype in DTYPES
        and {*stride, *dilation, n_groups} == {1}
        and not is_transposed
        and all(map(_reaches_all, x.shape[2:], weight.shape[2:], padding))
        and _pays(len(x), x[0, 0].numel())
    )


def convolve(x, weight, bias, geometry):
    """Return the output.

    Parameters
    ----------
    x, weight, geometry
        As for `is_dense`.

    bias : torch.Tensor or None
        Offsets.
    """
    sides = _output_sides(x, weight, geometry)
    factors = _as_rows(x), _as_matrix(x, weight, geometry).t()
    if bias is None:
        rows = aten.mm(*factors)
    else:
        rows = aten.addmm(bias.repeat(sides[0] * sides[1]), *factors)
    return _as_maps(rows, sides)


def input_gradient(grad, x, weight, geometry):
    """Return the gradient of the input.

    Parameters
    ----------
    grad : torch.Tensor
        Of the output.

    x, weight, geometry
        As for `is_dense`.
    """
    rows = aten.mm(_as_rows(grad), _as_matrix(x, weight, geometry))
    return _as_maps(rows, x.shape[2:])


def weight_gradient(grad, x, weight, geometry):
    """Return the gradient of the filters.

    Parameters
    ----------
    grad, x, weight, geometry
        As for `input_gradient`.
    """
    sides = grad.shape[2:]
    of_matrix = aten.mm(_as_rows(grad).t(), _as_rows(x))
    of_pixels = of_matrix.view(-1, grad.shape[1], *x.shape[2:], x.shape[1])
    out = torch.zeros_like(weight, memory_format=torch.channels_last)
    windows = _windows(x, geometry, sides)
    for window, of_pixel in zip(windows, of_pixels, strict=True):
        out[window] += of_pixel.permute(0, 3, 1, 2)
    return out


def _pays(n_samples, n_pixels):
    enough = n_samples >= MIN_SAMPLES_PER_PIXEL * n_pixels
    return n_pixels == 1 or (n_pixels <= MAX_PIXELS and enough)


def _reaches_all(side, kernel_size, padding):
    """Return whether a filter sees all of an axis from wherever it may be."""
    last = side + 2 * padding - kernel_size  # where it may begin, in the padded axis
    return last <= padding and side + padding <= kernel_size


def _output_sides(x, weight, geometry):
    sizes = zip(x.shape[2:], weight.shape[2:], geometry[1], strict=True)
    return [side + 2 * padding - kernel + 1 for side, kernel, padding in sizes]


def _windows(x, geometry, sides):
    """Return the part of the filters that meets the input, for each output pixel."""
    for pixel in product(*map(range, sides)):
        begins = (p - i for p, i in zip(geometry[1], pixel, strict=True))
        spans = (slice(b, b + n) for b, n in zip(begins, x.shape[2:], strict=True))
        yield (..., *spans)


def _as_matrix(x, weight, geometry):
    """Return a matrix, from all values of a sample's input to all of its output."""
    windows = _windows(x, geometry, _output_sides(x, weight, geometry))
    filters = torch.cat([weight[window].permute(0, 2, 3, 1) for window in windows])
    return filters.view(len(filters), -1)


def _as_rows(maps):
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1)


def _as_maps(rows, sides):
    return rows.view(len(rows), *sides, -1).permute(0, 3, 1, 2)
