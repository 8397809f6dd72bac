"""Class weights, given by a dict or balanced."""

import numpy as np
from sklearn.utils import compute_class_weight


def weights_by_class(class_weight, classes):
    """Return the weight of each class in a dict, 1 for missing classes."""
    by_class = compute_class_weight(class_weight, classes=classes, y=classes)
    if not np.isfinite(by_class).all() or by_class.min() < 0:
        raise ValueError(
            f"class_weight={class_weight!r}, expected finite, non-negative weights."
        )
    return by_class


def balanced_weights(codes, weights):
    """Return weights that give each class the same sum, 1 for the rarest class.

    As in scikit-learn 1.9, class frequencies are sums of sample weights.
    """
    counts = np.bincount(codes, weights).astype(np.float64)
    occurs = counts > 0
    rarest = counts[occurs].min()
    return np.divide(rarest, counts, out=np.zeros_like(counts), where=occurs)[codes]
