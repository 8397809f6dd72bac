"""Training of a new head on features of a pretrained network."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ..backbones import make_head
from ..data import FeatureVectors
from ..features import ArraySource
from ..runtime import DTYPES, make_generator
from ..training import build_net, train_net
from .backbone_features import (
    extract_features,
    feature_widths,
    make_extractor,
    wants_cache,
)
from .backbone_input import find_scaling
from .batch_sizes import auto_batch_size
from .net_building import criterion_arguments
from .shuffled_samples import as_data_set

HEAD_LR = 0.003
MIN_VARIANCE = 1e-2  # of the mean variance, for features that hardly vary
FEATURES_ATOL = 5e-2  # for features in bfloat16, times the largest one


class PretrainedFeatures:
    """Features of the pretrained network of an estimator.

    Raises ValueError if the network rejects the image size.
    """

    def __init__(self, estimator, layer="penultimate", pooling="avg"):
        backbone = estimator._backbone
        is_cached = wants_cache(estimator.memory)
        self.precision = estimator.precision
        self.extractor = make_extractor(
            backbone,
            (layer,),
            is_shared=is_cached and backbone.digest is not None,  # a module may change
            pooling=pooling,
            device=estimator.device,
            precision=self.precision,
            compile=False,
        )
        self.device = self.extractor.device
        self.X = self.values = None
        feature_widths(backbone, self.extractor)
        if is_cached:  # a module of the user may change later
            backbone = replace(backbone, digest=backbone.identity())
        self.backbone = replace(backbone, module=None)

    def of(self, estimator, X):
        """Return the features of training images, ``(n_samples, n_features)``."""
        if self.X is not X:
            self.X, self.values = X, self._compute(estimator, X)
        return self.values

    def _compute(self, estimator, X):
        backbone, scaling = self.backbone, find_scaling(estimator, X)
        if backbone.preprocessing is None:
            backbone = replace(backbone, scaler=scaling)
        else:  # decoded files are already resized
            backbone = replace(backbone, preprocessing=scaling.preprocessing)
        features, _ = extract_features(
            ArraySource(X, scaling, self.device, self.extractor.input_dtype),
            backbone,
            self.extractor,
            precision=self.precision,
            memory=estimator.memory,
        )
        return features[0]

    def rows(self, estimator, X, device, once=False):
        """Return the features of X in batches; `once` for predictions."""
        compute = self._compute if once else self.of
        return self._as_rows(compute(estimator, X), device)

    def release(self):
        """Release the training images."""
        self.X = self.values = None

    def _as_rows(self, features, device):
        return FeatureVectors(features, device, DTYPES[self.precision])

    def check_same(self, network):
        """Raise an error if the backbone of a network returns other features."""
        shape = (1, *self.backbone.input_shape)
        batch = torch.linspace(-1, 1, int(np.prod(shape)), device=self.device)
        batch = batch.view(shape)
        expected = self.extractor(batch)[0].float()
        dtype = DTYPES[self.precision]
        with torch.inference_mode():
            features = network.eval().features(batch.to(dtype)).float()
        scale = max(1.0, float(expected.abs().max()))
        if features.shape != expected.shape or not torch.allclose(
            features, expected, rtol=0, atol=FEATURES_ATOL * scale
        ):
            raise ValueError(
                f"{self.backbone.name} transforms the output of its last layer with "
                "weights, so its head cannot be replaced. Return that output directly, "
                "for example without a softmax."
            )

    def train_head(self, estimator, head, samples):
        """Train a head on standardised features, and fold their scale into it.

        Returns the training loss of each epoch.
        """
        features = self.of(estimator, samples.X)
        chosen = features if samples.rows is None else features[samples.rows]
        mean = np.average(chosen, axis=0, weights=samples.weights)
        variance = np.average((chosen - mean) ** 2, axis=0, weights=samples.weights)
        scale = np.sqrt(np.maximum(variance, MIN_VARIANCE * variance.mean()))
        scale = np.where(scale > 0, scale, 1.0)
        n_outputs = estimator._targets.n_outputs
        make = partial(make_head, features.shape[1], n_outputs, estimator.dropout)
        net = self.train_alone(estimator, make, (features - mean) / scale, samples)
        linear = net.module_[-1]
        with torch.no_grad():
            mean, scale = (torch.as_tensor(v).to(linear.weight) for v in (mean, scale))
            head[-1].weight.copy_(linear.weight / scale)
            head[-1].bias.copy_(linear.bias - head[-1].weight @ mean)
        return [row["train_loss"] for row in net.history]

    def train_alone(self, estimator, make, features, samples):
        """Train the head that `make` builds on features, and return its net."""
        net = build_net(
            make,
            criterion=estimator._targets.criterion,
            criterion_arguments=criterion_arguments(estimator),
            blank=torch.zeros(1, features.shape[1]),
            n_outputs=estimator._targets.n_outputs,
            optimizer="adamw",
            lr=HEAD_LR,
            weight_decay=estimator.weight_decay,
            batch_size=auto_batch_size(len(samples)),
            callbacks=None,
            verbose=0,
            device=self.device,
            precision=estimator.precision,
            seed=estimator._next_seed(),
        )
        rows = self._as_rows(features, self.device)
        order = make_generator(estimator._next_seed())
        train_net(
            net,
            as_data_set(estimator, rows, samples, order),
            estimator.head_epochs,
            lr_schedule="one_cycle",
            generator=make_generator(estimator._next_seed(), net.device),
        )
        return net
