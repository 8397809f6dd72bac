"""Optimisers by name."""

import inspect

import torch

from .muon import Muon

OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "sgd": torch.optim.SGD,
    "muon": Muon,
}
FUSED = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad)
# Optimisers whose weight decay is decoupled from the gradient.
DECOUPLED = (torch.optim.AdamW, Muon)
DEFAULTS = {torch.optim.SGD: {"momentum": 0.9, "nesterov": True}}


UNSUITED = {torch.optim.SparseAdam: "sparse gradients"}
if hasattr(torch.optim, "Muon"):  # since torch 2.9
    UNSUITED[torch.optim.Muon] = "2-D parameters"


def choose_weight_decay(optimizer, lr, n_steps):
    """Return the default weight decay.

    Parameters
    ----------
    optimizer : str or type
        Optimiser, as for `optimizer_arguments`.

    lr : float
        Learning rate.

    n_steps : int or None
        Number of steps of an epoch, None if each sample is seen once.

    Returns
    -------
    float
        Weight decay. If it is decoupled and there are epochs, weights decay over a
        fixed number of epochs [1]_, by at most a hundredth in each step, and the value
        is at most 1. Otherwise it is 0.01.

    References
    ----------
    .. [1] X. Wang, L. Aitchison, "How to set AdamW's weight decay as you scale model
       and dataset size", 2024, arXiv 2405.13698.
    """
    if n_steps is None or OPTIMIZERS.get(optimizer, optimizer) not in DECOUPLED:
        return 0.01
    return min(1.0, 50 / n_steps) * min(1.0, 0.01 / lr)


def optimizer_arguments(optimizer, weight_decay, device):
    """Return the class of an optimiser and its keyword arguments.

    Parameters
    ----------
    optimizer : str or type
        Key of `OPTIMIZERS`, or a :class:`torch.optim.Optimizer` class. "sgd" has a
        Nesterov momentum of 0.9.

    weight_decay : float
        Weight decay, ignored if the optimiser has none.

    device : torch.device
        Device of the parameters. If torch has a fused kernel for it, this is used.

    Returns
    -------
    type, dict
        The class, and its arguments besides the learning rate.

    Raises
    ------
    TypeError
        If `optimizer` is another class, or has other required arguments.

    ValueError
        If the optimiser evaluates the loss by itself, as L-BFGS does, or does not
        support all weights.
    """
    arguments = {}
    if isinstance(optimizer, str):
        optimizer = OPTIMIZERS[optimizer]
        arguments.update(DEFAULTS.get(optimizer, {}))
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer={optimizer!r} is not a torch.optim.Optimizer class. Choose one "
            f"of {sorted(OPTIMIZERS)}, or pass such a class."
        )
    if issubclass(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "optimizer=LBFGS needs all samples in each step, expected an optimiser for "
            f"mini-batches. Choose one of {sorted(OPTIMIZERS)}."
        )
    parameters = inspect.signature(optimizer).parameters
    if optimizer in UNSUITED:
        raise ValueError(
            f"optimizer={optimizer.__name__} of torch supports {UNSUITED[optimizer]} "
            f"only. Choose one of {sorted(OPTIMIZERS)}."
        )
    missing = [p.name for p in list(parameters.values())[1:] if _is_required(p)]
    if missing:
        raise TypeError(
            f"optimizer={optimizer.__name__} requires {', '.join(missing)}, but only "
            "lr and weight_decay are passed. Set other arguments in a subclass."
        )
    if "weight_decay" in parameters:
        arguments["weight_decay"] = weight_decay
    if optimizer in FUSED and device.type in ("cpu", "cuda"):
        arguments["fused"] = True
    return optimizer, arguments


def _is_required(parameter):
    """Return whether an argument is required but not passed."""
    is_named = parameter.kind in (
        parameter.POSITIONAL_OR_KEYWORD,
        parameter.KEYWORD_ONLY,
    )
    is_empty = parameter.default is parameter.empty
    return is_named and is_empty and parameter.name not in ("lr", "weight_decay")
