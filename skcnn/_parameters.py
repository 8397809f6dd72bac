"""The parameters of the networks that are trained from scratch."""

from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseCNN
from .modules import ACTIVATIONS, build_module
from .runtime import DTYPES
from .training import OPTIMIZERS, SCHEDULES

ARCHITECTURE_PARAMETERS = (
    "n_layers",
    "n_filters",
    "filter_growth",
    "kernel_size",
    "stride",
    "pooling",
    "pool_size",
    "activation",
    "norm",
    "dropout",
    "hidden_layer_sizes",
)
PER_AXIS = ("kernel_size", "stride", "pool_size")  # an integer stands for all axes
# Of how a network is trained, whatever it reads.
TRAINING_CONSTRAINTS = {
    "optimizer": [StrOptions(set(OPTIMIZERS)), type],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "lr_schedule": [StrOptions(set(SCHEDULES)), callable, None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "weight_averaging": [StrOptions({"swa", "ema"}), None],
    "batch_size": [
        StrOptions({"auto"}),
        Interval(Integral, 1, None, closed="left"),
    ],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "callbacks": [list, tuple, None],
    "verbose": ["verbose"],
    "device": [str, torch.device],
    "precision": [StrOptions(set(DTYPES))],
    "random_state": ["random_state"],
}


class CNNParameters(BaseCNN):
    """Parameters of :class:`CNNClassifier` and :class:`CNNRegressor`.

    Warning: this class is not meant to be used, its subclasses are.
    """

    _network_parameters = (
        "architecture",
        *ARCHITECTURE_PARAMETERS,
        "image_shape",
        "channel_axis",
        "precision",
    )
    _parameter_constraints = {
        "architecture": [str, callable],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "filter_growth": [Interval(Real, 0, None, closed="neither")],
        "kernel_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "stride": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "pooling": [StrOptions({"max", "avg", "stride"}), None],
        "pool_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS)), callable],
        "norm": [StrOptions({"batch", "group"}), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "hidden_layer_sizes": [
            tuple,
            list,
            np.ndarray,
            Interval(Integral, 1, None, closed="left"),
        ],
        "augmentation": [str, callable, list, tuple, None],
        "image_shape": [tuple, list, None],
        "channel_axis": [StrOptions({"auto"}), Integral, None],
        **TRAINING_CONSTRAINTS,
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        architecture="convnet",
        *,
        n_layers=3,
        n_filters=32,
        filter_growth=2,
        kernel_size=3,
        stride=1,
        pooling="max",
        pool_size=2,
        activation="relu",
        norm="batch",
        dropout=0.0,
        hidden_layer_sizes=(),
        augmentation=None,
        optimizer="adamw",
        lr=0.003,
        lr_schedule="one_cycle",
        weight_decay="auto",
        weight_averaging=None,
        batch_size="auto",
        max_epochs=20,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        callbacks=None,
        verbose=0,
        device="auto",
        precision="float32",
        image_shape=None,
        channel_axis="auto",
        random_state=None,
    ):
        self.architecture = architecture
        self.n_layers = n_layers
        self.n_filters = n_filters
        self.filter_growth = filter_growth
        self.kernel_size = kernel_size
        self.stride = stride
        self.pooling = pooling
        self.pool_size = pool_size
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.hidden_layer_sizes = hidden_layer_sizes
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.image_shape = image_shape
        self.channel_axis = channel_axis
        self.random_state = random_state

    def _in_one_form(self, name, value):
        if isinstance(value, Integral) and name in PER_AXIS:
            return (value,) * (len(self._input_shape) - 1)
        if name == "hidden_layer_sizes":
            return tuple(np.atleast_1d(value).tolist())
        return super()._in_one_form(name, value)

    def _module_factory(self):
        """Return the function that builds the network which the parameters describe."""
        hyperparameters = {
            name: getattr(self, name) for name in ARCHITECTURE_PARAMETERS
        }
        return partial(
            build_module,
            self.architecture,
            self._layout.input_shape,
            self._n_outputs,
            hyperparameters,
        )
