"""The samples that a network is trained on, checked."""

from math import prod
from numbers import Number

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_sample_weight, _check_y

from .data import (
    Samples,
    as_array,
    check_image_array,
    check_same_shape,
    find_layout,
)


class TrainingDataMixin:
    """Checks of X, y and weights, for the trained estimators.

    Warning: this class is not meant to be used, `BaseCNN` is.
    """

    _computes_on_all = False  # of X before training, where a copy of a part saves time

    def _check_training_data(self, X, y, first):
        """Return X and y validated; the first call decides how X is read."""
        known_shape = None if first else self._known_shape
        X, y = check_image_array(
            self, X, y, sample_shape=known_shape, reset=first, **self._y_checks
        )
        if first:
            self._layout = find_layout(X.shape[1:], self.image_shape, self.channel_axis)
            self.image_shape_ = self._layout.image_shape
            self.n_features_in_ = prod(self.image_shape_)
        else:
            self._check_shape(X)
        return X, y

    @property
    def _known_shape(self):
        """Shape of a sample in fit, None where image files of any size were fitted."""
        return None if self._layout is None else self._layout.sample_shape

    def _check_targets(self, samples, y):
        """Return y validated, a target for each sample."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None."
            )
        y = _check_y(y, estimator=self, **self._y_checks)
        check_consistent_length(samples, y)
        return y

    def _check_shape(self, X):
        """Raise an error where samples differ in shape from those of fit."""
        check_same_shape(self, X, self._layout.sample_shape)

    def _check_samples(self, X, y, sample_weight, first, relative=True):
        """Return samples that weigh something and, if X is copied, which rows it has.

        Relative weights have a mean of 1.
        """
        X, y = self._check_training_data(X, as_array(y, "y"), first)
        weights = self._check_weights(X, y, sample_weight, relative)
        targets = self._encode_targets(y, weights, first)
        if weights is None or weights.all():
            return Samples(X, targets, weights), None
        kept = np.flatnonzero(weights)
        targets, weights = targets[kept], weights[kept]
        if self._computes_on_all:
            return Samples(X[kept], targets, weights), kept
        return Samples(X, targets, weights, rows=kept), None

    def _check_weights(self, X, y, sample_weight, relative):
        """Return weights of the samples, or None where all weigh the same."""
        weights = None
        sample_weight = as_array(sample_weight, "sample_weight")
        if isinstance(sample_weight, Number):  # scikit-learn takes NaN for a scalar
            sample_weight = np.full(len(X), sample_weight)
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
            weights = _with_mean_of_1(weights) if relative else weights
        of_classes = self._class_weights(y, weights)
        if of_classes is None:
            return weights
        if relative:
            of_classes = of_classes / (of_classes.max() or 1)
        weights = of_classes if weights is None else of_classes * weights
        if not weights.any():
            raise ValueError(
                f"class_weight={self.class_weight!r} leaves no sample a weight."
            )
        return _with_mean_of_1(weights) if relative else weights

    def _class_weights(self, y, weights):
        """Return the weight of the class of each sample, or None."""
        return None


def _with_mean_of_1(weights):
    """Return weights times a constant; those of 0 do not count in the mean."""
    weights = weights / weights.max()  # sums cannot overflow
    return weights / weights[weights > 0].mean()
