"""Padding of signals to one length."""

from math import isfinite
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_scalar


def pad_signals(X, length=None, *, fill_value=0, truncate=False):
    """Pad signals of unequal lengths at their ends, and stack them in one array.

    Parameters
    ----------
    X : sequence of array-like of shape (n_channels, length) or (length,)
        Signals, channels first as in aeon and sktime, all with the same number
        of channels.

    length : int or None, default=None
        Number of steps of the padded signals. None is the length of the longest
        signal. For test data, pass the length of the training data,
        ``X_train.shape[2]``.

    fill_value : float, default=0
        Padding value, in the units of X and in the range of their dtype. Signals of
        integers may also be padded with a float, such as NaN.

    truncate : bool, default=False
        Whether to truncate signals longer than `length`, which otherwise raise an
        error.

    Returns
    -------
    ndarray of shape (n_samples, n_channels, length)
        Padded signals, in the common dtype of X and `fill_value`: integers become
        floats if `fill_value` is a float. Pass ``channel_axis=1`` to estimators.

    Raises
    ------
    ValueError
        If X or a signal is empty, an entry is not a signal, numbers of channels differ,
        a signal is longer than `length` and `truncate` is False, or `fill_value` is
        outside the range of the dtype of the signals.

    TypeError
        If `length` is not an integer or `fill_value` not a number.

    Examples
    --------
    >>> from skcnn.data import pad_signals
    >>> pad_signals([[1, 2, 3], [4]], fill_value=-1).tolist()
    [[[1, 2, 3]], [[4, -1, -1]]]
    >>> pad_signals([[1, 2, 3, 4]], length=2, truncate=True).tolist()
    [[[1, 2]]]
    """
    signals = [_as_signal(row, signal) for row, signal in enumerate(X)]
    if not signals:
        raise ValueError("X has no signals, expected at least one.")
    longest = max(signal.shape[1] for signal in signals)
    if length is None:
        length = longest
    check_scalar(length, "length", Integral, min_val=1)
    check_scalar(fill_value, "fill_value", Real)
    if longest > length and not truncate:
        raise ValueError(
            f"X has a signal of {longest} steps, but length={length}. Pad the training "
            "data to a greater length, or pass truncate=True."
        )
    shape = len(signals), _n_channels(signals), length
    padded = np.full(shape, fill_value, _common_dtype(signals, fill_value))
    for row, signal in zip(padded, signals, strict=True):
        row[:, : signal.shape[1]] = signal[:, :length]
    return padded


def _as_signal(row, signal):
    """Convert a signal to an array of shape (n_channels, length)."""
    signal = np.asarray(signal)
    is_signal = signal.ndim in (1, 2) and signal.size > 0
    if not is_signal or signal.dtype.kind not in "biuf":
        raise ValueError(
            f"Signal {row} of X has shape {signal.shape} and dtype {signal.dtype}, "
            "expected numbers of shape (n_channels, length) or (length,), not empty."
        )
    return np.atleast_2d(signal)


def _n_channels(signals):
    """Return the number of channels, which must be the same in all signals."""
    counts = {len(signal) for signal in signals}
    if len(counts) > 1:
        raise ValueError(
            f"X has signals of {min(counts)} and of {max(counts)} channels, expected "
            "the same number for all, in shape (n_channels, length)."
        )
    return counts.pop()


def _common_dtype(signals, fill_value):
    """Return the common dtype of signals and fill value, checking its range."""
    dtype = np.result_type(*{signal.dtype for signal in signals}, type(fill_value)(0))
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    low, high = map(type(fill_value), (limits.min, limits.max))
    if isfinite(fill_value) and not low <= fill_value <= high:
        raise ValueError(
            f"fill_value={fill_value!r} is outside the range of {dtype}, the common "
            f"dtype of the signals: {limits.min} to {limits.max}. Choose a value in "
            "it, or convert signals to float: [np.asarray(x, float) for x in X]."
        )
    return dtype
