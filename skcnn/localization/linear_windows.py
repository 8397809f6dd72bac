"""Linear models of windows, computed for all windows by one convolution."""

import numpy as np
import torch
from sklearn.base import clone
from torch.nn import functional as F

BACKGROUND = 0  # code of windows without an object; classes have codes from 1


class LinearWindows:
    """Linear functions of windows, as convolution filters.

    Parameters
    ----------
    weight : ndarray of shape (n_outputs, n_features)
        Weights of standardised features.

    bias : ndarray of shape (n_outputs,)
        Intercepts.

    mean, scale : ndarray of shape (n_features,)
        Mean and scale of the features.

    n_cells : int
        Number of cells along each side of a window.
    """

    def __init__(self, weight, bias, mean, scale, n_cells):
        weight = weight / scale
        self.bias = (bias - weight @ mean).astype(np.float32)
        weight = weight.reshape(len(weight), -1, n_cells, n_cells)
        self.weight = weight.astype(np.float32)

    def values(self, windows):
        """Return the values of all windows, (n_outputs, n_rows, n_columns)."""
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        return F.conv2d(windows.feature_map[None], weight, bias)[0]


def fit_linear(estimator, X, y, n_cells):
    """Fit a clone of a linear classifier, and return it with its filter.

    Parameters
    ----------
    estimator : classifier
        Linear classifier.

    X : ndarray of shape (n_windows, n_features)
        Features of windows.

    y : ndarray of shape (n_windows,)
        Codes of classes, 0 for the background.

    n_cells : int
        Number of cells along each side of a window.

    Returns
    -------
    model : classifier
        The fitted clone.

    filter : LinearWindows
        Filter that computes the score of each class: its decision value minus that of
        the background.

    Raises
    ------
    TypeError
        If the classifier is not linear.
    """
    mean, scale = standard(X)
    model = clone(estimator).fit((X - mean) / scale, y)
    if not hasattr(model, "coef_"):
        raise TypeError(
            f"estimator is a {type(model).__name__}, expected a linear classifier with "
            "coef_ and intercept_, such as LogisticRegression() or LinearSVC()."
        )
    weight, bias = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    if len(weight) > 1:
        weight, bias = weight[1:] - weight[0], bias[1:] - bias[0]
    return model, LinearWindows(weight, bias, mean, scale, n_cells)


def standard(X):
    """Return the mean and the scale of features.

    Parameters
    ----------
    X : ndarray of shape (n_windows, n_features)
        Features.

    Returns
    -------
    mean, scale : ndarray of shape (n_features,)
    """
    mean, scale = X.mean(axis=0), X.std(axis=0)
    return mean, np.maximum(scale, 1e-2 * scale.max())  # keeps near-constant ones small
