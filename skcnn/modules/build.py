"""From an architecture, a shape and hyper-parameters to a network."""

import copy
import inspect
from functools import partial

from torch import nn

from .registry import ARCHITECTURES


def find_architecture(architecture):
    """Return the class or function that `architecture` names or is."""
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"architecture={architecture!r} is not known. Choose one of "
                f"{sorted(ARCHITECTURES)}, or pass a torch.nn.Module class or a "
                "function that takes (input_shape, n_outputs)."
            )
        return ARCHITECTURES[architecture]
    if isinstance(architecture, nn.Module) or not callable(architecture):
        raise TypeError(
            "architecture is a name, a torch.nn.Module class or a function that "
            f"takes (input_shape, n_outputs), got {architecture!r}. A network that "
            "is already built cannot be fitted to the shape of X: pass its class."
        )
    return architecture


def accepted_arguments(factory, arguments):
    """Return the part of the dict `arguments` that the signature names."""
    parameters = inspect.signature(factory).parameters
    return {name: value for name, value in arguments.items() if name in parameters}


def _bound_names(factory):
    """Return the names of the arguments that :func:`functools.partial` has bound."""
    return factory.keywords.keys() if isinstance(factory, partial) else ()


def _takes_any_name(factory):
    parameters = inspect.signature(factory).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def build_module(architecture, input_shape, n_outputs, hyperparameters=()):
    """Build the network for samples of one shape.

    Parameters
    ----------
    architecture : str or callable
        A key of `ARCHITECTURES`, or a class or function called as
        ``architecture(input_shape, n_outputs)``, by these names where its
        signature has them.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of one sample.

    n_outputs : int
        Number of values that the network returns for a sample.

    hyperparameters : dict, default=()
        Further arguments. Those that the signature of the architecture names
        are passed on, but for what :func:`functools.partial` has bound.

    Returns
    -------
    torch.nn.Module
        The network.

    Raises
    ------
    ValueError
        If the name is not known, or the architecture cannot take the shape.

    TypeError
        If `architecture` is no class or function, or does not return a network.

    Examples
    --------
    >>> from skcnn.modules import build_module
    >>> build_module("lenet5", (1, 28, 28), 10)[-1]
    Linear(in_features=84, out_features=10, bias=True)
    """
    factory = find_architecture(architecture)
    arguments = {"input_shape": tuple(input_shape), "n_outputs": n_outputs}
    named = accepted_arguments(factory, arguments)
    bound = _bound_names(factory)
    free = {n: value for n, value in dict(hyperparameters).items() if n not in bound}
    extra = accepted_arguments(factory, free)
    if len(named) == len(arguments) or _takes_any_name(factory):
        module = factory(**arguments, **extra)
    else:
        module = factory(*arguments.values(), **extra)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"architecture {architecture!r} returned {type(module).__name__}, "
            "expected a torch.nn.Module."
        )
    return module if _is_network_class(factory) else _own_copy(module)


def _is_network_class(factory):
    return isinstance(factory, type) and issubclass(factory, nn.Module)


def _own_copy(module):
    """Return a copy, as a factory may return the same network again and again."""
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError):  # computed weights, locks: cannot be copied
        return module
