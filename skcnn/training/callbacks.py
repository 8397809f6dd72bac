"""Callbacks of skorch: what may be passed, and what prints the epochs."""

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

SCORING = (EpochScoring, BatchScoring)


class EpochLog(PrintLog):
    """Print each epoch if the net is verbose, in colours only to a terminal."""

    def format_row(self, row, key, color):
        """Return a value as text, in colour if it is the best and shown."""
        if getattr(sys.stdout, "isatty", bool)():
            return super().format_row(row, key, color)
        return super().format_row({key: row[key]}, key, color)

    def on_epoch_end(self, net, **kwargs):
        """Print the last row of the history."""
        if net.verbose:
            super().on_epoch_end(net, **kwargs)


def check_callbacks(callbacks):
    """Return the callbacks of skorch that an estimator was given, as a list.

    Parameters
    ----------
    callbacks : list or tuple or None
        Callbacks, classes of them, or pairs of name and callback.

    Returns
    -------
    list
        The same entries.

    Raises
    ------
    TypeError
        If an entry is something else.

    ValueError
        If an entry scores data that training does not have, or changes the network
        for it.
    """
    callbacks = list(callbacks or ())
    for entry in callbacks:
        is_pair = isinstance(entry, (tuple, list)) and len(entry) == 2
        callback = entry[1] if is_pair else entry
        if not _is_callback(callback):
            raise TypeError(
                f"callbacks holds {entry!r}, expected instances or classes of "
                "skorch.callbacks.Callback, or pairs of name and callback. Those of "
                "scikit-learn are set by set_callbacks."
            )
        if isinstance(callback, SCORING) and not _can_score(callback):
            raise ValueError(
                f"callbacks holds {entry!r}, whose scores need a validation set and "
                "predictions of skorch's. Pass early_stopping=True, or X_val and y_val "
                "to fit, and read validation_scores_, or 'valid_score' in history_."
            )
        if isinstance(callback, InputShapeSetter) or callback is InputShapeSetter:
            raise ValueError(
                f"callbacks holds {entry!r}, which is not needed: networks are built "
                "for the shape of X. Leave it out."
            )
    return callbacks


@contextmanager
def explain_missing_validation():
    """Say what to do if a callback asks for the loss of data that are not there."""
    try:
        yield
    except (KeyError, SkorchException) as error:
        if "valid_loss" not in str(error):
            raise
        raise ValueError(
            "A callback monitors 'valid_loss', and there is no validation set. Pass "
            "early_stopping=True, or X_val and y_val to fit; or let it monitor "
            "'train_loss' ('train_loss_best' of a checkpoint)."
        ) from error


def _is_callback(callback):
    if isinstance(callback, type):
        return issubclass(callback, Callback)
    return callback is None or isinstance(callback, Callback)  # None: switched off


def _can_score(callback):
    """Return whether a callback scores training data, by a function of its own."""
    return callback.on_train and callable(callback.scoring)
