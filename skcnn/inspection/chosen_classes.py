"""Choice of the classes to explain: predicted, true or given labels."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

WORDS = ("predicted", "true", "all")


@dataclass(frozen=True)
class ChosenClasses:
    """Chosen columns of the scores, and whether results have an axis for them.

    Parameters
    ----------
    labels : ndarray of shape (n_classes,)
        Labels of all columns; for a regressor, column indices.

    columns : ndarray of shape (n_chosen,) or (n_samples, 1), or None
        Chosen columns, for all samples or per sample; None for the predicted ones.

    has_axis : bool
        Whether results have an axis for the chosen classes.
    """

    labels: np.ndarray
    columns: np.ndarray | None
    has_axis: bool

    def of(self, scores, rows=slice(None)):
        """Return the chosen columns of some samples.

        Parameters
        ----------
        scores : ndarray of shape (n, n_classes)
            Scores, which determine the predicted columns.

        rows : slice, default=slice(None)
            Rows of the samples in X.

        Returns
        -------
        ndarray of shape (n, n_chosen), of int
            The columns.
        """
        if self.columns is None:
            return scores.argmax(axis=1)[:, None]
        if self.columns.ndim == 2:
            return self.columns[rows]
        return np.tile(self.columns, (len(scores), 1))


def choose_classes(est, n_outputs, X, classes, y=None):
    """Find the columns of chosen classes.

    Parameters
    ----------
    est : BaseEstimator
        Fitted classifier, with `classes_`, or regressor.

    n_outputs : int
        Number of scores per sample.

    X : sized
        Samples.

    classes : {"predicted", "true", "all"}, label or list of labels
        Classes to explain. For a regressor, "predicted" is its only output, and labels
        are indices of outputs.

    y : array-like of shape (n_samples,) or None, default=None
        True labels, for "true".

    Returns
    -------
    ChosenClasses
        Chosen columns.

    Raises
    ------
    ValueError
        If a label is unknown, or `y` is missing.
    """
    labels = np.asarray(getattr(est, "classes_", np.arange(n_outputs)))
    if not isinstance(classes, str) or classes not in WORDS:
        has_axis = np.ndim(classes) > 0
        columns = _find(labels, np.atleast_1d(np.asarray(classes)))
        return ChosenClasses(labels, columns, has_axis)
    if classes == "all":
        return ChosenClasses(labels, np.arange(n_outputs), True)
    if classes == "true":
        if y is None:
            raise ValueError("classes='true' needs the true labels. Pass y.")
        check_consistent_length(X, y)
        return ChosenClasses(labels, _find(labels, column_or_1d(y))[:, None], False)
    if not hasattr(est, "classes_") and n_outputs > 1:
        raise ValueError(
            f"The regressor has {n_outputs} outputs, but classes='predicted' needs a "
            "single one. Pass the index of an output, such as classes=0, or 'all'."
        )
    return ChosenClasses(labels, None, False)


def _find(labels, chosen):
    """Return the column indices of chosen labels."""
    positions = {label: index for index, label in enumerate(labels.tolist())}
    unknown = [label for label in chosen.tolist() if label not in positions]
    if unknown:
        shown = ", ".join(map(repr, labels.tolist()[:10]))
        raise ValueError(
            f"classes={unknown[0]!r} is not known, expected 'predicted', 'true', 'all' "
            f"or labels among {shown}{', ...' if len(labels) > 10 else ''}."
        )
    return np.array([positions[label] for label in chosen.tolist()])
