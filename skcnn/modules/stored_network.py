"""Networks as plain data: a recipe to build them, and their tensors as arrays."""

import copy
import re
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain

import torch
from torch import nn

from ..runtime import usual_torch
from .building_blocks import Dropout

PATCHED = {"forward", "_conv_forward"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
COPIED_IN_THEIR_OWN_WAY = ("__reduce__", "__reduce_ex__", "__getstate__")


def note_recipe(module, recipe):
    """Attach to a network the recipe by which it was built.

    Parameters
    ----------
    module : torch.nn.Module
        The network, just after it was built.

    recipe : object
        Plain data with a method `build` that returns a network of the same structure.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    module.recipe_ = recipe, _structure(module)
    return module


def find_recipe(module):
    """Return the recipe of a network, None without one or if the network was changed.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    object or None
        Recipe that `note_recipe` attached.
    """
    recipe, structure = vars(module).get("recipe_", (None, None))
    return recipe if recipe and structure == _structure(module) else None


def _structure(module):
    """Return a digest of the structure of a network, without its weights."""
    layers = [
        (name, type(part), "" if isinstance(part, Dropout) else part.extra_repr())
        for name, part in module.named_modules()
    ]
    changes = [
        (name, [len(getattr(part, hooks) or ()) for hooks in HOOKS])
        for name, part in module.named_modules()
        if any(getattr(part, hooks) for hooks in HOOKS) or PATCHED & vars(part).keys()
    ]
    shapes = [(name, tuple(tensor.shape)) for name, tensor in _tensors(module)]
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr((layers, changes, shapes)))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _tensors(module):
    return chain(module.named_parameters(), module.named_buffers())


@dataclass
class StoredNetwork:
    """Network as plain data.

    Parameters
    ----------
    recipe : object or None
        Recipe of the network; None if it is kept layer by layer.

    layers : torch.nn.Module or None
        Network with `StoredTensor` objects as tensors; None if there is a recipe.

    arrays : dict of str to ndarray
        Values of parameters and buffers; empty without a recipe.

    frozen : list of str
        Names of the parameters that are not trained; empty without a recipe.
    """

    recipe: object
    layers: nn.Module | None
    arrays: dict
    frozen: list

    @classmethod
    @usual_torch()
    def of(cls, module):
        """Convert a network to plain data.

        Parameters
        ----------
        module : torch.nn.Module
            Network on any device.

        Returns
        -------
        StoredNetwork
            Recipe and arrays of the network, or its layers if it has no recipe.
        """
        recipe = find_recipe(module)
        if recipe is None:
            return cls(None, _without_tensors(module), {}, [])
        arrays = {name: tensor_to_array(t) for name, t in _tensors(module)}
        frozen = [n for n, p in module.named_parameters() if not p.requires_grad]
        return cls(recipe, None, arrays, frozen)

    @usual_torch()
    def build(self):
        """Build the network again.

        Returns
        -------
        torch.nn.Module
            Network on the CPU, in evaluation mode if it is built from a recipe.

        Raises
        ------
        ValueError
            If the arrays do not fit the network.
        """
        if self.recipe is None:
            return _with_tensors(self.layers)
        module = self.recipe.build().eval()
        tensors = dict(_tensors(module))
        self._check_fit(tensors)
        for name, tensor in tensors.items():
            tensor.data = array_to_tensor(self.arrays[name])
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name not in self.frozen)
        return module

    def _check_fit(self, tensors):
        """Raise an error if names or shapes of arrays and tensors differ."""
        expected = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        stored = {name: tuple(array.shape) for name, array in self.arrays.items()}
        if stored != expected:
            name = min(name for name, _ in stored.items() ^ expected.items())
            shape, wanted = (d.get(name, "missing") for d in (stored, expected))
            raise ValueError(
                f"Shapes of the stored arrays do not fit the network {self.recipe}: "
                f"{name!r} is {shape}, expected {wanted}. The file was altered, or was "
                "written with another version of the library of the network. "
                "Install that version, or fit again."
            )


def tensor_to_array(tensor):
    """Copy a dense tensor on any device to an array."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format).numpy()


def array_to_tensor(array):
    """Copy an array to a tensor on the CPU."""
    return torch.from_numpy(array.copy())


@dataclass(eq=False)
class StoredTensor:
    """Dense tensor of any torch dtype as bytes.

    Parameters
    ----------
    values : ndarray of uint8
        Bytes of the values.

    dtype : str
        Name of the dtype, such as "bfloat16".

    shape : tuple of int
        Shape of the tensor.

    trains : bool or None
        Whether a parameter is trained; None for other tensors.
    """

    values: object
    dtype: str
    shape: tuple
    trains: bool | None

    @classmethod
    def of(cls, tensor):
        """Return a tensor as bytes."""
        trains = tensor.requires_grad if isinstance(tensor, nn.Parameter) else None
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        dtype = str(tensor.dtype).removeprefix("torch.")
        return cls(flat.numpy().copy(), dtype, tuple(tensor.shape), trains)

    def build(self):
        """Return the tensor, on the CPU."""
        dtype = getattr(torch, self.dtype)
        tensor = array_to_tensor(self.values).view(dtype).reshape(self.shape)
        return tensor if self.trains is None else nn.Parameter(tensor, self.trains)


def _without_tensors(module):
    """Return a copy with tensors as bytes, or the network if it has its own copying."""
    if any(map(_is_copied_in_its_own_way, module.modules())):
        return module
    held = chain.from_iterable(map(_held, module.modules()))
    tensors = [value for space in held for value in space.values()]
    stored = {id(t): StoredTensor.of(t) for t in tensors if _is_dense(t)}
    return copy.deepcopy(module, stored)


def _is_copied_in_its_own_way(part):
    is_special = hasattr(part, "__deepcopy__") or isinstance(
        part, torch.jit.ScriptModule
    )
    return is_special or any(
        getattr(type(part), name, None) is not getattr(nn.Module, name, None)
        for name in COPIED_IN_THEIR_OWN_WAY
    )


def _is_dense(value):
    """Return whether a value is a plain tensor whose bytes can be read."""
    kinds = torch.Tensor, nn.Parameter
    is_plain = type(value) in kinds and value.layout is torch.strided
    return is_plain and not (value.is_quantized or value.is_meta or value.is_complex())


def _with_tensors(module):
    """Return a copy of a network with stored tensors as tensors again."""
    built = {}
    module = copy.deepcopy(module)
    for part in module.modules():
        for space in _held(part):
            for name, value in space.items():
                if isinstance(value, StoredTensor):
                    space[name] = built.setdefault(id(value), value.build())
    return module


def _held(part):
    """Return the dictionaries of a layer that hold tensors."""
    return part._parameters, part._buffers, vars(part)
