"""What a network computes with, in one string."""

import re
from hashlib import blake2b
from types import CodeType, FunctionType

from .layers import TRACED_LIBRARIES
from .weights import weights_digest

PLAIN_TYPES = (bool, int, float, complex, str, bytes, tuple, type(None))


def module_identity(module):
    """Return a digest of a network: its weights, its structure and its code.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on any device.

    Returns
    -------
    str
        The same in every process with the same version of Python. The plain
        attributes of each part count; and the methods of classes, and of those
        that they inherit from, that are not of a known library. What methods refer
        to elsewhere does not count.
    """
    digest = blake2b(weights_digest(module).encode(), digest_size=32)
    for name, part in module.named_modules():
        digest.update(f"{name} {_definitions(vars(part))}".encode())
        for kind in type(part).__mro__[:-1]:
            if not kind.__module__.startswith(TRACED_LIBRARIES):
                digest.update(_definitions(vars(kind)).encode())
    return digest.hexdigest()


def _definitions(attributes):
    """Return those attributes that are plain values or methods, as text."""
    found = []
    for name, value in sorted(attributes.items()):
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(value, FunctionType):
            found.append(f"{name}: {_describe_function(value)}")
        elif name.startswith("__") or name == "training":
            continue
        elif isinstance(value, PLAIN_TYPES):
            found.append(f"{name}: {_text(value)}")
        elif hasattr(value, "__qualname__"):  # a class, or a function written in C
            found.append(f"{name}: {value.__module__} {value.__qualname__}")
    return "\n".join(found)


def _describe_function(function):
    """Return what a function does, and what it wraps; not where it was defined."""
    parts = []
    while isinstance(function, FunctionType):
        parts.append(_describe_code(function.__code__))
        parts.append(_text((function.__defaults__, function.__kwdefaults__)))
        function = getattr(function, "__wrapped__", None)
    return " ".join(parts)


def _describe_code(code):
    """Return the instructions of a function, its names and its constants."""
    constants = [
        _describe_code(value) if isinstance(value, CodeType) else _text(value)
        for value in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _text(value):
    """Return a value as text that is the same in every process."""
    if isinstance(value, frozenset):
        return f"{sorted(map(repr, value))}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
