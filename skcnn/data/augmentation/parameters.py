"""Checks and units of the parameters of augmentations."""

from math import isfinite
from numbers import Integral, Real


def check_number(step, name, low, high):
    """Raise a ValueError unless the parameter is a number from `low` to `high`."""
    value = getattr(step, name)
    known = isinstance(value, Real) and not isinstance(value, bool)
    if not known or not isfinite(value) or not low <= value <= high:
        bounds = f"from {low} to {high}" if isfinite(high) else f"of at least {low}"
        raise ValueError(
            f"{name}={value!r} of {type(step).__name__} is not a number {bounds}."
        )


def check_length(step, name):
    """Raise a ValueError unless the parameter is a length, in pixels or a share."""
    value = getattr(step, name)
    known = isinstance(value, Real) and not isinstance(value, bool)
    if not known or not 0 <= value <= (float("inf") if _is_whole(value) else 1):
        raise ValueError(
            f"{name}={value!r} of {type(step).__name__} is neither a number of pixels "
            "(an int of at least 0) nor a share of each axis (a float from 0 to 1)."
        )


def check_range(step, name, low, high):
    """Raise a ValueError unless the parameter is ``(lowest, highest)`` in bounds."""
    value = getattr(step, name)
    known = isinstance(value, (tuple, list)) and len(value) == 2
    numbers = known and all(isinstance(bound, Real) for bound in value)
    if not numbers or not low <= value[0] <= value[1] <= high:
        raise ValueError(
            f"{name}={value!r} of {type(step).__name__} is not a pair (lowest, "
            f"highest) of numbers from {low} to {high}."
        )


def in_pixels(length, spatial_shape):
    """Return a length in pixels of each axis; floats are shares of the axes."""
    if _is_whole(length):
        return [int(length) for _ in spatial_shape]
    return [round(float(length) * side) for side in spatial_shape]


def _is_whole(value):
    return isinstance(value, Integral)
