"""Optimisers by name."""

import inspect

import torch

OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "sgd": torch.optim.SGD,
}
FUSED = (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad)
DEFAULTS = {torch.optim.SGD: {"momentum": 0.9, "nesterov": True}}


def optimizer_arguments(optimizer, device):
    """Return the class that `optimizer` names or is, and its keyword arguments.

    Parameters
    ----------
    optimizer : str or type
        A key of `OPTIMIZERS`, or a :class:`torch.optim.Optimizer` class. By
        name, "sgd" has a Nesterov momentum of 0.9.

    device : torch.device
        Where the parameters are. One fused kernel updates all of them where
        torch has one for the device.

    Returns
    -------
    type, dict
        The class, and arguments besides the learning rate.

    Raises
    ------
    ValueError
        If the optimiser evaluates the loss by itself, as L-BFGS does.
    """
    arguments = {}
    if isinstance(optimizer, str):
        optimizer = OPTIMIZERS[optimizer]
        arguments.update(DEFAULTS.get(optimizer, {}))
    if issubclass(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "optimizer=LBFGS takes steps over all samples at once, which mini-batch "
            f"training does not. Choose one of {sorted(OPTIMIZERS)}."
        )
    if optimizer in FUSED and device.type in ("cpu", "cuda"):
        arguments["fused"] = True
    return optimizer, arguments


def parameter_groups(module, weight_decay, optimizer):
    """Return the parameters of `module`, weights apart from biases and scales.

    Weight decay shrinks the weights of convolutions and fully connected layers
    only: biases and normalisation scales are left alone.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    weight_decay : float
        For the weights.

    optimizer : type
        An optimiser that has no weight decay gets one group of parameters.

    Returns
    -------
    list
        What an optimiser takes as its first argument.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if "weight_decay" not in inspect.signature(optimizer).parameters:
        return parameters
    weights = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
