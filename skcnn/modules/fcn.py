"""Fully convolutional network for time series."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from .building_blocks import Dropout, Layers, make_activation
from .convnet import CONVOLUTIONS, make_norm

N_FILTERS = (128, 256, 128)
KERNEL_SIZES = (8, 5, 3)
PADDINGS = {1: nn.ZeroPad1d, 2: nn.ZeroPad2d, 3: nn.ZeroPad3d}
GLOBAL_POOLINGS = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
    3: nn.AdaptiveAvgPool3d,
}


class FCN(Layers):
    """Fully convolutional network for time series [1]_.

    Three convolutions with 128, 256 and 128 filters of 8, 5 and 3 time steps keep the
    length of the series. Each is followed by normalisation and activation. Global
    average pooling and a linear layer form the head. For images and volumes, filters
    have these sizes along each axis.

    The layers are the children `block1`, `block2`, `block3`, `pool`, `flatten`
    and `output`.

    Parameters
    ----------
    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of one sample, with one, two or three
        spatial axes of any length.

    n_outputs : int
        Number of outputs per sample.

    activation : str or callable, default="relu"
        Activation function, see `skcnn.modules.ACTIVATIONS`.

    norm : {"batch", "group"} or None, default="batch"
        Normalisation between convolution and activation.

    dropout : float, default=0.0
        Probability that a feature map of the first two blocks, or a mean before
        the output, is set to zero, in [0, 1). The original has no dropout.

    References
    ----------
    .. [1] Z. Wang, W. Yan, T. Oates, "Time series classification from scratch with
       deep neural networks: a strong baseline", IJCNN 2017, arXiv 1611.06455.

    Examples
    --------
    >>> import torch
    >>> from skcnn.modules import FCN
    >>> FCN((6, 100), 4)(torch.zeros(2, 6, 100)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self, input_shape, n_outputs, *, activation="relu", norm="batch", dropout=0.0
    ):
        n_channels, *spatial_shape = input_shape
        n_axes = len(spatial_shape)
        widths = pairwise((n_channels, *N_FILTERS))
        layers = OrderedDict()
        for index, (width, size) in enumerate(zip(widths, KERNEL_SIZES, strict=True)):
            block = make_block(*width, size, n_axes, activation, norm)
            if index < len(N_FILTERS) - 1:
                block.append(Dropout(dropout))
            layers[f"block{index + 1}"] = block
        layers["pool"] = GLOBAL_POOLINGS[n_axes](1)
        layers["flatten"] = nn.Flatten()
        layers["output"] = nn.Sequential(
            Dropout(dropout), nn.Linear(N_FILTERS[-1], n_outputs)
        )
        super().__init__(layers)


def make_block(in_channels, out_channels, size, n_axes, activation, norm):
    """Return a convolution with norm and activation that keeps the spatial shape.

    A filter of even size has one more step after its centre than before.
    """
    padding = ((size - 1) // 2, size // 2) * n_axes
    convolution = CONVOLUTIONS[n_axes](
        in_channels, out_channels, size, bias=norm is None
    )
    return nn.Sequential(
        PADDINGS[n_axes](padding),  # torch's padding="same" warns for even sizes
        convolution,
        make_norm(norm, out_channels, n_axes),
        make_activation(activation),
    )
