"""Weights: what is published about a set, and how a network gets them."""

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass

import torch

from .preprocessing import Preprocessing

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
COUNTER = "num_batches_tracked"  # of batch normalisation, which only training reads
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
        empty if none is.

    preprocessing : Preprocessing
        What the network was trained on.

    n_outputs : int
        Number of values that the network returns for an image.

    licence : str or None, default=None
        Of the weights, if one is stated.

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


def check_values(state_dict, source, wanted=None):
    """Raise an error that names the first tensor that holds no weights.

    Parameters
    ----------
    state_dict : dict of str to torch.Tensor
        The weights.

    source : str
        Where they are from, for messages.

    wanted : dict of str to torch.Tensor or None, default=None
        Parameters and buffers of the network. A tensor that is none of them may be
        of integers unless its name ends in "weight" or "bias".

    Raises
    ------
    WeightsError
        If a tensor is sparse or without values, of another kind of numbers than the
        network has, or not finite in float32.
    """
    for name, tensor in state_dict.items():
        like = (wanted or {}).get(name)
        has_floats = (
            name.endswith(("weight", "bias"))
            if like is None
            else like.is_floating_point()
        )
        kinds = FLOATS if has_floats else FLOATS + INTEGERS
        if tensor.layout is not torch.strided or tensor.is_meta:
            kind = "without values" if tensor.is_meta else f"{tensor.layout}"
        elif tensor.dtype not in kinds:
            kind = f"{tensor.dtype}"
        elif tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise WeightsError(
                f"{source}: {name} has values that are not finite in float32. The file "
                "is damaged or the training diverged."
            )
        else:
            continue
        raise WeightsError(
            f"{source}: {name} is a tensor {kind.replace('torch.', 'of ')}, expected a "
            "dense one of float32. Save the weights of the network that was trained, "
            "in float32, float16, bfloat16 or float64."
        )


def differing_shapes(state_dict, wanted):
    """Return names to (shape in `state_dict`, shape in `wanted`) where they differ."""
    return {
        name: (tuple(state_dict[name].shape), tuple(tensor.shape))
        for name, tensor in wanted.items()
        if name in state_dict and state_dict[name].shape != tensor.shape
    }


def load_weights(module, state_dict, source, optional=()):
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

    optional : collection of str, default=()
        Names that may be left out, too.

    Raises
    ------
    WeightsError
        If names or shapes differ, or a tensor does not hold weights.
    """
    wanted = module.state_dict()
    check_values(state_dict, source, wanted)
    if differing_shapes(state_dict, wanted):
        raise misfit(state_dict, wanted, source)
    result = module.load_state_dict(with_version(state_dict, module), strict=False)
    missing = required(result.missing_keys)
    if result.unexpected_keys or not set(missing) <= set(optional):
        raise misfit(state_dict, wanted, source)


def required(names):
    """Return the names that are not those of counters."""
    return [name for name in names if not name.endswith(COUNTER)]


def with_version(state_dict, module):
    """Return a copy that says for which version of the class it is.

    Some classes refuse weights that do not say it, and safetensors cannot.
    """
    copy = OrderedDict(state_dict)
    own = {"": {"version": module._version}}
    copy._metadata = getattr(state_dict, "_metadata", None) or own
    return copy


def misfit(state_dict, wanted, source):
    """Return the error that weights do not fit, with some of the reasons."""
    differing = [
        f"{name} is {got}, expected {expected}"
        for name, (got, expected) in differing_shapes(state_dict, wanted).items()
    ]
    reasons = {
        "Shapes that differ": differing,
        "Missing": required(name for name in wanted if name not in state_dict),
        "Unexpected": [name for name in state_dict if name not in wanted],
    }
    listed = [f"{what}: {some_of(names)}." for what, names in reasons.items() if names]
    return WeightsError(
        f"{source} does not fit the network. {' '.join(listed)} Are these the weights "
        "of another network?"
    )


def some_of(names):
    """Return the first of some names, and how many there are besides."""
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return "; ".join(names[:N_NAMED]) + more


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
