"""The head of fine-tuned estimators: trained alone, on features computed once."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ._base import auto_batch_size
from ._feature_backbones import cached_features, explain_failure, wants_cache
from .backbones import make_head
from .data import FeatureVectors
from .features import ArraySource, FeatureExtractor, compute_features
from .runtime import DTYPES, check_device, make_generator
from .training import build_net, train_net

CACHE_BYTES_LIMIT = 10 * 2**30
HEAD_LR = 0.003
MIN_VARIANCE = 1e-2  # of the mean one: what hardly varies is not blown up


class HeadTraining:
    """The first phase of a :class:`FineTunedCNN`."""

    _computes_on_all = True  # the features

    def _make_extractor(self):
        """Return what computes the features that the head takes."""
        return FeatureExtractor(
            self._backbone.module,
            ("penultimate",),
            pooling="avg",
            n_axes=len(self._input_shape) - 1,
            device=check_device(self.device),
            precision=self.precision,
            compile=False,
            fill=self.preprocessing_ is None,
        )

    def _features(self, X):
        """Return what the head takes of each image, ``(n_samples, n_features)``."""
        if self._computed is None or self._computed[0] is not X:
            self._computed = X, self._compute_features(X)
        return self._computed[1]

    def _compute_features(self, X):
        extractor, backbone, scaling = self._extractor, self._backbone, self._scaling(X)
        if backbone.preprocessing is not None:  # less of it is left for decoded files
            backbone = replace(backbone, preprocessing=scaling.preprocessing)
        source = ArraySource(X, scaling, extractor.device, extractor.input_dtype)
        batch_size = backbone.batch_size(extractor.device)
        with explain_failure(backbone, extractor, batch_size):
            if not wants_cache(self.memory):
                return compute_features(source, extractor, batch_size)[0]
            return cached_features(
                source,
                backbone,
                extractor,
                batch_size,
                self.precision,
                self.memory,
                CACHE_BYTES_LIMIT,
            ).compute()[0]

    def _training_images(self, X, device):
        """Return features where they are all that training needs."""
        is_head = self.trainable in ("head", 0) and self.augmentation is None
        if is_head and self._extractor is not None:
            return FeatureVectors(self._features(X), device, DTYPES[self.precision])
        return super()._training_images(X, device)

    def _train_head(self, head, samples):
        """Train the head on features that are standardised, and fold the scale in."""
        features = self._features(samples.X)
        chosen = features if samples.rows is None else features[samples.rows]
        mean = np.average(chosen, axis=0, weights=samples.weights)
        variance = np.average((chosen - mean) ** 2, axis=0, weights=samples.weights)
        scale = np.sqrt(np.maximum(variance, MIN_VARIANCE * variance.mean()))
        scale = np.where(scale > 0, scale, 1.0)
        linear = self._train_on_features((features - mean) / scale, samples)
        with torch.no_grad():
            mean, scale = (torch.as_tensor(v).to(linear.weight) for v in (mean, scale))
            head[-1].weight.copy_(linear.weight / scale)
            head[-1].bias.copy_(linear.bias - head[-1].weight @ mean)

    def _train_on_features(self, features, samples):
        """Return a fully connected layer, trained on rows of features."""
        n_features = features.shape[1]
        net = build_net(
            partial(make_head, n_features, self._n_outputs, self.dropout),
            criterion=self._criterion,
            criterion_arguments=self._criterion_arguments,
            blank=torch.zeros(1, n_features),
            n_outputs=self._n_outputs,
            optimizer="adamw",
            lr=HEAD_LR,
            weight_decay=self.weight_decay,
            batch_size=auto_batch_size(len(samples)),
            callbacks=None,
            verbose=0,
            device=self._extractor.device,
            precision=self.precision,
            seed=self._next_seed(),
        )
        rows = FeatureVectors(features, self._extractor.device, DTYPES[self.precision])
        train_net(
            net,
            self._training_set(rows, samples, make_generator(self._next_seed())),
            self.head_epochs,
            lr_schedule="one_cycle",
            generator=make_generator(self._next_seed(), net.device),
        )
        self.head_loss_curve_ = [row["train_loss"] for row in net.history]
        return net.module_[-1]
