"""Choice of the images that a display shows, with predictions and titles."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.validation import _num_samples

SHOWN = ("all", "right", "wrong")
MAX_WIDTH = 18  # characters of a label that fit above a picture


def choose_images(estimator, X, y, show, n_images):
    """Choose the images to show, and predict them.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted classifier or regressor.

    X : array-like or sequence
        Samples.

    y : array-like or None
        True labels or values.

    show : {"all", "right", "wrong"}
        Predictions to show.

    n_images : int
        Maximum number of images.

    Returns
    -------
    X : array-like or sequence
        Chosen samples.

    rows : ndarray of shape (n,)
        Row indices of the chosen samples.

    y_pred, y_true : ndarray of shape (n, ...), None without `y`
        Predictions, and true labels or values.

    Raises
    ------
    ValueError
        If `show` needs y or is not known, or no image matches it.
    """
    check_consistent_length(X, y)
    rows = np.arange(_num_samples(X))
    if show not in SHOWN:
        raise ValueError(f"show={show!r} is not known. Use one of {SHOWN}.")
    if show == "all":
        rows = rows[:n_images]
    elif y is None or not is_classifier(estimator):
        raise ValueError(f"show={show!r} needs a classifier and true labels. Pass y.")
    chosen = _safe_indexing(X, rows)
    y_pred = np.asarray(estimator.predict(chosen))
    y_true = None if y is None else np.asarray(y)[rows]
    if show != "all":
        is_wrong = find_wrong(y_pred, y_true)
        kept = np.flatnonzero(is_wrong == (show == "wrong"))[:n_images]
        rows, y_pred, y_true = rows[kept], y_pred[kept], y_true[kept]
        chosen = _safe_indexing(X, rows)
    if not len(rows):
        raise ValueError(f"X has no image that matches show={show!r}.")
    return chosen, rows, y_pred, y_true


def find_wrong(y_pred, y_true):
    """Return whether each prediction is wrong; False for numbers and without y.

    Parameters
    ----------
    y_pred, y_true : ndarray of shape (n, ...), or None
        Predictions, and true labels or values.

    Returns
    -------
    ndarray of shape (n,), of bool
    """
    if y_true is None or y_pred.dtype.kind == "f":
        return np.zeros(len(y_pred), dtype=bool)
    return (y_pred != y_true).reshape(len(y_pred), -1).any(axis=1)


def title_images(y_pred, y_true):
    """Return the title of each image: predicted and true label.

    Parameters
    ----------
    y_pred, y_true
        See `find_wrong`.

    Returns
    -------
    list of str
    """
    titles = [f"predicted {describe(label)}" for label in y_pred]
    if y_true is None:
        return titles
    pairs = zip(titles, y_true, strict=True)
    return [f"{title}\ntrue {describe(label)}" for title, label in pairs]


def label_maps(estimator, classes, y_pred, y_true):
    """Return the class of each map, (n_images, n_maps), as an object array.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted classifier or regressor.

    classes : {"predicted", "true", "all"}, label or list of labels
        Classes to explain.

    y_pred, y_true
        See `find_wrong`.
    """
    n_images = len(y_pred)
    if isinstance(classes, str) and classes in ("predicted", "true"):
        labels = y_pred if classes == "predicted" else y_true
        is_one = labels.ndim == 1 and is_classifier(estimator)
        labels = labels.tolist() if is_one else [classes] * n_images
        return np.array([[label] for label in labels], dtype=object)
    if isinstance(classes, str) and classes == "all":
        classes = getattr(estimator, "classes_", None)
        classes = range(y_pred[0].size) if classes is None else classes.tolist()
    classes = list(classes) if np.ndim(classes) else [classes]
    return np.array([classes] * n_images, dtype=object)


def describe(label):
    """Return a label, a number or an array as a short text."""
    if isinstance(label, np.ndarray):
        label = np.array2string(label, precision=3, separator=",")
    is_number = isinstance(label, (float, np.floating))
    text = f"{label:.4g}" if is_number else str(label)
    return text if len(text) <= MAX_WIDTH else f"{text[: MAX_WIDTH - 1]}…"
