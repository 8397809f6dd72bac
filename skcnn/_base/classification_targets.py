"""Targets of classifiers: labels and their codes, weights of classes, probabilities."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets

from .class_weights import balanced_weights, weights_by_class
from .indicator_targets import IndicatorTargets


@dataclass(frozen=True)
class ClassTargets:
    """Encoding of labels as class indices, and decoding of network outputs.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    """

    classes: np.ndarray

    multi_output = False  # but multi-label
    criterion = torch.nn.CrossEntropyLoss
    criterion_parameters = ("label_smoothing",)

    @staticmethod
    def checks(y):
        """Return options of scikit-learn's validation of y."""
        return {"multi_output": True} if _has_columns(y) else {}

    @classmethod
    def learn(cls, estimator, y, weights):
        """Learn the classes from y, unless they were passed to `partial_fit`.

        If y is an indicator matrix, return an `IndicatorTargets`.
        """
        if y.ndim == 2:
            return IndicatorTargets.learn(estimator, y)
        check_classification_targets(y)
        if not hasattr(estimator, "classes_"):
            estimator.classes_ = np.unique(y)
        return cls(estimator.classes_)

    def update(self, y, weights):
        """Return `self`, as further targets do not change the classes."""
        return self

    @property
    def n_outputs(self):
        """Number of outputs of the network."""
        return len(self.classes)

    def encode(self, y):
        """Return the class index of each label."""
        if y.ndim == 2:
            raise ValueError(
                f"y has shape {y.shape}, but the classifier was fitted on one "
                "column of labels. Pass one label for each sample, or fit again."
            )
        check_classification_targets(y)
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"y contains previously unseen labels: {unknown}, expected labels in "
                f"{self.classes}. Remove these samples, or fit a new estimator."
            )
        return np.searchsorted(self.classes, y)

    def weigh(self, codes, class_weight, weights):
        """Return the class weight of each sample."""
        if isinstance(class_weight, str):
            return balanced_weights(codes, weights)
        # for all classes: y may lack some of the keys, which scikit-learn would reject
        return weights_by_class(class_weight, self.classes)[codes]

    def strata(self, codes):
        """Return the label of each sample, for a stratified split."""
        return self.classes[codes]

    def score(self, outputs, codes, weights):
        """Return the accuracy."""
        return np.average(outputs.argmax(axis=1) == codes, weights=weights)

    def labels(self, codes):
        """Return the labels of class indices."""
        return self.classes[codes]

    def decode(self, outputs):
        """Return the most probable labels."""
        return self.classes[outputs.argmax(axis=1)]

    def probabilities(self, outputs):
        """Return the probability of each class, (n_samples, n_classes)."""
        return torch.from_numpy(outputs).softmax(1).numpy()

    def log_probabilities(self, outputs):
        """Return the logarithms of the probabilities."""
        return torch.from_numpy(outputs).log_softmax(1).numpy()


def _has_columns(y):
    """Return whether y has several columns; one column is read as labels."""
    try:
        shape = np.asarray(y).shape
    except ValueError:  # rows of unequal lengths
        return False
    return len(shape) > 1 and shape[1] > 1
