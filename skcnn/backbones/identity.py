"""What a network computes with, in one string."""

import copyreg
import dis
import re
import sys
import weakref
from hashlib import blake2b
from threading import Lock, RLock
from types import CodeType, FunctionType, MethodType, ModuleType
from uuid import uuid4

import numpy as np
import torch
from torch import fx, nn

from .tracing import TRACED_LIBRARIES
from .weights import tensor_bytes, weights_digest

PLAIN_TYPES = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type(...),
    torch.layout,
)
HOLDERS = (list, tuple, set, frozenset, dict, torch.Tensor, np.ndarray, torch.Generator)
KNOWN_LIBRARIES = {"torch", "numpy", *sys.stdlib_module_names}
LOCKS = (type(Lock()), type(RLock()))
# What torch keeps in each part of a network; of these, hooks of the forward pass count.
INTERNAL = frozenset(vars(nn.Module()))
FORWARD_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def module_identity(module):
    """Return a digest of a network: its weights, its structure and its code.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on any device.

    Returns
    -------
    str
        The same in every process with the same version of Python. The attributes
        of each part count, buffers that are not saved, hooks, and what functions
        have in closures; and the methods of classes, and of those that they inherit
        from, that are not of a known library, with the functions, classes, numbers
        and strings of their modules that they name. What else these hold does not
        count. With an attribute that cannot be told from others, such as an open
        file, the digest is another one each time.
    """
    digest = blake2b(weights_digest(module).encode(), digest_size=32)
    try:
        digest.update(_Description(module).text.encode())
    except RecursionError:
        digest.update(_unique().encode())
    return digest.hexdigest()


