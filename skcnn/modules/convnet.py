"""Plain convolutional network in one, two or three dimensions."""

from collections import OrderedDict
from math import prod
from numbers import Integral

from torch import nn

from .building_blocks import Dropout, Layers, is_monotone, make_activation

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLINGS = {
    "max": {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d},
    "avg": {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d},
}
MAX_POOLINGS = tuple(POOLINGS["max"].values())
CHANNELS_PER_GROUP = 16


class ConvBlock(nn.Module):
    """Convolution, normalisation, activation, pooling and dropout of feature maps.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of feature maps of the input and of the output.

    spatial_shape : tuple of int
        Shape of one feature map of the input. An axis shorter than `pool_size` is
        not pooled.

    kernel_size, stride : int or tuple of int, default=3, 1
        Size and step of the filters. Feature maps are padded by half of the filter,
        so that they keep their size if the filter is odd and the stride is 1.

    pooling : {"max", "avg", "stride"} or None, default="max"
        Reduction of the feature maps after the convolution. With "stride", the
        convolution takes steps of `pool_size` instead.

    pool_size : int or tuple of int, default=2
        Size and step of the pooling window.

    activation : str or callable, default="relu"
        Activation function, see `skcnn.modules.ACTIVATIONS`.

    norm : {"batch", "group"} or None, default="batch"
        Normalisation between convolution and activation.

    dropout : float, default=0.0
        Probability that a whole feature map is set to zero, in [0, 1).

    Attributes
    ----------
    output_shape : tuple of int
        ``(out_channels, *spatial_shape)`` of the output.

    thinning : tuple or None
        Index of the pixels that are convolved; None if all are.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        spatial_shape,
        *,
        kernel_size=3,
        stride=1,
        pooling="max",
        pool_size=2,
        activation="relu",
        norm="batch",
        dropout=0.0,
    ):
        super().__init__()
        n_axes = len(spatial_shape)
        kernel = per_axis("kernel_size", kernel_size, n_axes)
        steps = per_axis("stride", stride, n_axes)
        window = per_axis("pool_size", pool_size, n_axes)
        if pooling == "stride":
            window = _within(window, spatial_shape)
            steps = tuple(s * w for s, w in zip(steps, window, strict=True))
        shape = _convolved_shape(spatial_shape, kernel, steps)
        self.thinning = None
        if max(kernel) == 1 < max(steps):
            # Select the pixels that these filters see. This is less work, and torch's
            # gradient would write out of bounds with fewer than 8 feature maps.
            self.thinning = (..., *(slice(None, None, s) for s in steps))
            steps = (1,) * n_axes
        padding = tuple(k // 2 for k in kernel)
        self.conv = CONVOLUTIONS[n_axes](
            in_channels, out_channels, kernel, steps, padding, bias=norm is None
        )
        self.norm = make_norm(norm, out_channels, n_axes)
        self.activation = make_activation(activation)
        self.pool = nn.Identity()
        if pooling in POOLINGS:
            window = _within(window, shape)
            shape = tuple(s // w for s, w in zip(shape, window, strict=True))
            if max(window) > 1:
                self.pool = POOLINGS[pooling][n_axes](window)
        self.dropout = Dropout(dropout)
        self.output_shape = (out_channels, *shape)

    @property
    def pools_first(self):
        """Whether pooling comes before the activation, which gives the same output."""
        return isinstance(self.pool, MAX_POOLINGS) and is_monotone(self.activation)

    def forward(self, x):
        """Map ``(n, in_channels, *spatial)`` to ``(n, *output_shape)``."""
        if self.thinning is not None:
            x = x[self.thinning]
        return self.finish(self.norm(self.conv(x)))

    def finish(self, x):
        """Activate and pool normalised feature maps, and apply dropout.

        Parameters
        ----------
        x : torch.Tensor of shape (n, out_channels, *convolved_shape)
            Output of convolution and normalisation.

        Returns
        -------
        torch.Tensor of shape (n, *output_shape)
            Output of `forward`.
        """
        if self.pools_first:  # the same output, from a quarter of the activations
            x = self.activation(self.pool(x))
        else:
            x = self.pool(self.activation(x))
        return self.dropout(x)


class ConvNet(Layers):
    """Stack of convolution blocks with a fully connected head.

    The layers are the children `block1`, `block2`, ..., `flatten`, `hidden1`,
    ..., `output`.

    Parameters
    ----------
    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of one sample, with one, two or three
        spatial axes.

    n_outputs : int
        Number of outputs per sample.

    n_layers : int, default=3
        Number of blocks.

    n_filters : int, default=32
        Number of filters of the first block.

    filter_growth : float, default=2
        Factor by which the number of filters grows from block to block.

    kernel_size, stride, pooling, pool_size, activation, norm
        Parameters of every block, see `ConvBlock`.

    dropout : float, default=0.0
        Probability that a feature map of a block, or a unit before a fully
        connected layer, is set to zero, in [0, 1).

    hidden_layer_sizes : tuple of int or int, default=()
        Widths of the fully connected layers between the last block and the
        output.
    """

    def __init__(
        self,
        input_shape,
        n_outputs,
        *,
        n_layers=3,
        n_filters=32,
        filter_growth=2,
        kernel_size=3,
        stride=1,
        pooling="max",
        pool_size=2,
        activation="relu",
        norm="batch",
        dropout=0.0,
        hidden_layer_sizes=(),
    ):
        layers = OrderedDict()
        shape = tuple(input_shape)
        for index in range(n_layers):
            block = ConvBlock(
                shape[0],
                max(1, round(n_filters * filter_growth**index)),
                shape[1:],
                kernel_size=kernel_size,
                stride=stride,
                pooling=pooling,
                pool_size=pool_size,
                activation=activation,
                norm=norm,
                dropout=dropout if index < n_layers - 1 else 0.0,
            )
            layers[f"block{index + 1}"] = block
            shape = block.output_shape
        layers["flatten"] = nn.Flatten()
        width = prod(shape)
        for index, size in enumerate(_widths(hidden_layer_sizes), start=1):
            layers[f"hidden{index}"] = nn.Sequential(
                Dropout(dropout), nn.Linear(width, size), make_activation(activation)
            )
            width = size
        layers["output"] = nn.Sequential(Dropout(dropout), nn.Linear(width, n_outputs))
        super().__init__(layers)


def make_norm(norm, n_channels, n_axes):
    """Return the normalisation layer called `norm` for `n_channels` feature maps."""
    if norm == "batch":
        return BATCH_NORMS[n_axes](n_channels)
    if norm == "group":
        n_groups = max(1, n_channels // CHANNELS_PER_GROUP)
        while n_channels % n_groups:
            n_groups -= 1
        return nn.GroupNorm(n_groups, n_channels)
    return nn.Identity()


def per_axis(name, value, n_axes):
    """Return the parameter `name` as one integer for each spatial axis."""
    sizes = (value,) * n_axes if isinstance(value, Integral) else tuple(value)
    if len(sizes) != n_axes or not _are_positive(sizes):
        raise ValueError(
            f"{name}={value!r}, expected a positive integer, or {n_axes} of them, one "
            "for each spatial axis."
        )
    return tuple(map(int, sizes))


def _widths(hidden_layer_sizes):
    """Return the widths of the hidden layers."""
    if isinstance(hidden_layer_sizes, Integral):
        return (hidden_layer_sizes,)
    if not _are_positive(hidden_layer_sizes):
        raise ValueError(
            f"hidden_layer_sizes={hidden_layer_sizes!r}, expected positive integers, "
            "one for each hidden layer."
        )
    return tuple(hidden_layer_sizes)


def _are_positive(sizes):
    return all(isinstance(size, Integral) and size > 0 for size in sizes)


def _within(window, shape):
    """Return the window, with a length of 1 along axes shorter than the window."""
    return tuple(w if s >= w else 1 for w, s in zip(window, shape, strict=True))


def _convolved_shape(shape, kernel, steps):
    """Return the shape of feature maps after padding and convolution."""
    return tuple(
        (length + 2 * (k // 2) - k) // s + 1
        for length, k, s in zip(shape, kernel, steps, strict=True)
    )
