"""Activation functions by name."""

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
    """Return whether a layer is known to compute a function that never falls.

    Parameters
    ----------
    activation : torch.nn.Module
        The layer.

    Returns
    -------
    bool
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
        A key of `ACTIVATIONS`, or a class or function without arguments that
        returns an :class:`torch.nn.Module`.

    Returns
    -------
    torch.nn.Module
        The layer.

    Raises
    ------
    TypeError
        If `activation` is a layer, not its class, or makes none.
    """
    if isinstance(activation, nn.Module):
        raise TypeError(
            f"activation={activation!r} is one layer, expected what makes one for each "
            "block: a name, or a class such as torch.nn.ReLU."
        )
    if isinstance(activation, str):
        activation = ACTIVATIONS[activation]
    try:
        layer, cause = activation(), None
    except TypeError as error:
        layer, cause = None, error
    if not isinstance(layer, nn.Module):
        raise TypeError(
            f"activation={activation!r} makes no layer where it is called without "
            "arguments, expected a name, or a class such as torch.nn.ReLU."
        ) from cause
    return layer
