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
# Those that shrink weights beside the step along the gradient.
DECOUPLED = (torch.optim.AdamW, Muon)
DEFAULTS = {torch.optim.SGD: {"momentum": 0.9, "nesterov": True}}


UNSUITED = {torch.optim.SparseAdam: "sparse gradients"}
if hasattr(torch.optim, "Muon"):  # since torch 2.9
    UNSUITED[torch.optim.Muon] = "matrices of weights"


def choose_weight_decay(optimizer, lr, n_steps):
    """Return a weight decay for networks of which nothing else is known.

    Parameters
    ----------
    optimizer : str or type
        As for `optimizer_arguments`.

    lr : float
        Learning rate.

    n_steps : int or None
        Number of steps of an epoch, None if samples come once and no more.

    Returns
    -------
    float
        Where it is decoupled, at most 1, so small that weights remember as many
        epochs of any number of steps [1]_, and that a step takes no more than a
        hundredth of them. Otherwise 0.01, and so if there are no epochs.

    References
    ----------
    .. [1] X. Wang, L. Aitchison, "How to set AdamW's weight decay as you scale model
       and dataset size", 2024, arXiv 2405.13698.
    """
    if n_steps is None or OPTIMIZERS.get(optimizer, optimizer) not in DECOUPLED:
        return 0.01
    return min(1.0, 50 / n_steps) * min(1.0, 0.01 / lr)


def optimizer_arguments(optimizer, weight_decay, device):
    """Return the class that `optimizer` names or is, and its keyword arguments.

    Parameters
    ----------
    optimizer : str or type
        A key of `OPTIMIZERS`, or a :class:`torch.optim.Optimizer` class. By
        name, "sgd" has a Nesterov momentum of 0.9.

    weight_decay : float
        Passed on if the optimiser has it.

    device : torch.device
        Where the parameters are. One fused kernel updates all of them where
        torch has one for the device.

    Returns
    -------
    type, dict
        The class, and arguments besides the learning rate.

    Raises
    ------
    TypeError
        If `optimizer` is a class of something else, or needs other arguments.

    ValueError
        If the optimiser evaluates the loss by itself, as L-BFGS does, or is not for
        all weights.
    """
    arguments = {}
    if isinstance(optimizer, str):
        optimizer = OPTIMIZERS[optimizer]
        arguments.update(DEFAULTS.get(optimizer, {}))
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer={optimizer!r} is no torch.optim.Optimizer class. Choose one "
            f"of {sorted(OPTIMIZERS)}, or pass such a class."
        )
    if issubclass(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "optimizer=LBFGS takes steps over all samples at once, which mini-batch "
            f"training does not. Choose one of {sorted(OPTIMIZERS)}."
        )
    parameters = inspect.signature(optimizer).parameters
    if optimizer in UNSUITED:
        raise ValueError(
            f"optimizer={optimizer.__name__} of torch is for {UNSUITED[optimizer]} "
            f"alone. Choose one of {sorted(OPTIMIZERS)}."
        )
    missing = [p.name for p in list(parameters.values())[1:] if _is_required(p)]
    if missing:
        raise TypeError(
            f"optimizer={optimizer.__name__} needs {', '.join(missing)}, and gets the "
            "weights, lr and weight_decay. Bind it in a subclass that sets it."
        )
    if "weight_decay" in parameters:
        arguments["weight_decay"] = weight_decay
    if optimizer in FUSED and device.type in ("cpu", "cuda"):
        arguments["fused"] = True
    return optimizer, arguments


def _is_required(parameter):
    """Return whether an argument has to be given, and is not."""
    is_named = parameter.kind in (
        parameter.POSITIONAL_OR_KEYWORD,
        parameter.KEYWORD_ONLY,
    )
    is_empty = parameter.default is parameter.empty
    return is_named and is_empty and parameter.name not in ("lr", "weight_decay")
