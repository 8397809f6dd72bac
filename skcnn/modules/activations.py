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

# Max pooling commutes with these, so they may run on the smaller, pooled map.
MONOTONE = (
    nn.Identity,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.Sigmoid,
    nn.Tanh,
)


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
    """
    if isinstance(activation, str):
        activation = ACTIVATIONS[activation]
    return activation()
