"""Construction and update of the net of an estimator."""

from functools import partial
from math import ceil
from numbers import Integral
from os import PathLike, fspath
from reprlib import Repr

import numpy as np
from sklearn.base import is_regressor

from ..backbones import find_backbone
from ..modules import ARCHITECTURES, build_module
from ..runtime import check_device
from ..training import build_net, check_callbacks, choose_weight_decay, renew_net
from .parameter_constraints import ARCHITECTURE as PARAMETERS
from .parameter_constraints import IMAGES

# Parameters that determine a network trained from scratch and how it reads X.
NETWORK_PARAMETERS = (*PARAMETERS, *IMAGES, "precision")
SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 200
PER_AXIS = ("kernel_size", "stride", "pool_size")  # an integer stands for all axes


def described_network(estimator):
    """Return a function that builds the network described by the parameters."""
    values = {name: getattr(estimator, name) for name in PARAMETERS}
    architecture = values.pop("architecture")
    _check_is_untrained(estimator, architecture)
    input_shape = estimator._input.input_shape(estimator)
    n_outputs = estimator._targets.n_outputs
    return partial(build_module, architecture, input_shape, n_outputs, values)


def _check_is_untrained(estimator, architecture):
    """Raise an error if `architecture` is the name of a pretrained network."""
    if not isinstance(architecture, str) or architecture in ARCHITECTURES:
        return
    try:
        find_backbone(architecture)
    except ValueError:  # unknown names raise an error later
        return
    kind = "Regressor" if is_regressor(estimator) else "Classifier"
    raise ValueError(
        f"architecture={architecture!r} is a pretrained network, expected one of "
        f"{sorted(ARCHITECTURES)}, which are trained from scratch. Use "
        f"FineTuned{kind}({architecture!r}), or CNNFeatureTransformer("
        f"{architecture!r}) before another estimator."
    )


def new_net(estimator, samples, batch_size, *, counts_steps=True):
    """Return a new net, ready for training."""
    n_steps = ceil(len(samples) / batch_size) if counts_steps else None
    remember_network_parameters(estimator)
    net = build_net(
        estimator._make_network(),
        criterion=estimator._targets.criterion,
        blank=estimator._input.blank_sample(estimator, samples),
        n_outputs=estimator._targets.n_outputs,
        lr=estimator.lr,
        batch_size=batch_size,
        verbose=estimator.verbose,
        device=check_device(estimator.device),
        precision=estimator.precision,
        seed=estimator._next_seed(),
        **_optimization(estimator, n_steps),
    )
    estimator._prepare_net(net, samples)
    return net


def remember_network_parameters(estimator):
    """Record the parameters of the network, which must not change."""
    names = estimator._network_parameters
    estimator._built_with = {name: getattr(estimator, name) for name in names}


def net_to_train_further(estimator, samples, batch_size, *, starts_again):
    """Return the net of an estimator, updated to its current parameters.

    The optimiser continues from the last call, unless training `starts_again`.
    """
    net = estimator.net_
    net.set_params(batch_size=batch_size, verbose=estimator.verbose)
    if net.lr != estimator.lr:
        net.set_params(lr=estimator.lr)
    if starts_again:
        n_steps = ceil(len(samples) / batch_size)
        options = _optimization(estimator, n_steps)
        estimator._prepare_net(net)
        renew_net(net, **options)
    return net


def criterion_arguments(estimator):
    """Return the arguments of the loss."""
    names = estimator._targets.criterion_parameters
    return {name: getattr(estimator, name) for name in names}


def _optimization(estimator, n_steps):
    """Return options of the training; `n_steps` is that of an epoch, or None."""
    weight_decay = estimator.weight_decay
    if weight_decay == "auto":
        weight_decay = choose_weight_decay(estimator.optimizer, estimator.lr, n_steps)
    return {
        "criterion_arguments": criterion_arguments(estimator),
        "optimizer": estimator.optimizer,
        "weight_decay": weight_decay,
        "callbacks": check_callbacks(estimator.callbacks),
    }


def check_network_parameters(estimator):
    """Raise an error if the network was built with other parameters."""
    for name, before in estimator._built_with.items():
        now = getattr(estimator, name)
        if now is before:
            continue
        if _in_one_form(estimator, name, now) != _in_one_form(estimator, name, before):
            now, before = map(SHORT.repr, (now, before))
            raise ValueError(
                f"{name} is {now}, but the network was built with {before}. Set it "
                "back, or fit a new network with warm_start=False."
            )


def _in_one_form(estimator, name, value):
    """Return the value of a parameter in a form that can be compared."""
    if name in PER_AXIS and isinstance(value, Integral):
        return (value,) * (len(estimator._input.input_shape(estimator)) - 1)
    if name == "hidden_layer_sizes":
        return tuple(np.atleast_1d(value).tolist())
    if name == "embeddings":  # may be gigabytes
        return fspath(value) if isinstance(value, (str, PathLike)) else id(value)
    return tuple(value) if isinstance(value, list) else value
