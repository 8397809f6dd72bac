"""Convolutions of 3 × 3 pixels with fewer multiplications.

The output is computed in tiles of 4 × 4 pixels, F(4 × 4, 3 × 3) of Lavin and Gray
2016, *Fast algorithms for convolutional neural networks*: a linear map takes the
6 × 6 pixels that such a tile depends on to 36 values, in which the convolution is one
product of matrices for each value; another one takes the 36 results to the tile. That
is 36 multiplications for 144, and the maps cost little where there are many channels.
"""

import torch
from torch import nn
from torch.nn import functional as F

TILE = 4
WINDOW = TILE + 2
SIZE = WINDOW**2
# Tiles that are computed together: more fill the caches, fewer leave products small.
N_TILES = 256
# Multiplications of a convolution for one of this way's. Those of the maps count
# twice, as these move more data. Both limits are where this way took less time on a
# processor with AVX2, of 34 shapes from 64 to 512 channels and 4 to 112 pixels.
MIN_GAIN = 1.85
MIN_SIDE = 7

# The three maps of one axis, by columns: of weights, of windows, to tiles.
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
# This value goes to all pixels of a tile alike, so the bias is added to it.
CONSTANT = WINDOW + 1


def use_winograd(network):
    """Replace those convolutions of a network that may be computed faster.

    Parameters
    ----------
    network : torch.nn.Module
        On a CPU, in float32. It is changed.

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
    """Return whether some images are faster than in the convolution itself."""
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
    """Return how many multiplications of a convolution one of this way's replaces."""
    n_in, n_out = conv.in_channels, conv.out_channels
    maps = SIZE * n_in + TILE**2 * n_out
    of_tiles = _n_tiles(height) * _n_tiles(width) * SIZE * (n_in * n_out + 2 * maps)
    return 9 * n_in * n_out * height * width / of_tiles


def _n_tiles(side):
    """Return how many tiles cover an axis."""
    return -(-side // TILE)


class WinogradConv2d(nn.Module):
    """A convolution of 3 × 3 pixels in steps of one, computed in tiles.

    Maps that are too small to gain from it are computed as ever. Which way it is
    depends on the size of an image alone.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        In float32, padded with zeros, without groups and dilation.
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
        """Return images with channels last, as large as what their tiles depend on."""
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
    """Return the matrix of a map of two axes from that of one."""
    matrix = torch.tensor(columns).T.contiguous()
    return torch.kron(matrix, matrix)
