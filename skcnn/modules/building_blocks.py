"""Building blocks of the networks: activations, dropout, a sequence of layers."""

from collections import OrderedDict

from torch import nn

ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "logistic": nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
MONOTONE = (nn.Identity, nn.ReLU, nn.SELU, nn.Sigmoid, nn.Tanh)


def is_monotone(activation):
    """Return whether an activation is known to be a non-decreasing function.

    Max pooling commutes with such a function.
    """
    if type(activation) is nn.LeakyReLU:
        return activation.negative_slope >= 0
    if type(activation) is nn.ELU:
        return activation.alpha >= 0
    return type(activation) in MONOTONE


def make_activation(activation):
    """Return a new activation layer.

    Parameters
    ----------
    activation : str or callable
        Key of `ACTIVATIONS`, or class or function without arguments that returns
        a :class:`torch.nn.Module`.

    Returns
    -------
    torch.nn.Module
        The layer.

    Raises
    ------
    TypeError
        If `activation` is a layer instead of its class, or does not return one.
    """
    if isinstance(activation, nn.Module):
        raise TypeError(
            f"activation={activation!r} is one layer, but each block needs its own. "
            "Pass a name, or a class such as torch.nn.ReLU."
        )
    factory = ACTIVATIONS.get(activation, activation)
    try:
        layer, cause = factory(), None
    except TypeError as error:
        layer, cause = None, error
    if not isinstance(layer, nn.Module):
        raise TypeError(
            f"activation={activation!r} does not return a layer when it is called "
            "without arguments. Pass a name, or a class such as torch.nn.ReLU."
        ) from cause
    return layer


class Dropout(nn.Module):
    """Dropout of units or of whole feature maps, with its own random generator.

    All positions of a feature map are set to zero together. An input of shape
    ``(n, c)`` has units instead of feature maps.

    Parameters
    ----------
    p : float
        Probability that a unit or feature map is set to zero, in [0, 1). The
        others are multiplied by ``1 / (1 - p)``.

    Attributes
    ----------
    generator : torch.Generator or None
        Source of the random numbers, on the device of the network; None is torch's
        global generator.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15, 2014. J. Tompson et al., "Efficient object
    localization using convolutional networks", CVPR 2015, for whole feature maps.
    """

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.generator = None

    def forward(self, x):
        """Return `x`, in training with some units or feature maps set to zero."""
        if not self.training or self.p == 0:
            return x
        return x * self.draw(x)

    def draw(self, x):
        """Draw a random factor for each unit or feature map.

        Parameters
        ----------
        x : torch.Tensor of shape (n, n_channels, ...)
            Input of the layer.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, 1, ...)
            Factors of `x`: 0 or ``1 / (1 - p)``.
        """
        shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
        keep = x.new_empty(shape).bernoulli_(1 - self.p, generator=self.generator)
        return keep.div_(1 - self.p)

    def extra_repr(self):
        """Describe the layer in the printed network."""
        return f"p={self.p}"


class Layers(nn.Sequential):
    """Sequence of layers whose slices are plain :class:`torch.nn.Sequential` objects.

    ``net[:-1]`` shares its layers with ``net`` and lacks only the last one.
    """

    def __getitem__(self, index):
        return nn.Sequential(OrderedDict(self.named_children()))[index]
