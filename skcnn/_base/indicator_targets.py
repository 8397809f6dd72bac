"""Targets of multi-label classifiers: an indicator matrix, a column for each label."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ..modules import BinaryCrossEntropy
from .class_weights import balanced_weights, weights_by_class

ABSENT_PRESENT = np.array([0, 1])


@dataclass(frozen=True)
class IndicatorTargets:
    """Encoding of several labels as zeros and ones, and decoding of outputs.

    Parameters
    ----------
    n_outputs : int
        Number of labels.
    """

    n_outputs: int

    criterion = BinaryCrossEntropy
    criterion_parameters = ("label_smoothing",)

    @classmethod
    def learn(cls, estimator, y):
        """Learn the number of labels, and check `classes` of `partial_fit`."""
        _check_indicator(y)
        n_labels = y.shape[1]
        if not hasattr(estimator, "classes_"):
            estimator.classes_ = np.arange(n_labels)
        elif not np.array_equal(estimator.classes_, np.arange(n_labels)):
            raise ValueError(
                f"y has {n_labels} columns, but classes is {estimator.classes_}. Pass "
                f"classes=numpy.arange({n_labels}), the columns of y."
            )
        return cls(n_labels)

    def update(self, y, weights):
        """Return `self`, as further targets do not change the labels."""
        return self

    def encode(self, y):
        """Return the indicator matrix, (n_samples, n_labels)."""
        if y.ndim != 2 or y.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has shape {y.shape}, but the classifier was fitted on an indicator "
                f"matrix of {self.n_outputs} labels, expected (n_samples, "
                f"{self.n_outputs}). Pass the same columns as in fit, or fit again."
            )
        _check_indicator(y)
        return y.astype(np.float32)

    def weigh(self, targets, class_weight, weights):
        """Return the products of the weights of all labels of each sample."""
        columns = targets.astype(np.intp).T
        if isinstance(class_weight, str):
            factors = [balanced_weights(column, weights) for column in columns]
        else:
            pairs = _weight_pairs(class_weight, self.n_outputs)
            factors = [
                pair[column] for pair, column in zip(pairs, columns, strict=True)
            ]
        return reduce(np.multiply, factors)

    def strata(self, targets):
        """Return None: samples are held out at random."""
        return None

    def score(self, outputs, targets, weights):
        """Return the subset accuracy: all labels of a sample must be right."""
        is_right = ((outputs > 0) == (targets > 0)).all(axis=1)
        return np.average(is_right, weights=weights)

    def labels(self, targets):
        """Return the indicator matrix as integers."""
        return targets.astype(int)

    def decode(self, outputs):
        """Return an indicator matrix of the labels with a probability above 0.5."""
        return (outputs > 0).astype(int)

    def probabilities(self, outputs):
        """Return the probability of each label, (n_samples, n_labels)."""
        return torch.from_numpy(outputs).sigmoid().numpy()

    def log_probabilities(self, outputs):
        """Return the logarithms of the probabilities."""
        return torch.nn.functional.logsigmoid(torch.from_numpy(outputs)).numpy()


def _weight_pairs(class_weight, n_labels):
    """Return the weights of absence and presence for each label."""
    is_dict = isinstance(class_weight, dict)
    given = [class_weight] * n_labels if is_dict else class_weight
    if len(given) != n_labels or any(set(pair) - {0, 1} for pair in given):
        raise ValueError(
            f"class_weight={class_weight!r}, expected a dict {{0: weight, 1: weight}}, "
            f"or a list of {n_labels} such dicts, one for each label."
        )
    return [weights_by_class(pair, ABSENT_PRESENT) for pair in given]


def _check_indicator(y):
    """Raise an error if y is not a matrix of zeros and ones."""
    if issparse(y):
        raise TypeError(
            "Sparse data was passed for y, but dense data is required. Use "
            "'.toarray()' to convert to a dense numpy array."
        )
    check_classification_targets(y)
    is_indicator = type_of_target(y, input_name="y") == "multilabel-indicator"
    if not is_indicator or not np.isin(y, ABSENT_PRESENT).all():
        raise ValueError(
            f"y has {y.shape[1]} columns of labels, expected one column of labels or "
            "an indicator matrix of zeros and ones. For several multi-class outputs, "
            "use sklearn.multioutput.MultiOutputClassifier."
        )
