"""Targets of classifiers: labels and their codes, weights of classes, probabilities."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets


@dataclass(frozen=True)
class ClassTargets:
    """Labels as positions among the classes, and outputs as labels.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    """

    classes: np.ndarray

    checks = {}  # for scikit-learn's validation of y
    criterion = torch.nn.CrossEntropyLoss
    criterion_parameters = ("label_smoothing",)

    @classmethod
    def learn(cls, estimator, y, weights):
        """Learn the classes from y, unless `partial_fit` was given them."""
        check_classification_targets(y)
        if not hasattr(estimator, "classes_"):
            estimator.classes_ = np.unique(y)
        return cls(estimator.classes_)

    def update(self, y, weights):
        """Return what is known after more targets: the same classes."""
        return self

    @property
    def n_outputs(self):
        """Number of outputs of the network."""
        return len(self.classes)

    def encode(self, y):
        """Return the position of each label among the classes."""
        check_classification_targets(y)
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"y holds labels that are not among the classes, {unknown}; the "
                f"classes are {self.classes}."
            )
        return np.searchsorted(self.classes, y)

    def weigh(self, codes, class_weight, weights):
        """Return the weight of the class of each sample."""
        if isinstance(class_weight, str):
            return _balanced_weights(codes, weights)
        # of all classes, as those of a part of the samples need not be among the keys
        by_class = compute_class_weight(
            class_weight, classes=self.classes, y=self.classes
        )
        if not np.isfinite(by_class).all() or by_class.min() < 0:
            raise ValueError(
                f"class_weight={class_weight!r} holds weights that are negative or not "
                "finite."
            )
        return by_class[codes]

    def strata(self, codes):
        """Return the classes, each of which is held out from."""
        return self.classes[codes]

    def score(self, outputs, codes, weights):
        """Return the accuracy."""
        return np.average(outputs.argmax(axis=1) == codes, weights=weights)

    def decode(self, outputs):
        """Return the most probable labels."""
        return self.classes[outputs.argmax(axis=1)]

    def probabilities(self, outputs):
        """Return the probability of each class, (n_samples, n_classes)."""
        return torch.from_numpy(outputs).softmax(1).numpy()

    def log_probabilities(self, outputs):
        """Return the logarithms of the probabilities."""
        return torch.from_numpy(outputs).log_softmax(1).numpy()


def _balanced_weights(codes, weights):
    """Return weights that give each class the same sum, 1 for the rarest class.

    As in scikit-learn 1.9, classes are counted in weights of their samples.
    """
    counts = np.bincount(codes, weights).astype(np.float64)
    occurs = counts > 0
    rarest = counts[occurs].min()
    return np.divide(rarest, counts, out=np.zeros_like(counts), where=occurs)[codes]
