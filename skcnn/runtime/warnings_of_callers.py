"""Warnings that point to the line of the caller."""

import sys
import warnings

from .trusted import LIBRARIES


def warn(message, category=UserWarning):
    """Issue a warning that points to the innermost line outside of the libraries.

    Parameters
    ----------
    message : str
        Text of the warning.

    category : type, default=UserWarning
        Class of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame is not None and _is_library(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=2 if frame is None else level)


def _is_library(frame):
    name = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] in {*LIBRARIES, "joblib", "contextlib"}
