"""What the estimators share that train a pretrained network further."""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from os import PathLike

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from ._base import auto_batch_size
from ._feature_backbones import SharedBackboneMixin, feature_widths
from ._fine_tuning_head import HeadTraining
from ._fine_tuning_images import PretrainedInput
from ._parameters import TRAINING_CONSTRAINTS, CNNParameters
from .backbones import FineTunedNetwork
from .runtime import DTYPES

SMALLEST_BATCH = 16  # steps of smaller ones are too noisy for weights worth keeping
FEATURES_ATOL = 5e-2  # of features in bfloat16, times the largest one
# What images need besides, in the words of `CNNClassifier`.
IMAGE_PARAMETERS = ("dropout", "augmentation", "image_shape", "channel_axis")


class FineTunedCNN(SharedBackboneMixin, HeadTraining, PretrainedInput):
    """Parameters and steps of :class:`FineTunedClassifier` and its regressor.

    Warning: this class is not meant to be used, its subclasses are.
    """

    _network_parameters = (
        "backbone",
        "weights",
        "preprocessing",
        "image_size",
        "image_shape",
        "channel_axis",
        "precision",
    )
    _parameter_constraints = {
        "backbone": [str, torch.nn.Module, BaseEstimator],
        "weights": [str, PathLike, None],
        "trainable": [str, Interval(Integral, 0, None, closed="left")],
        "head_epochs": [Interval(Integral, 0, None, closed="left")],
        "lr_decay": [Interval(Real, 0, 1, closed="right")],
        "memory": ["boolean", str, PathLike, None],
        "preprocessing": [str],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        **{
            name: CNNParameters._parameter_constraints[name]
            for name in IMAGE_PARAMETERS
        },
        **TRAINING_CONSTRAINTS,
    }

    def __init__(
        self,
        backbone="resnet18",
        *,
        weights="default",
        trainable="all",
        dropout=0.0,
        head_epochs=20,
        augmentation=None,
        optimizer="adamw",
        lr=1e-4,
        lr_decay=0.8,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        weight_averaging=None,
        batch_size="auto",
        max_epochs=10,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        callbacks=None,
        verbose=0,
        device="auto",
        precision="float32",
        memory=None,
        preprocessing="auto",
        image_size=None,
        image_shape=None,
        channel_axis="auto",
        random_state=None,
    ):
        self.backbone = backbone
        self.weights = weights
        self.trainable = trainable
        self.dropout = dropout
        self.head_epochs = head_epochs
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.lr = lr
        self.lr_decay = lr_decay
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
        self.memory = memory
        self.preprocessing = preprocessing
        self.image_size = image_size
        self.image_shape = image_shape
        self.channel_axis = channel_axis
        self.random_state = random_state

    @property
    def blocks_(self):
        """Names of the blocks of the network in the order in which they run."""
        return self.module_.blocks

    @property
    def _input_shape(self):
        return self._backbone.input_shape

    def _auto_batch_size(self, n_samples):
        return auto_batch_size(n_samples, SMALLEST_BATCH)

    def _module_factory(self):
        return partial(
            FineTunedNetwork,
            self._backbone.module,
            self._input_shape,
            self._n_outputs,
            **self._layer_options,
        )

    @property
    def _layer_options(self):
        """Which layers are trained, and how."""
        return {
            "trainable": self.trainable,
            "lr_decay": self.lr_decay,
            "dropout": self.dropout,
        }

    def _train(self, samples, held_out, progress, epochs, first, incremental):
        if incremental and not first:
            self._check_layer_options()
        return super()._train(samples, held_out, progress, epochs, first, incremental)

    def _check_layer_options(self):
        """Raise an error where other layers would have to be trained than so far."""
        for name, before in self.module_.layer_options.items():
            now = getattr(self, name)
            if now != before:
                raise ValueError(
                    f"{name} is {now!r}, but partial_fit goes on with {before!r}. Set "
                    "it back, or call fit with warm_start=True, which starts the "
                    "optimiser again."
                )

    def _renew(self, net, options):
        net.module_.choose_layers(**self._layer_options)
        super()._renew(net, options)

    def _snapshot(self):
        return super()._snapshot(), self.module_.layer_options

    def _restore(self, snapshot):
        rest, layer_options = snapshot
        super()._restore(rest)
        self.module_.choose_layers(**layer_options)

    def _build_net(self, batch_size, samples, options):
        self._extractor, self._computed = self._make_extractor(), None
        feature_widths(self._backbone, self._extractor)  # or why it takes no such image
        net = super()._build_net(batch_size, samples, options)
        self._check_features(net.module_)
        self.head_loss_curve_ = []
        if self.head_epochs and not self._is_random:
            self._train_head(net.module_.head, samples)
        return net

    @property
    def _is_random(self):
        """Whether there is nothing in the backbone yet that a head could use."""
        return isinstance(self.backbone, str) and self.weights is None

    def _check_features(self, network):
        """Raise an error where the network does more than its last layer at its end."""
        device = self._extractor.device
        shape = (1, *self._input_shape)
        batch = torch.linspace(-1, 1, int(np.prod(shape)), device=device).view(shape)
        expected = self._extractor(batch)[0].float()
        with torch.inference_mode():
            features = network.eval().features(batch.to(DTYPES[self.precision])).float()
        scale = max(1.0, float(expected.abs().max()))
        if features.shape != expected.shape or not torch.allclose(
            features, expected, rtol=0, atol=FEATURES_ATOL * scale
        ):
            raise ValueError(
                f"{self._backbone.name} computes something after its last layer with "
                "weights that a new head cannot replace. Let it return what that layer "
                "returns, without a softmax."
            )

    def _fit(self, *args, **options):
        with self._without_spare_network():
            return super()._fit(*args, **options)

    @contextmanager
    def _without_spare_network(self):
        """Keep no second network when training ends: `net_` has one."""
        self._extractor = self._computed = None
        try:
            yield
        finally:
            self._extractor = self._computed = None
            if hasattr(self, "_backbone"):
                self._backbone = replace(self._backbone, module=None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = self.weights is not None
        return tags
