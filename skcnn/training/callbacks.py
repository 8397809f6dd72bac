"""Callbacks of skorch: validation, and the log of epochs."""

import sys
from contextlib import contextmanager

from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    InputShapeSetter,
    PrintLog,
)
from skorch.exceptions import SkorchException

from ..runtime import process_index

SCORING = (EpochScoring, BatchScoring)


class EpochLog(PrintLog):
    """Log that prints each epoch if the net is verbose, in colour on a terminal."""

    def format_row(self, row, key, color):
        """Format a value, on a terminal in colour if it is the best."""
        if getattr(sys.stdout, "isatty", bool)():
            return super().format_row(row, key, color)
        return super().format_row({key: row[key]}, key, color)

    def on_epoch_end(self, net, **kwargs):
        """Print the last row of the history."""
        if net.verbose and process_index() == 0:
            super().on_epoch_end(net, **kwargs)


def check_callbacks(callbacks):
    """Validate callbacks of skorch and return them as a list.

    Parameters
    ----------
    callbacks : list or tuple or None
        Callbacks, callback classes, or pairs of name and callback.

    Returns
    -------
    list
        The same entries.

    Raises
    ------
    TypeError
        If an entry is something else.

    ValueError
        If an entry needs skorch's validation set, or sets the shape of the input.
    """
    callbacks = list(callbacks or ())
    for entry in callbacks:
        is_pair = isinstance(entry, (tuple, list)) and len(entry) == 2
        callback = entry[1] if is_pair else entry
        if not _is_callback(callback):
            raise TypeError(
                f"callbacks holds {entry!r}, expected instances or classes of "
                "skorch.callbacks.Callback, or pairs of name and callback. Set "
                "callbacks of scikit-learn with set_callbacks."
            )
        if isinstance(callback, SCORING) and not _can_score(callback):
            raise ValueError(
                f"callbacks holds {entry!r}, which needs skorch's own validation set "
                "and predictions. Set early_stopping=True, or pass X_val and y_val to "
                "fit, and read validation_scores_."
            )
        if isinstance(callback, InputShapeSetter) or callback is InputShapeSetter:
            raise ValueError(
                f"callbacks holds {entry!r}, which is not needed: networks are built "
                "for the shape of X. Leave it out."
            )
    return callbacks


@contextmanager
def explain_missing_validation():
    """Explain the error of a callback that monitors a missing validation loss."""
    try:
        yield
    except (KeyError, SkorchException) as error:
        if "valid_loss" not in str(error):
            raise
        raise ValueError(
            "A callback monitors 'valid_loss', but there is no validation set. Set "
            "early_stopping=True, or monitor 'train_loss' ('train_loss_best' for a "
            "checkpoint)."
        ) from error


def _is_callback(callback):
    if isinstance(callback, type):
        return issubclass(callback, Callback)
    return callback is None or isinstance(callback, Callback)  # None disables one


def _can_score(callback):
    """Return whether a callback scores training data, with its own function."""
    return callback.on_train and callable(callback.scoring)
