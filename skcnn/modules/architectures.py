"""Architectures by name, and construction of their networks."""

import copy
import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from torch import nn

from .convnet import ConvNet
from .fcn import FCN
from .lenet import LeNet5
from .resnet import CIFARResNet
from .stored_network import note_recipe

ARCHITECTURES = {
    "convnet": ConvNet,
    "fcn": FCN,
    "lenet5": LeNet5,
    **{f"resnet{n}": partial(CIFARResNet, depth=n) for n in (20, 32, 44, 56)},
}


def build_module(architecture, input_shape, n_outputs, hyperparameters=()):
    """Build the network for samples of one shape.

    Parameters
    ----------
    architecture : str or callable
        Key of `ARCHITECTURES`, or class or function that is called as
        ``architecture(input_shape, n_outputs)``, by keyword if its signature has
        these names.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of one sample.

    n_outputs : int
        Number of outputs of the network per sample.

    hyperparameters : dict, default=()
        Further arguments. Only those in the signature of the architecture are passed
        on, unless :func:`functools.partial` has bound them.

    Returns
    -------
    torch.nn.Module
        The network.

    Raises
    ------
    ValueError
        If the name is unknown, or the architecture cannot take the shape.

    TypeError
        If `architecture` is not a name, class or function, or returns no network.

    Examples
    --------
    >>> from skcnn.modules import build_module
    >>> build_module("lenet5", (1, 28, 28), 10)[-1]
    Linear(in_features=84, out_features=10, bias=True)
    """
    factory = find_architecture(architecture)
    parameters = inspect.signature(factory).parameters
    bound = factory.keywords if isinstance(factory, partial) else ()
    extra = {
        name: value
        for name, value in dict(hyperparameters).items()
        if name in parameters and name not in bound
    }
    shapes = {"input_shape": tuple(input_shape), "n_outputs": n_outputs}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if takes_any or shapes.keys() <= parameters.keys():
        module = factory(**shapes, **extra)
    else:
        module = factory(*shapes.values(), **extra)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"architecture {architecture!r} returned {type(module).__name__}, "
            "expected a torch.nn.Module."
        )
    module = module if isinstance(factory, type) else _own_copy(module)
    if isinstance(architecture, str):
        note_recipe(module, Architecture(architecture, *shapes.values(), extra))
    return module


@dataclass(frozen=True)
class Architecture:
    """Recipe of a network whose architecture has a name.

    Parameters
    ----------
    name, input_shape, n_outputs, hyperparameters
        Arguments of `build_module`.
    """

    name: str
    input_shape: tuple
    n_outputs: int
    hyperparameters: dict

    def build(self):
        """Return the network, with random weights."""
        return build_module(
            self.name, self.input_shape, self.n_outputs, self.hyperparameters
        )


def find_architecture(architecture):
    """Return the class or function of an architecture, looked up if it is a name."""
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            close = get_close_matches(architecture, ARCHITECTURES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"architecture={architecture!r} is not known.{hint} Use one of "
                f"{sorted(ARCHITECTURES)}, or pass a torch.nn.Module class or a "
                "function that takes (input_shape, n_outputs)."
            )
        return ARCHITECTURES[architecture]
    if isinstance(architecture, nn.Module) or not callable(architecture):
        raise TypeError(
            f"architecture={architecture!r} is not a name, torch.nn.Module class or "
            "function that takes (input_shape, n_outputs). If the network is already "
            "built, pass its class."
        )
    return architecture


def _own_copy(module):
    """Return a copy, as a function may return the same network every time."""
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError):  # computed weights or locks cannot be copied
        return module
