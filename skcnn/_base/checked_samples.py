"""Validated samples: X, y and weights."""

from numbers import Number

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_sample_weight, _check_y

from ..data import Samples, as_array


def check_training_samples(
    estimator, X, y, sample_weight, *, is_first, is_relative=True
):
    """Validate training samples, and learn from their targets.

    Returns the samples and, if X is copied, the rows that were kept.
    """
    X, y = estimator._input.check_X_y(estimator, X, as_array(y, "y"), is_first)
    weights = _check_weights(sample_weight, X, is_relative)
    if is_first:
        estimator._targets = estimator._Targets.learn(estimator, y, weights)
    else:
        estimator._targets = estimator._targets.update(y, weights)
    return _weighted_samples(estimator, X, y, weights, is_relative)


def check_validation_samples(estimator, X, y, sample_weight):
    """Validate the samples of the validation data."""
    X, y = estimator._input.check_X_y(estimator, X, as_array(y, "y"), False)
    weights = _check_weights(sample_weight, X, True)
    samples, _ = _weighted_samples(estimator, X, y, weights, True)
    return samples


def check_targets(estimator, samples, y):
    """Validate y, which has one target for each sample."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but "
            "the target y is None."
        )
    y = _check_y(y, estimator=estimator, **estimator._Targets.checks(y))
    check_consistent_length(samples, y)
    return y


def _weighted_samples(estimator, X, y, weights, is_relative):
    """Return samples of positive weight and, if X is copied, the rows kept."""
    targets = estimator._targets.encode(y)
    weights = _weigh_classes(estimator, targets, weights, is_relative)
    if weights is None or weights.all():
        return Samples(X, targets, weights), None
    kept = np.flatnonzero(weights)
    targets, weights = targets[kept], weights[kept]
    if estimator._input.COPIES_ROWS:
        return Samples(X[kept], targets, weights), kept
    return Samples(X, targets, weights, rows=kept), None


def _check_weights(sample_weight, X, is_relative):
    """Validate sample weights, which may be None."""
    sample_weight = as_array(sample_weight, "sample_weight")
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Number):  # scikit-learn accepts a scalar NaN
        sample_weight = np.full(len(X), sample_weight)
    weights = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    return _with_mean_of_1(weights) if is_relative else weights


def _weigh_classes(estimator, targets, weights, is_relative):
    """Return the sample weights times the weights of their classes."""
    class_weight = getattr(estimator, "class_weight", None)
    if class_weight is None:
        return weights
    of_classes = estimator._targets.weigh(targets, class_weight, weights)
    if is_relative:
        of_classes = of_classes / (of_classes.max() or 1)
    weights = of_classes if weights is None else of_classes * weights
    if not weights.any():
        raise ValueError(
            f"class_weight={class_weight!r} gives all samples a weight of 0, expected "
            "a positive weight for at least one class in y."
        )
    return _with_mean_of_1(weights) if is_relative else weights


def _with_mean_of_1(weights):
    """Scale weights to a mean of 1 over the positive ones."""
    weights = weights / weights.max()  # sums cannot overflow
    return weights / weights[weights > 0].mean()
