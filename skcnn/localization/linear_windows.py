"""A linear model of windows, whose scores of all windows are one convolution."""

import numpy as np
import torch
from sklearn.base import clone
from torch.nn import functional as F

BACKGROUND = 0  # code of windows without an object; those of the classes follow


class LinearWindows:
    """A fitted linear classifier as a filter.

    The score of a class is its decision value less that of the background.

    Parameters
    ----------
    model : classifier
        Fitted on standardised features, with `coef_` and `intercept_`.

    mean, scale : ndarray of shape (n_features,)
        Mean and scale of the features.

    n_cells : int
        Number of cells along each side of a window.
    """

    def __init__(self, model, mean, scale, n_cells):
        weight, bias = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
        if len(weight) > 1:
            weight, bias = weight[1:] - weight[0], bias[1:] - bias[0]
        weight = weight / scale
        self.bias = torch.as_tensor(bias - weight @ mean, dtype=torch.float32)
        weight = torch.as_tensor(weight, dtype=torch.float32)
        self.weight = weight.view(len(weight), -1, n_cells, n_cells)

    def scores(self, windows):
        """Return the scores of all windows, (n_classes, n_rows, n_columns)."""
        return F.conv2d(windows.feature_map[None], self.weight, self.bias)[0]


def fit_linear(estimator, X, y, n_cells):
    """Return a clone of a linear classifier, fitted, and the filter that it is.

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
        Its scores of all windows.

    Raises
    ------
    TypeError
        If the classifier is not linear.
    """
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.maximum(scale, 1e-2 * scale.max())  # what hardly varies stays small
    model = clone(estimator).fit((X - mean) / scale, y)
    if not hasattr(model, "coef_"):
        raise TypeError(
            f"estimator is a {type(model).__name__}, expected a linear classifier with "
            "coef_ and intercept_, such as LogisticRegression() or LinearSVC()."
        )
    return model, LinearWindows(model, mean, scale, n_cells)
