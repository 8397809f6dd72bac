"""Published weights, and loading of weights into a network."""

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
    """Error for weights that cannot be loaded or do not fit the network.

    It is a RuntimeError, as torch raises for weights: the cause is a file or the
    network, not the value of a parameter.
    """


@dataclass(frozen=True)
class WeightsCard:
    """Description of a published set of weights.

    Parameters
    ----------
    name : str
        Name of the set, unique for its backbone.

    file_name : str
        Name of the file in the folder of torch.hub or in the repository `hub_id`.

    url : str
        URL of the file or of its repository.

    sha256 : str
        SHA-256 of the file: the hexadecimal digits that are published, or an empty
        string.

    preprocessing : Preprocessing
        Preprocessing that the network was trained with.

    n_outputs : int
        Number of outputs of the network.

    licence : str or None, default=None
        Licence of the weights, if it is stated.

    paper : str or None, default=None
        URL of the paper about the network.

    hub_id : str or None, default=None
        Repository of the file in the Hugging Face hub.
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
    """Raise an error for the first tensor that does not hold valid weights.

    Parameters
    ----------
    state_dict : dict of str to torch.Tensor
        The weights.

    source : str
        Origin of the weights, for messages.

    wanted : dict of str to torch.Tensor or None, default=None
        Parameters and buffers of the network. Any other tensor may hold integers unless
        its name ends in "weight" or "bias".

    Raises
    ------
    WeightsError
        If a tensor is sparse or without values, has an unexpected dtype, or is not
        finite in float32.
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
                f"{source}: {name} contains NaN, infinity or a value too large for "
                "float32. The file is damaged or the training diverged."
            )
        else:
            continue
        raise WeightsError(
            f"{source}: {name} is a tensor {kind.replace('torch.', 'of ')}, expected a "
            "dense float32 tensor. Save the weights of the trained network in float32."
        )


def differing_shapes(state_dict, wanted):
    """Return pairs of differing shapes, in `state_dict` and `wanted`, by name."""
    return {
        name: (tuple(state_dict[name].shape), tuple(tensor.shape))
        for name, tensor in wanted.items()
        if name in state_dict and state_dict[name].shape != tensor.shape
    }


def load_weights(module, state_dict, source, optional=()):
    """Load all weights of a network, in its own precision.

    Parameters
    ----------
    module : torch.nn.Module
        Network, modified in place.

    state_dict : dict of str to torch.Tensor
        Tensor of each parameter and buffer. Batch-norm counters, which only training
        needs, may be missing.

    source : str
        Origin of the weights, for messages.

    optional : collection of str, default=()
        Other names that may be missing.

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
    """Return the names that are not of batch-norm counters."""
    return [name for name in names if not name.endswith(COUNTER)]


def with_version(state_dict, module):
    """Return a copy with the version of the class of the network.

    Some classes reject weights without it, and safetensors files cannot store it.
    """
    copy = OrderedDict(state_dict)
    own = {"": {"version": module._version}}
    copy._metadata = getattr(state_dict, "_metadata", None) or own
    return copy


def misfit(state_dict, wanted, source):
    """Return the error for weights that do not fit, with the first mismatches."""
    differing = [
        f"{name} is {got}, expected {expected}"
        for name, (got, expected) in differing_shapes(state_dict, wanted).items()
    ]
    reasons = {
        "Different shapes": differing,
        "Missing": required(name for name in wanted if name not in state_dict),
        "Unexpected": [name for name in state_dict if name not in wanted],
    }
    listed = [f"{what}: {some_of(names)}." for what, names in reasons.items() if names]
    return WeightsError(
        f"{source} does not fit the network. {' '.join(listed)} Are these the weights "
        "of another network?"
    )


def some_of(names):
    """Return the first names, and the number of others."""
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
        64 hexadecimal digits, equal in every process. They depend on each bit of the
        parameters and buffers, on names, dtypes and shapes, and on the printed network.
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
        Strided tensor on any device.

    Returns
    -------
    ndarray of shape (n_bytes,), of uint8
    """
    values = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return values.flatten().view(torch.uint8).numpy()