class _Description:
    """A network, or a value that it holds, as text that is the same in every process.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    """

    def __init__(self, module):
        self._names = {
            id(part): f"part {name}" for name, part in module.named_modules()
        }
        self._open = set()  # what is being described, which may refer to itself
        self._named = {}  # what functions refer to by name, which may be each other
        self.text = self._parts(module)

    def _parts(self, module):
        names = {id(part): name for name, part in module.named_modules()}
        names[id(None)] = None
        return "\n".join(
            f"{name} {self._attributes(part)} {self._code(type(part))} "
            f"{[(own, names[id(child)]) for own, child in part._modules.items()]}"
            for name, part in module.named_modules()
        )

    def _attributes(self, part):
        """Return what a part holds besides its weights and parts."""
        own = {n: vars(part)[n] for n in sorted(vars(part)) if n not in INTERNAL}
        names = sorted(part._non_persistent_buffers_set)
        buffers = {name: part._buffers[name] for name in names}
        hooks = [list(getattr(part, name).values()) for name in FORWARD_HOOKS]
        return self._of([own, buffers, hooks])

    def _code(self, kind):
        """Return the methods and values of a class that is of no known library."""
        return "\n".join(
            f"{name}: {self._of(value)}"
            for base in kind.__mro__[:-1]
            if not _is_known(base)
            for name, value in sorted(vars(base).items())
            if isinstance(value, FunctionType)
            or not (name.startswith("__") or name == "_abc_impl")
        )

    def _of(self, value):
        """Return a value as text."""
        if isinstance(value, PLAIN_TYPES):
            return _text(value)
        if id(value) in self._names:
            return self._names[id(value)]
        if id(value) in self._open:
            return "itself"
        self._open.add(id(value))
        try:
            return f"{type(value).__qualname__} {self._inside(value)}"
        finally:
            self._open.discard(id(value))

    def _inside(self, value):
        """Return what is in a value that may hold others."""
        if isinstance(value, HOLDERS):
            return f"{self._held(value)}{self._added(value)}"
        if isinstance(value, nn.Module):
            return f"{weights_digest(value)} {self._parts(value)}"
        if isinstance(value, LOCKS):
            return ""
        if isinstance(value, fx.Graph | ModuleType):
            return _text(str(value))
        return self._callable(value)

    def _held(self, value):
        """Return what is in a container or an array."""
        if isinstance(value, list | tuple):
            return _list(map(self._of, value))
        if isinstance(value, set | frozenset):
            return _list(sorted(map(self._of, value)))
        if isinstance(value, dict):
            return _list(f"{self._of(key)}: {self._of(v)}" for key, v in value.items())
        return self._values(value)

    def _added(self, value):
        """Return what a class adds to what it inherits from, and its attributes."""
        held = sorted(getattr(value, "__dict__", {}).items())
        # Without what functools.wraps adds, which says where a function was defined.
        own = {name: x for name, x in held if not name.startswith("__")}
        return (f" {self._of(own)}" if own else "") + self._code(type(value))

    def _values(self, value):
        """Return a digest of numbers."""
        if isinstance(value, torch.Generator):
            value = value.get_state()
        if getattr(value, "layout", torch.strided) is not torch.strided:
            return self._object(value)
        kind, shape = value.dtype, tuple(value.shape)
        if isinstance(value, torch.Tensor):
            value = tensor_bytes(value)
        elif kind.hasobject:
            return f"{shape} {_list(map(self._of, value.ravel()))}"
        return f"{kind} {shape} {blake2b(np.ascontiguousarray(value)).hexdigest()}"

    def _callable(self, value):
        """Return what a function does, or what makes another object."""
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return f"{self._of(value.__func__)} {self._of(value.__self__)}"
        if isinstance(value, weakref.ref):
            return self._of(value())
        if isinstance(value, property):
            return self._of(value.fget)
        if isinstance(value, classmethod | staticmethod):
            return self._of(value.__func__)
        if hasattr(value, "__wrapped__"):
            return f"{self._of(value.__wrapped__)}{self._added(value)}"
        if callable(value) and hasattr(value, "__qualname__"):
            return self._class_or_in_c(value)
        return self._object(value)

    def _class_or_in_c(self, value):
        """Return the name of a class, and its code; or of a function written in C."""
        name = f"{getattr(value, '__module__', '')} {value.__qualname__}"
        if isinstance(value, type):
            return f"{name} {self._code(value)}"
        owner = getattr(value, "__self__", None)
        is_library = type(owner).__module__.startswith("pybind11")
        if is_library or isinstance(owner, ModuleType):
            return name
        return f"{name} {self._of(owner)}"

    def _function(self, function):
        """Return what a function does, and what it wraps; not where it was defined."""
        names = function.__code__.co_freevars
        cells = zip(names, function.__closure__ or (), strict=True)
        cells = _list(self._cell(cell) for n, cell in cells if n != "__class__")
        held = function.__defaults__, function.__kwdefaults__
        wrapped = self._of(getattr(function, "__wrapped__", None))
        named = "" if _is_installed(function) else _list(self._globals(function))
        code = _describe_code(function.__code__)
        return f"{code} {self._of(held)} {cells} {wrapped} {named}"

    def _globals(self, function):
        """Yield what a function refers to by name that may be another next time."""
        for name in _global_names(function.__code__):
            value = function.__globals__.get(name)
            if isinstance(value, PLAIN_TYPES):
                yield f"{name} {self._of(value)}"
            elif isinstance(value, type | FunctionType) and not _is_installed(value):
                yield f"{name} {self._code_by_name(value)}"

    def _code_by_name(self, value):
        """Return what a function or class does, its number where that is said."""
        if id(value) in self._named:
            return self._named[id(value)]
        self._named[id(value)] = len(self._named)
        return self._code(value) if isinstance(value, type) else self._of(value)

    def _cell(self, cell):
        try:
            return self._of(cell.cell_contents)
        except ValueError:
            return "empty"

    def _object(self, value):
        """Return what would make an object anew, and its code."""
        reduce = copyreg.dispatch_table.get(type(value), lambda x: x.__reduce_ex__(4))
        try:
            made = reduce(value)
        except Exception:  # whatever says that it cannot be pickled
            return _unique()
        if isinstance(made, str):
            return made
        made = [list(x) if hasattr(x, "__next__") else x for x in made]
        return f"{self._of(made)} {self._code(type(value))}"


def _is_known(code):
    """Return whether a class or function changes with the version of a library only."""
    module = code.__module__ or ""
    library = module.partition(".")[0]
    return library in KNOWN_LIBRARIES or module.startswith(TRACED_LIBRARIES)


def _is_installed(code):
    """Return whether a class or function is of a library, known or not."""
    file = getattr(sys.modules.get(code.__module__), "__file__", None) or ""
    is_script = code.__module__ == "__main__"  # whose file in a worker is joblib's
    return _is_known(code) or ("-packages" in file and not is_script)


def _global_names(code):
    """Return the names that instructions look up in a module, in alphabetic order.

    Those that they assign to, such as counters, are left out.
    """
    instructions = list(dis.get_instructions(code))
    loaded = {i.argval for i in instructions if i.opname == "LOAD_GLOBAL"}
    stored = {i.argval for i in instructions if i.opname == "STORE_GLOBAL"}
    for value in code.co_consts:
        if isinstance(value, CodeType):
            loaded.update(_global_names(value))
    return sorted(loaded - stored)


def _list(texts):
    return f"[{', '.join(texts)}]"


def _unique():
    """Return a text that is no other one."""
    return uuid4().hex


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
