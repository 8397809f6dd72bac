"""Signals of unequal lengths."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar

NUMBERS = (int, float, np.bool_, np.integer, np.floating)


def pad_signals(X, length=None, *, fill_value=0, truncate=False):
    """Stack signals of unequal lengths in one array, padded at their ends.

    Parameters
    ----------
    X : sequence of array-like of shape (n_channels, length) or (length,)
        Signals, channels first as in aeon and sktime, all with the same number
        of channels.

    length : int or None, default=None
        Steps that every signal gets. None is the length of the longest: that
        of the training data. Pass it for test data: ``X_train.shape[2]``.

    fill_value : float, default=0
        What follows the end of a signal, in the units of X: one number that the
        dtype of the signals holds, or a float for signals of integers.

    truncate : bool, default=False
        Whether signals longer than `length` are cut off. Otherwise they are an
        error.

    Returns
    -------
    ndarray of shape (n_samples, n_channels, length)
        The padded signals, in the common dtype of X and `fill_value`: integers
        become floats where `fill_value` is one, like NaN, which rounds those above
        2 ** 53. Estimators read them with ``channel_axis=1``.

    Raises
    ------
    ValueError
        If X or a signal is empty, an entry is no signal, numbers of channels
        differ, a signal is longer than `length` and `truncate` is False, or
        `fill_value` is outside the range of the signals' dtype.

    TypeError
        If `length` is no integer or `fill_value` is no single number.

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
        raise ValueError("X holds no signals, expected at least one.")
    longest = max(signal.shape[1] for signal in signals)
    if length is None:
        length = longest
    check_scalar(length, "length", Integral, min_val=1)
    if longest > length and not truncate:
        raise ValueError(
            f"X holds a signal of {longest} steps, which length={length} is too short "
            "for. Pad the training data to a greater length, or pass truncate=True."
        )
    (n_channels,) = _channel_counts(signals)
    fill_value = _as_number(fill_value)
    dtype = _common_dtype(signals, fill_value)
    padded = np.full((len(signals), n_channels, length), fill_value, dtype)
    for row, signal in zip(padded, signals, strict=True):
        row[:, : signal.shape[1]] = signal[:, :length]
    return padded


def _as_signal(row, signal):
    """Return a signal as an array with channels."""
    signal = np.asarray(signal)
    is_signal = signal.ndim in (1, 2) and signal.size > 0
    if not is_signal or signal.dtype.kind not in "biuf":
        raise ValueError(
            f"Signal {row} of X has shape {signal.shape} and dtype {signal.dtype}, "
            "expected at least one number, in shape (n_channels, length) or (length,)."
        )
    return np.atleast_2d(signal)


def _channel_counts(signals):
    """Return the numbers of channels, which is one number, or raise a ValueError."""
    counts = {len(signal) for signal in signals}
    if len(counts) > 1:
        raise ValueError(
            f"X holds signals of {min(counts)} and of {max(counts)} channels, expected "
            "the same number for all, in shape (n_channels, length)."
        )
    return counts


def _as_number(fill_value):
    """Return a fill value, out of its array if need be, or raise a TypeError."""
    if getattr(fill_value, "shape", None) == ():
        fill_value = np.asarray(fill_value)[()]
    if not isinstance(fill_value, NUMBERS):
        raise TypeError(
            f"fill_value={fill_value!r} is a {type(fill_value).__name__}, expected a "
            "single int or float, which follows every channel of every signal."
        )
    return fill_value


def _common_dtype(signals, fill_value):
    """Return the dtype of signals and fill value, or raise a ValueError."""
    # the type of an int or float of Python gives way to that of arrays, whatever it is
    kind = type(fill_value)(0) if type(fill_value) in (int, float) else fill_value
    dtype = np.result_type(*{signal.dtype for signal in signals}, kind)
    if _holds(dtype, fill_value):
        return dtype
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    raise ValueError(
        f"fill_value={fill_value!r} is outside the range of {dtype}, the common dtype "
        f"of the signals: {limits.min} to {limits.max}. Choose a value within, or "
        "convert the signals to a dtype that holds it, as in "
        "[np.asarray(signal, float) for signal in X]."
    )


def _holds(dtype, number):
    """Return whether a number stays within the range of a dtype."""
    try:
        with np.errstate(over="ignore"):
            held = dtype.type(number)
    except OverflowError:
        return False
    return not np.isinf(held) or number in (np.inf, -np.inf)
