"""LeNet-5."""

from torch import nn

from .building_blocks import Layers, make_activation
from .convnet import POOLINGS

MINIMUM_SIDE = 12


class LeNet5(Layers):
    """LeNet-5, a network for images of digits.

    It has two convolutions with 6 and 16 filters of 5 × 5, each followed by
    pooling, and fully connected layers of 120 and 84 units. The first convolution is
    padded by 2, as the original padded 28 × 28 digits to 32 × 32.

    Parameters
    ----------
    input_shape : tuple of int
        ``(n_channels, height, width)`` of one image, each side at least 12.

    n_outputs : int
        Number of outputs per image.

    activation : str or callable, default="tanh"
        Activation function, see `skcnn.modules.ACTIVATIONS`. The original is a
        scaled tanh.

    pooling : {"avg", "max"}, default="avg"
        Kind of pooling. The original is average pooling.

    Raises
    ------
    ValueError
        If a side is below 12, or there are not two spatial axes.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied
    to document recognition", Proceedings of the IEEE 86(11), 1998.
    """

    def __init__(self, input_shape, n_outputs, *, activation="tanh", pooling="avg"):
        n_channels, *spatial = input_shape
        if len(spatial) != 2 or min(spatial) < MINIMUM_SIDE:
            raise ValueError(
                f"lenet5 takes images of at least {MINIMUM_SIDE} x {MINIMUM_SIDE} "
                f"pixels, got {' x '.join(map(str, spatial))}. "
                "Use architecture='convnet', which takes any size."
            )
        if pooling not in POOLINGS:
            raise ValueError(f"lenet5 takes pooling='avg' or 'max', got {pooling!r}.")
        pool = POOLINGS[pooling][2]
        height, width = ((side // 2 - 4) // 2 for side in spatial)
        super().__init__(
            nn.Conv2d(n_channels, 6, 5, padding=2),
            make_activation(activation),
            pool(2),
            nn.Conv2d(6, 16, 5),
            make_activation(activation),
            pool(2),
            nn.Flatten(),
            nn.Linear(16 * height * width, 120),
            make_activation(activation),
            nn.Linear(120, 84),
            make_activation(activation),
            nn.Linear(84, n_outputs),
        )
