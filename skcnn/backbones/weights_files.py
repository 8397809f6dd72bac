"""Weights files: tensors that are read without running code."""

import os
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from .weights import WeightsError

SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin")
# Keys of the state dict in a checkpoint; the first one found is used.
ENVELOPES = ("state_dict", "model_state_dict", "model", "ema")
WRAPPERS = ("module.", "_orig_mod.")  # of parallel and of compiled networks


def is_weights_file(weights):
    """Return whether `weights` is the path of a file rather than the name of a set.

    Parameters
    ----------
    weights : str or PathLike
        Parameter `weights` of `load_backbone`.

    Returns
    -------
    bool
        True for any path-like, and for a string with the suffix of a weights file or
        with a folder, or that is the path of a file.

    Examples
    --------
    >>> from skcnn.backbones import is_weights_file
    >>> is_weights_file("weights.safetensors"), is_weights_file("default")
    (True, False)
    """
    if not isinstance(weights, str) or weights.endswith(SUFFIXES):
        return True
    return os.path.dirname(weights) != "" or Path(weights).is_file()


def find_file(path):
    """Return the absolute path of a weights file.

    Parameters
    ----------
    path : str or PathLike
        The path.

    Returns
    -------
    pathlib.Path
        Path without symbolic links.

    Raises
    ------
    WeightsError
        If the path does not exist or is not a file.
    """
    path = Path(path).resolve()
    if not path.exists():
        raise WeightsError(f"There is no weights file at {path}. Check the path.")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise WeightsError(
            f"{path} is {kind}, expected a weights file. Pass the path of a "
            "safetensors or state-dict file."
        )
    return path


def read_state_dict(path):
    """Read the tensors of a weights file without running code.

    Parameters
    ----------
    path : str or PathLike
        Safetensors file, recognised by its suffix, or state dict saved by
        :func:`torch.save`, also in a checkpoint under "state_dict",
        "model_state_dict", "model" or "ema".

    Returns
    -------
    OrderedDict
        Tensors on the CPU by name, without the prefixes "module." of a parallel network
        and "_orig_mod." of a compiled one.

    Raises
    ------
    WeightsError
        If there is no such file, or it holds anything but tensors.

    References
    ----------
    `torch.load` with ``weights_only=True``,
    https://pytorch.org/docs/stable/notes/serialization.html
    """
    path = find_file(path)
    content = read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    return check_state_dict(unwrap(content), path)


def is_safetensors(path):
    """Return whether a file has the suffix of safetensors files."""
    return path.suffix == ".safetensors"


def read_safetensors(path):
    """Return the tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}.") from error


def read_pickle(path):
    """Read a file of :func:`torch.save` without running code."""
    is_zip = zipfile.is_zipfile(path)
    if is_zip and is_torchscript(path):
        raise WeightsError(
            f"{path} is a TorchScript archive, which holds code. Save the weights "
            "alone: torch.save(torch.jit.load(path).state_dict(), new_path)."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # what a damaged pickle raises is not documented
        reason = re.split(r"\.\s|\n", str(error))[0] or type(error).__name__
        raise WeightsError(
            f"{path} is not a weights file that can be read without running code "
            f"({reason}). Save the weights with torch.save(module.state_dict(), path)."
        ) from error


def is_torchscript(path):
    """Return whether a zip file is a TorchScript archive."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def unwrap(content):
    """Return the state dict of a checkpoint, or the content if it has no known key."""
    while isinstance(content, Mapping):
        inner = (content.get(name) for name in ENVELOPES)
        found = next((value for value in inner if isinstance(value, Mapping)), None)
        if found is None:
            break
        content = found
    return content


def check_state_dict(content, path):
    """Return a state dict without the prefixes of wrapped networks."""
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"{path} holds {type(content).__name__} without tensors, expected a state "
            "dict. Save module.state_dict()."
        )
    for name, value in content.items():
        if not isinstance(name, str):
            raise WeightsError(
                f"{path} has the key {name!r}, expected names of parameters. Save "
                "module.state_dict()."
            )
        if not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"{path} holds {type(value).__name__} as {name!r}, expected a "
                "tensor. Save module.state_dict(), alone or under one of "
                f"{list(ENVELOPES)}."
            )
    state_dict = OrderedDict(content)
    if hasattr(content, "_metadata"):
        state_dict._metadata = content._metadata
    while wrapper := next((w for w in WRAPPERS if all_begin(state_dict, w)), None):
        consume_prefix_in_state_dict_if_present(state_dict, wrapper)
    return state_dict


def all_begin(names, prefix):
    """Return whether all names begin with a prefix."""
    return all(name.startswith(prefix) for name in names)
