"""First phase of fine-tuning: a new head, trained on features computed once."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ..backbones import make_head
from ..data import FeatureVectors
from ..features import ArraySource
from ..runtime import DTYPES, make_generator
from ..training import build_net, train_net
from .backbone_features import extract_features, feature_widths, make_extractor
from .backbone_input import find_scaling
from .batch_sizes import auto_batch_size
from .net_building import criterion_arguments
from .shuffled_samples import as_data_set

HEAD_LR = 0.003
MIN_VARIANCE = 1e-2  # of the mean one: what hardly varies is not blown up
FEATURES_ATOL = 5e-2  # of features in bfloat16, times the largest one


class PretrainedFeatures:
    """Features of the network of a fine-tuned estimator, before its training.

    Raises ValueError if the network does not take images of their size.
    """

    def __init__(self, estimator):
        self.estimator = estimator
        self.backbone = estimator._backbone
        self.extractor = make_extractor(
            self.backbone,
            ("penultimate",),
            pooling="avg",
            device=estimator.device,
            precision=estimator.precision,
            compile=False,
        )
        self.device = self.extractor.device
        self.X = self.values = None
        feature_widths(self.backbone, self.extractor)

    def of(self, X):
        """Return the features of images, ``(n_samples, n_features)``."""
        if self.X is not X:
            self.X, self.values = X, self._compute(X)
        return self.values

    def _compute(self, X):
        estimator, backbone = self.estimator, self.backbone
        scaling = find_scaling(estimator, X)
        if backbone.preprocessing is not None:  # less of it is left for decoded files
            backbone = replace(backbone, preprocessing=scaling.preprocessing)
        features, _ = extract_features(
            ArraySource(X, scaling, self.device, self.extractor.input_dtype),
            backbone,
            self.extractor,
            precision=estimator.precision,
            memory=estimator.memory,
        )
        return features[0]

    def rows(self, X):
        """Return the features of images, to be taken in batches."""
        return self._as_rows(self.of(X))

    def _as_rows(self, features):
        return FeatureVectors(features, self.device, DTYPES[self.estimator.precision])

    def check_same(self, network):
        """Raise an error if a network has other features at the end of its backbone."""
        shape = (1, *self.backbone.input_shape)
        batch = torch.linspace(-1, 1, int(np.prod(shape)), device=self.device)
        batch = batch.view(shape)
        expected = self.extractor(batch)[0].float()
        dtype = DTYPES[self.estimator.precision]
        with torch.inference_mode():
            features = network.eval().features(batch.to(dtype)).float()
        scale = max(1.0, float(expected.abs().max()))
        if features.shape != expected.shape or not torch.allclose(
            features, expected, rtol=0, atol=FEATURES_ATOL * scale
        ):
            raise ValueError(
                f"{self.backbone.name} computes something after its last layer with "
                "weights that a new head cannot replace. Let it return what that layer "
                "returns, without a softmax."
            )

    def train_head(self, head, samples):
        """Train a head on standardised features, and fold their scale into it.

        Returns the training loss of each epoch.
        """
        features = self.of(samples.X)
        chosen = features if samples.rows is None else features[samples.rows]
        mean = np.average(chosen, axis=0, weights=samples.weights)
        variance = np.average((chosen - mean) ** 2, axis=0, weights=samples.weights)
        scale = np.sqrt(np.maximum(variance, MIN_VARIANCE * variance.mean()))
        scale = np.where(scale > 0, scale, 1.0)
        net = self._train_linear((features - mean) / scale, samples)
        linear = net.module_[-1]
        with torch.no_grad():
            mean, scale = (torch.as_tensor(v).to(linear.weight) for v in (mean, scale))
            head[-1].weight.copy_(linear.weight / scale)
            head[-1].bias.copy_(linear.bias - head[-1].weight @ mean)
        return [row["train_loss"] for row in net.history]

    def _train_linear(self, features, samples):
        """Return the net of a fully connected layer, trained on rows of features."""
        estimator, n_features = self.estimator, features.shape[1]
        n_outputs = estimator._targets.n_outputs
        net = build_net(
            partial(make_head, n_features, n_outputs, estimator.dropout),
            criterion=estimator._targets.criterion,
            criterion_arguments=criterion_arguments(estimator),
            blank=torch.zeros(1, n_features),
            n_outputs=n_outputs,
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
        order = make_generator(estimator._next_seed())
        train_net(
            net,
            as_data_set(estimator, self._as_rows(features), samples, order),
            estimator.head_epochs,
            lr_schedule="one_cycle",
            generator=make_generator(estimator._next_seed(), net.device),
        )
        return net
