"""Bounding-box regression: offsets of boxes from windows (Girshick et al. 2014)."""

import numpy as np
from sklearn.linear_model import Ridge

from .linear_windows import LinearWindows, standard

SHRINKAGE = 1.0  # ridge penalty per training window
MAX_OFFSET = 0.5  # limit of predicted offsets


def box_offsets(windows, boxes):
    """Return the offsets of boxes from windows.

    Parameters
    ----------
    windows, boxes : ndarray of shape (n, 4)
        Boxes.

    Returns
    -------
    ndarray of shape (n, 4)
        Differences of the centres along x and y, in fractions of the window's size, and
        logarithms of the ratios of widths and heights.
    """
    size = windows[:, 2:] - windows[:, :2]
    shift = (boxes[:, :2] + boxes[:, 2:] - windows[:, :2] - windows[:, 2:]) / 2
    return np.hstack([shift / size, np.log((boxes[:, 2:] - boxes[:, :2]) / size)])


def move_boxes(windows, offsets, image_size):
    """Return windows moved and scaled by offsets.

    Parameters
    ----------
    windows, offsets : ndarray of shape (n, 4)
        Windows, and offsets as from `box_offsets`, which are clipped to [-0.5, 0.5].

    image_size : tuple of int
        Width and height of the image, to which the result is clipped.

    Returns
    -------
    ndarray of shape (n, 4)
    """
    offsets = offsets.clip(-MAX_OFFSET, MAX_OFFSET)
    size = windows[:, 2:] - windows[:, :2]
    center = (windows[:, :2] + windows[:, 2:]) / 2 + offsets[:, :2] * size
    half = size * np.exp(offsets[:, 2:]) / 2
    return np.hstack([center - half, center + half]).clip(0, np.tile(image_size, 2))


def fit_offsets(X, offsets, n_cells):
    """Fit a ridge regression of offsets, and return it as a filter.

    Parameters
    ----------
    X : ndarray of shape (n_windows, n_features)
        Features of windows near boxes.

    offsets : ndarray of shape (n_windows, 4)
        Offsets, as `box_offsets` returns them.

    n_cells : int
        Number of cells along each side of a window.

    Returns
    -------
    LinearWindows
        Filter that predicts the offset of the box from each window.
    """
    mean, scale = standard(X)
    model = Ridge(SHRINKAGE * len(X)).fit((X - mean) / scale, offsets)
    return LinearWindows(model.coef_, model.intercept_, mean, scale, n_cells)
