"""Short fits on a few batches, to find shapes and the time of an epoch."""

import time
import warnings

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

N_BATCHES = 3
N_BLANK = 2
USUAL_BATCH = 16
N_WORDS = 20
# Parameters that make a fit short and silent.
SHORT = {
    "max_epochs": 2,
    "head_epochs": 0,
    "early_stopping": False,
    "warm_start": False,
    "callbacks": None,
    "verbose": 0,
    "memory": None,
}
BLANK_SHAPE = (32, 32, 3)  # for networks that resize images


def train_trial(estimator, X, y=None, *, is_blank=False):
    """Train a copy of an estimator on a few batches.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator or transformer of this package.

    X : array-like or sequence
        Samples.

    y : array-like or None, default=None
        Targets. If None, placeholders are used.

    is_blank : bool, default=False
        Whether X holds only placeholders, so that the time is not measured.

    Returns
    -------
    trial : BaseEstimator
        The fitted copy.

    seconds : float or None
        Estimated seconds for an epoch over all samples or, for a transformer, for
        their features.

    notes : list of str
        Assumptions and method of the estimate.
    """
    n_samples, notes = _num_samples(X), []
    trial = clone(estimator)
    names = trial.get_params()
    short = {k: SHORT[k.split("__")[-1]] for k in names if k.split("__")[-1] in SHORT}
    batch_size = _batch_size(estimator, n_samples)
    rows = _choose_rows(y, n_samples, N_BATCHES * batch_size)
    if y is None:
        y = np.arange(n_samples) % 2
        notes += [] if hasattr(estimator, "layer") else [_assumption(estimator)]
    if "max_epochs" in names:
        short["batch_size"] = batch_size
    samples, targets = _safe_indexing(X, rows), _safe_indexing(y, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial.set_params(**short).fit(samples, targets)
        seconds = None if is_blank else _measure(trial, samples)
    if seconds is not None:
        seconds *= n_samples / len(rows)
        what = "training on" if hasattr(trial, "history_") else "features of"
        notes.append(f"The time is estimated by {what} {len(rows)} samples.")
    return trial, seconds, notes


def _batch_size(estimator, n_samples):
    """Return the batch size."""
    batch_size = getattr(estimator, "batch_size", "auto")
    if not isinstance(batch_size, str):
        return min(batch_size, n_samples)
    auto = getattr(estimator, "_auto_batch_size", lambda n: USUAL_BATCH)
    return min(auto(n_samples), n_samples)


def _choose_rows(y, n_samples, n_rows):
    """Return the first rows, and one row of each label."""
    rows = np.arange(min(n_rows, n_samples))
    y = None if y is None else np.asarray(y)
    if y is not None and y.ndim == 1 and y.dtype.kind != "f":
        rows = np.union1d(rows, np.unique(y, return_index=True)[1])
    return rows


def _assumption(estimator):
    """Describe the placeholder targets."""
    if is_classifier(estimator):
        return "Two classes are assumed. Pass y to use the actual number."
    return "One output is assumed. Pass y to use the actual number."


def _measure(trial, samples):
    """Return the seconds that an epoch or `transform` takes."""
    if hasattr(trial, "history_"):
        return min(trial.history_[:, "dur"])
    start = time.perf_counter()
    trial.transform(samples)
    return time.perf_counter() - start


def blank_samples(estimator):
    """Return zeros of the shape that an estimator expects before `fit`.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator or transformer of this package.

    Returns
    -------
    ndarray of shape (2, ...)
        Samples of zeros.

    Raises
    ------
    ValueError
        If the shape is not known.
    """
    shape = getattr(estimator, "image_shape", None)
    if shape is None and isinstance(getattr(estimator, "backbone", None), str):
        shape = BLANK_SHAPE
    if shape is None:
        raise ValueError(
            f"{type(estimator).__name__} is not fitted and the shape of its input is "
            "not known. Pass X, or set image_shape."
        )
    return np.zeros((N_BLANK, *shape), dtype=np.uint8)


def n_words_of(estimator, X=None):
    """Return the mean number of words per sentence, 20 if X is None."""
    if X is None:
        return N_WORDS
    _, offsets = estimator._vocabulary.encode(np.asarray(X, dtype=object))
    return max(1, round(float(np.diff(offsets).mean())))
