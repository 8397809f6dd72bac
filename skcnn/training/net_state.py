"""State of a net as plain data: numbers, strings, lists, dicts and arrays."""

import numpy as np
import torch

from ..modules import StoredNetwork
from ..modules.stored_network import array_to_tensor, tensor_to_array
from ..runtime import count_gpus
from .nets import make_net

PLAIN = "lr", "batch_size", "verbose", "device", "precision", "_starts_again"


def net_state(net, keeps_optimizer=True):
    """Return the state of a net as plain data.

    Parameters
    ----------
    net : Net
        Initialised net.

    keeps_optimizer : bool, default=True
        Whether to include the state of the optimiser.

    Returns
    -------
    dict
        State for `net_from_state`. Callbacks and custom classes are not converted.
    """
    optimizer = net.optimizer_.state_dict() if keeps_optimizer else None
    return {
        **{name: getattr(net, name) for name in PLAIN},
        "optimization": net.optimization_,
        "callbacks": net.callbacks_[len(net._default_callbacks) :],
        "history": [dict(row) for row in net.history],
        "optimizer": _with_arrays(optimizer),
        "n_axes": net.n_axes_,
        "flops": net.flops_,
        "network": StoredNetwork.of(net.module_),
    }


def net_from_state(state, criterion):
    """Rebuild a net from its state.

    Parameters
    ----------
    state : dict
        State that `net_state` returned.

    criterion : type
        Class of the loss.

    Returns
    -------
    Net
        Net on its previous device. If that is not available, the net is on the first
        GPU, or on the CPU if there is none.
    """
    state = dict(state)
    optimizer, callbacks = state.pop("optimizer"), state.pop("callbacks")
    history, network = state.pop("history"), state.pop("network").build()
    device = _present(torch.device(state.pop("device")))
    starts_again = state.pop("_starts_again")
    net = make_net(network, criterion=criterion, device=device, **state)
    net._starts_again = starts_again
    net.callbacks_ += callbacks
    net.history.extend(history)
    if optimizer is not None:
        net.optimizer_.load_state_dict(_with_tensors(optimizer))
        _match_memory(net.optimizer_)
    net.module_.eval()
    return net


def _match_memory(optimizer):
    """Give the state of a parameter its memory format, as fused steps expect."""
    for parameter, known in optimizer.state.items():
        for name, value in known.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                like = torch.empty_like(parameter, dtype=value.dtype)
                known[name] = like.detach().copy_(value)


def _present(device):
    """Return a device, or another one if it is not available."""
    if device.type == "cuda" and (device.index or 0) >= count_gpus():
        return torch.device("cuda:0" if count_gpus() else "cpu")
    is_there = device.type != "mps" or torch.backends.mps.is_available()
    return device if is_there else torch.device("cpu")


def _with_arrays(value):
    """Convert the tensors in nested dicts and lists to arrays."""
    return _mapped(value, torch.Tensor, tensor_to_array)


def _with_tensors(value):
    """Convert the arrays in nested dicts and lists to tensors."""
    return _mapped(value, np.ndarray, array_to_tensor)


def _mapped(value, kind, change):
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(inner, kind, change) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(inner, kind, change) for inner in value)
    return value
