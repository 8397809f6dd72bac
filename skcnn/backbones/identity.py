"""Digest of a network: its weights, attributes and code."""

import dis
import pickle
import sys
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from uuid import uuid4
from weakref import ref

import torch
from torch import nn

from ..runtime import LIBRARIES
from .weights import tensor_bytes

KNOWN = {*LIBRARIES, *sys.stdlib_module_names}
WRAPPERS = (staticmethod, classmethod, type(lru_cache(len)))
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
# Other attributes that torch sets in each part of a network, such as its mode.
INTERNAL = vars(nn.Module()).keys() - {"_parameters", "_buffers", "_modules"}
INTERNAL |= {"recipe_"}  # which follows from the parts


def module_identity(module):
    """Return a digest of a network: its weights, its attributes and its code.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on any device.

    Returns
    -------
    str
        Digest, equal in every process with the same versions of Python and libraries.
        It covers the code of functions and classes outside installed libraries, and
        everything that this code refers to. If something cannot be pickled, such as an
        open file, the digest is random.
    """
    return find_digest(module) or uuid4().hex


def find_digest(value):
    """Return a digest of a value and everything in it, including code.

    Parameters
    ----------
    value : object
        Numbers, arrays, networks, functions, classes, or containers of these.

    Returns
    -------
    str or None
        Digest, see `module_identity`; None if something cannot be pickled.

    Examples
    --------
    >>> from skcnn.backbones import find_digest
    >>> find_digest({"lr": 0.1}) == find_digest({"lr": 0.1})
    True
    >>> find_digest({"lr": 0.1}) == find_digest({"lr": 0.2})
    False
    """
    digest = blake2b(digest_size=32)
    try:
        _Pickler(SimpleNamespace(write=digest.update)).dump(value)
    except Exception:  # pickling may raise anything
        return None
    return digest.hexdigest()


class _Pickler(pickle.Pickler):
    """Pickler of digests of tensors, parts of networks without their mode, and code.

    The code is the bytecode, as a source file may have changed since it was imported.
    """

    def __init__(self, file):
        super().__init__(file, protocol=5)
        self.fast = True  # equal values are written alike, identical or not
        self.described = {}  # parts, functions and classes, perhaps in cycles

    def persistent_id(self, value):
        """Return the replacement of a value; None if it is pickled as usual."""
        if isinstance(value, torch.Tensor):
            return _describe_tensor(value)
        if isinstance(value, (set, frozenset)):
            return "set", sorted(value, key=repr)
        if isinstance(value, ModuleType):
            return "module", value.__name__
        if isinstance(value, ref):
            return "reference", value()
        if isinstance(value, property):
            return "property", value.fget, value.fset
        if isinstance(value, WRAPPERS):
            return type(value).__name__, value.__wrapped__
        if isinstance(value, CodeType):
            names = value.co_names, value.co_varnames, value.co_freevars
            return "code", value.co_code, value.co_consts, names
        if isinstance(value, nn.Module | type | FunctionType):
            return self._describe(value)
        return None

    def _describe(self, value):
        """Return the content of a part, function or class; a number if seen before."""
        if id(value) in self.described:
            return self.described[id(value)][0]
        self.described[id(value)] = len(self.described), value
        if isinstance(value, nn.Module):
            return type(value), *_describe_part(value)
        if (
            _is_installed(value.__module__ or "")
            and "<locals>" not in value.__qualname__
        ):
            return value.__module__, value.__qualname__
        describe = _describe_class if isinstance(value, type) else _describe_function
        return value.__qualname__, *describe(value)


def _is_installed(module):
    """Return whether a module, given by name, is of an installed library."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    is_script = module == "__main__"  # in a worker, its file is joblib's
    return module.partition(".")[0] in KNOWN or ("-packages" in file and not is_script)


def _describe_part(part):
    """Return the attributes and hooks of a part of a network."""
    held = [item for item in vars(part).items() if item[0] not in INTERNAL]
    hooks = [list(getattr(part, name).values()) for name in HOOKS]
    return sorted(held, key=itemgetter(0)), hooks


def _describe_tensor(value):
    """Return the kind of a tensor and a digest of its values."""
    dense = value if value.layout is torch.strided else value.to_dense()
    digest = blake2b(tensor_bytes(dense)).digest()
    kind = type(value), str(value.dtype), str(value.layout), tuple(value.shape)
    return *kind, digest, vars(value)


def _describe_class(kind):
    """Return the methods and values of a class, and the classes it inherits from."""
    own = [
        (name, value)
        for name, value in sorted(vars(kind).items())
        if isinstance(value, FunctionType)
        or not (name.startswith("__") or name == "_abc_impl")
    ]
    return kind.__bases__, own


def _describe_function(function):
    """Return the code of a function, and all values that it refers to."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = function.__defaults__, function.__kwdefaults__
    named = list(_globals(function.__code__, function.__globals__))
    return function.__code__, defaults, cells, named


def _globals(code, space):
    """Yield the names and values of the globals that code refers to."""
    loaded = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    yield from _values(loaded, space, code.co_names)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _globals(value, space)


def _values(names, space, attributes):
    """Yield names and values, including those of the attributes of modules."""
    for name in sorted(space.keys() & names):
        yield name, space[name]
        if isinstance(space[name], ModuleType) and not _is_installed(
            space[name].__name__
        ):
            yield from _values(attributes, vars(space[name]), attributes)
