"""Warnings about signals that may be flattened images or a table."""

from math import isqrt

import numpy as np

from ..data import is_constant
from ..runtime import warn

MIN_SIDE = 8  # of flattened images
N_TRIED = 1000  # rows that are checked, roughly
MAX_SCALES = 100  # largest scale of a column, as a multiple of the smallest


def hint_at_rows(X, image_shape):
    """Warn if rows read as signals are likely to be flattened images, or a table."""
    if X.ndim != 2 or image_shape is not None:
        return
    length = X.shape[1]
    if (shape := _flattened_shape(length)) is not None:
        warn(
            f"X has rows of {length} values, read as signals of one channel. If they "
            f"are flattened images, set image_shape={shape}; if they are signals, "
            f"image_shape=({length},)."
        )
    elif (scales := _unequal_scales(X)) is not None:
        warn(
            f"X has rows of {length} values, read as signals of one channel, but its "
            f"columns have standard deviations from {scales[0]:.3g} to {scales[1]:.3g}."
            " If X is a table, put StandardScaler() before the estimator; if it holds "
            f"signals, set image_shape=({length},)."
        )


def _flattened_shape(length):
    """Return the shape of square images with `length` values, None if there is none."""
    for n_channels in (1, 3):
        side = isqrt(length // n_channels)
        if side >= MIN_SIDE and n_channels * side**2 == length:
            return (side, side) if n_channels == 1 else (side, side, n_channels)
    return None


def _unequal_scales(X):
    """Return the extreme scales of the columns, None if they are similar."""
    rows = X[:: max(1, len(X) // N_TRIED)]
    with np.errstate(over="ignore", invalid="ignore"):
        means, variances = (
            f(rows, axis=0, dtype=np.float64) for f in (np.mean, np.var)
        )
    scales = np.sqrt(variances[~is_constant(means, variances)])
    if not len(scales) or not np.isfinite(scales).all():
        return None
    smallest, largest = scales.min(), scales.max()
    return (smallest, largest) if largest > MAX_SCALES * smallest else None
