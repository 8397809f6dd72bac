"""Winograd convolutions with kernels of 3 × 3 pixels.

The output is computed in tiles of 4 × 4 pixels, F(4 × 4, 3 × 3) of Lavin and Gray
2016, *Fast algorithms for convolutional neural networks*. A linear transform maps the
6 × 6 input pixels of a tile to 36 values. The convolution is one matrix product for
each of these values, and another transform maps the 36 results to the tile. This takes
36 multiplications instead of 144; with many channels, the transforms cost little.
"""

import torch
from torch import nn
from torch.nn import functional as F

TILE = 4
WINDOW = TILE + 2
SIZE = WINDOW**2
# Tiles that are computed together: more fill the caches, fewer make products small.
N_TILES = 256
# Minimum ratio of multiplications, direct to Winograd, and minimum side in pixels.
# Multiplications of the transforms count twice, as they move more data. The limits were
# measured with AVX2, for 34 shapes from 64 to 512 channels and 4 to 112 pixels.
MIN_GAIN = 1.85
MIN_SIDE = 7

# Transforms of one axis, by columns: of weights, of windows, to tiles.
OF_WEIGHTS = (
    (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24, 0),
    (0, -1 / 6, 1 / 6, 1 / 12, -1 / 12, 0),
    (0, -1 / 6, -1 / 6, 1 / 6, 1 / 6, 1),
)
OF_WINDOWS = (
    (4, 0, 0, 0, 0, 0),
    (0, -4, 4, -2, 2, 4),
    (-5, -4, -4, -1, -1, 0),
    (0, 1, -1, 2, -2, -5),
    (1, 1, 1, 1, 1, 0),
    (0, 0, 0, 0, 0, 1.0),
)
TO_TILES = (
    (1, 0, 0, 0),
    (1, 1, 1, 1),
    (1, -1, 1, -1),
    (1, 2, 4, 8),
    (1, -2, 4, -8),
    (0, 0, 0, 1.0),
)
# This value contributes equally to all pixels of a tile, so the bias is added to it.
CONSTANT = WINDOW + 1


def use_winograd(network):
    """Replace the convolutions that Winograd's algorithm computes faster.

    Parameters
    ----------
    network : torch.nn.Module
        Network on a CPU, in float32. It is modified in place.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    for name, module in list(network.named_modules()):
        if _suits(module):
            network.set_submodule(name, WinogradConv2d(module))
    return network


def _suits(module):
    """Return whether a layer is faster by Winograd for some image size."""
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and isinstance(module.padding, tuple)
        and _gain(module, TILE, TILE) >= MIN_GAIN
    )


def _gain(conv, height, width):
    """Return the ratio of multiplications, direct to Winograd."""
    n_in, n_out = conv.in_channels, conv.out_channels
    maps = SIZE * n_in + TILE**2 * n_out
    of_tiles = _n_tiles(height) * _n_tiles(width) * SIZE * (n_in * n_out + 2 * maps)
    return 9 * n_in * n_out * height * width / of_tiles


def _n_tiles(side):
    """Return the number of tiles that cover an axis."""
    return -(-side // TILE)


class WinogradConv2d(nn.Module):
    """Winograd convolution of 3 × 3 pixels and stride 1.

    Small feature maps are convolved directly. The choice depends only on the size of
    an image.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        Convolution in float32 with zero padding, without groups or dilation.
    """

    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        weight = conv.weight.detach()
        by_pixel = weight.flatten(2).permute(2, 1, 0)
        buffers = {
            "weight": torch.tensordot(_in_two_axes(OF_WEIGHTS), by_pixel, 1),
            "of_windows": _in_two_axes(OF_WINDOWS),
            "to_tiles": _in_two_axes(TO_TILES),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, x):
        """Map (n, n_in, height, width) to (n, n_out, height', width')."""
        n_samples, _, *sides = x.shape
        height, width = (
            side + 2 * pad - 2
            for side, pad in zip(sides, self.conv.padding, strict=True)
        )
        if min(height, width) < MIN_SIDE or _gain(self.conv, height, width) < MIN_GAIN:
            return self.conv(x)
        rows, columns = _n_tiles(height), _n_tiles(width)
        images = self._padded(x, rows, columns)
        n_out = self.conv.out_channels
        output = x.new_empty(n_samples, rows, TILE, columns, TILE, n_out)
        n_at_once = max(1, N_TILES // (rows * columns))
        for some, target in zip(
            images.split(n_at_once), output.split(n_at_once), strict=True
        ):
            windows = some.unfold(1, WINDOW, TILE).unfold(2, WINDOW, TILE)
            windows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, SIZE, x.shape[1])
            tiles = target.transpose(2, 3)
            tiles.copy_(self._convolve(windows).view_as(tiles))
        whole = output.view(n_samples, rows * TILE, columns * TILE, n_out)
        return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)

    def _padded(self, x, rows, columns):
        """Return images, channels last, padded to the input of whole tiles."""
        pads = [0, 0]
        sides, padding = x.shape[:1:-1], self.conv.padding[::-1]
        for side, pad, n_tiles in zip(sides, padding, (columns, rows), strict=True):
            pads += [pad, n_tiles * TILE + 2 - side - pad]
        return F.pad(x.permute(0, 2, 3, 1), pads)

    def _convolve(self, windows):
        """Map windows (n, 36, n_in) to tiles (n, 16, n_out)."""
        values = torch.matmul(self.of_windows, windows)
        products = torch.bmm(values.transpose(0, 1), self.weight)
        if self.conv.bias is not None:
            products[CONSTANT] += self.conv.bias
        return torch.matmul(self.to_tiles, products.transpose(0, 1))


def _in_two_axes(columns):
    """Return the matrix of a transform of two axes from that of one."""
    matrix = torch.tensor(columns).T.contiguous()
    return torch.kron(matrix, matrix)
