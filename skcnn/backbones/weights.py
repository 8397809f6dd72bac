"""Weights: what is published about a set, and reading a file without running code."""

import hashlib
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from .preprocessing import Preprocessing

SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".bin")
NESTS = ("state_dict", "model")  # where checkpoints keep the state dict
N_NAMED = 3


class WeightsError(RuntimeError):
    """Weights cannot be had or do not fit.

    A RuntimeError, as torch raises for weights: it is a file or the network
    that is at fault, not the value of a parameter.
    """


@dataclass(frozen=True)
class WeightsCard:
    """What is published about one set of weights.

    Parameters
    ----------
    name : str
        Of the set, unique for its backbone.

    file_name : str
        Of the file in the folder of torch.hub, or in the repository of a hub.

    url : str
        Where the file is published.

    sha256 : str
        As many hexadecimal digits of its SHA-256 as are published, up to 64;
        empty where none is.

    preprocessing : Preprocessing
        What the network was trained on.

    n_outputs : int
        Number of values that the network returns for an image.

    licence : str or None, default=None
        Of the weights, where one is stated.

    paper : str or None, default=None
        Where the network is described.

    hub_id : str or None, default=None
        Repository of the Hugging Face hub that has the file.
    """

    name: str
    file_name: str
    url: str
    sha256: str
    preprocessing: Preprocessing
    n_outputs: int
    licence: str | None = None
    paper: str | None = None
    hub_id: str | None = None


def is_weights_file(weights):
    """Return whether `weights` is the path of a file rather than the name of a set.

    Parameters
    ----------
    weights : str or PathLike
        What `load_backbone` is given.

    Returns
    -------
    bool
        Of a string, whether it ends as files of weights do, or is a file.

    Examples
    --------
    >>> from skcnn.backbones import is_weights_file
    >>> is_weights_file("weights.safetensors"), is_weights_file("default")
    (True, False)
    """
    if not isinstance(weights, str):
        return True
    return weights.endswith(SUFFIXES) or Path(weights).is_file()


def read_state_dict(path):
    """Read the tensors of a weights file; no code that it may hold is run.

    Parameters
    ----------
    path : str or PathLike
        A safetensors file (by its suffix) or what :func:`torch.save` wrote of a
        state dict, also inside of a checkpoint under "state_dict" or "model".

    Returns
    -------
    OrderedDict
        Names to tensors on the CPU, the prefix "module." of a parallel network
        taken off.

    Raises
    ------
    WeightsError
        If there is no such file, or it holds anything but tensors.

    References
    ----------
    `torch.load` with ``weights_only=True``,
    https://pytorch.org/docs/stable/notes/serialization.html
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no weights file at {path}.")
    content = read_safetensors(path) if is_safetensors(path) else read_pickle(path)
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    return check_state_dict(content, path)


def is_safetensors(path):
    """Return whether the suffix says that a file is a safetensors file."""
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
    """Return what torch saved, as far as it can be read without running code."""
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
            f"{path} is not a file of weights that can be read without running code "
            f"({reason}). Save them as a safetensors file, or as "
            "torch.save(module.state_dict(), path)."
        ) from error


def is_torchscript(path):
    """Return whether a zip file is a TorchScript archive."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def check_state_dict(content, path):
    """Return names to tensors, without the prefix of a parallel network."""
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"{path} holds {type(content).__name__} without tensors, expected a state "
            "dict: names of parameters to tensors."
        )
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"{path} holds {type(value).__name__} as {name!r}, expected a state "
                "dict: names of parameters to tensors."
            )
    state_dict = OrderedDict(content)
    if hasattr(content, "_metadata"):
        state_dict._metadata = content._metadata
    if all(name.startswith("module.") for name in state_dict):
        consume_prefix_in_state_dict_if_present(state_dict, "module.")
    return state_dict


def check_finite(state_dict, source):
    """Raise an error that names the first tensor with NaN or infinity."""
    for name, tensor in state_dict.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(
                f"{source}: {name} has values that are not finite. The file is damaged "
                "or the training diverged."
            )


def differing_shapes(module, state_dict):
    """Return names to (shape in `state_dict`, shape in `module`) where they differ."""
    return {
        name: (tuple(state_dict[name].shape), tuple(tensor.shape))
        for name, tensor in module.state_dict().items()
        if name in state_dict and state_dict[name].shape != tensor.shape
    }


def load_weights(module, state_dict, source):
    """Give a network all its weights, in the precision that it has.

    Parameters
    ----------
    module : torch.nn.Module
        The network, changed in place.

    state_dict : dict of str to torch.Tensor
        One tensor for each parameter and buffer. The counters of batch
        normalisation, which only training reads, may be left out.

    source : str
        Where the weights are from, for messages.

    Raises
    ------
    WeightsError
        If names or shapes differ, or a value is not finite.
    """
    check_finite(state_dict, source)
    wrong = [
        f"{name} is {got}, expected {expected}"
        for name, (got, expected) in differing_shapes(module, state_dict).items()
    ]
    if wrong:
        raise misfit(source, "shapes that differ", wrong)
    result = module.load_state_dict(with_version(state_dict, module), strict=False)
    missing = [k for k in result.missing_keys if not k.endswith("num_batches_tracked")]
    if missing:
        raise misfit(source, "missing", missing)
    if result.unexpected_keys:
        raise misfit(source, "unexpected", result.unexpected_keys)


def with_version(state_dict, module):
    """Return a copy that says for which version of the class it is.

    Some classes refuse weights that do not say it, and safetensors cannot.
    """
    copy = OrderedDict(state_dict)
    own = {"": {"version": module._version}}
    copy._metadata = getattr(state_dict, "_metadata", None) or own
    return copy


def misfit(source, what, names):
    """Return the error that some names do not fit."""
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return WeightsError(
        f"{source} does not fit the network. {what.capitalize()}: "
        f"{'; '.join(names[:N_NAMED])}{more}. Are these the weights of another network?"
    )


def weights_digest(module):
    """Return a digest of a network: its weights and its printed structure.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on any device.

    Returns
    -------
    str
        64 hexadecimal digits, the same in every process. They change with any
        bit of a parameter or buffer, a name, a dtype, a shape, or a layer that
        the printed network tells apart.
    """
    digest = hashlib.blake2b(digest_size=32)
    printed = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(module))  # addresses of functions
    digest.update(f"{type(module).__qualname__}\n{printed}".encode())
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            values = tensor.detach().cpu()
            if values.layout is not torch.strided:
                digest.update(str(values.layout).encode())
                values = values.to_dense()
            digest.update(tensor_bytes(values))
    return digest.hexdigest()


def tensor_bytes(tensor):
    """Return the values of a tensor as bytes, in their order.

    Parameters
    ----------
    tensor : torch.Tensor
        Strided, on any device.

    Returns
    -------
    ndarray of shape (n_bytes,), of uint8
    """
    values = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return values.flatten().view(torch.uint8).numpy()
