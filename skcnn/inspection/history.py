"""Learning curves: losses and scores by epoch."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection._search import BaseSearchCV

from .pictures import COLORS, MARKERS, make_axes, make_grid

# Attributes that hold inner estimators.
INNER = ("best_estimator_", "estimator_", "regressor_", "backbone", "estimator")
COLUMNS = ("epoch", "train_loss", "valid_loss", "valid_score")


class HistoryDisplay:
    """Display of losses and scores by epoch, for one estimator or several.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    histories : dict of str to dict of str to ndarray of shape (n_epochs,)
        Histories by name of the estimator. A history is a dict of columns: `epoch`,
        `train_loss` and, with validation data, `valid_loss` and `valid_score`.

    Attributes
    ----------
    best_epochs : dict of str to int
        Epoch with the highest validation score; ties are broken by the validation
        loss. Estimators without validation data are left out.
    axes_ : ndarray of matplotlib Axes
        Axes of the losses and, with validation data, of the scores.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores by number of samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import HistoryDisplay
    >>> digits = load_digits()
    >>> X, y = digits.images[:200], digits.target[:200]
    >>> clf = CNNClassifier(max_epochs=3, early_stopping=True, random_state=0)
    >>> display = HistoryDisplay.from_estimator(clf.fit(X, y))
    >>> display.histories["CNNClassifier"]["epoch"].tolist()
    [1, 2, 3]
    """

    def __init__(self, histories):
        self.histories = histories
        self.best_epochs = {
            name: _find_best(history)
            for name, history in histories.items()
            if "valid_score" in history
        }

    @classmethod
    def from_estimator(cls, estimator, X=None, y=None, *, n_candidates=5, ax=None):
        """Draw the training histories of fitted estimators.

        Parameters
        ----------
        estimator : estimator, list or dict of estimators
            Fitted estimators that trained a network, including pipelines with one, or a
            fitted search.
        X, y : array-like or None, default=None
            Training data of the search. If given, the best candidates are trained again
            to draw their histories; otherwise, only the best estimator is drawn.
        n_candidates : int, default=5
            Maximum number of candidates to train, the best ranks first.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        HistoryDisplay
            The display.

        Raises
        ------
        TypeError
            If an estimator has not trained a network.
        """
        if isinstance(estimator, BaseSearchCV) and X is not None:
            estimator = _train_candidates(estimator, X, y, n_candidates)
        histories = {
            name: _read_history(trained)
            for name, trained in _with_names(estimator).items()
        }
        return cls(histories).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        HistoryDisplay
            The display.
        """
        n_axes = 2 if self.best_epochs else 1
        if ax is None:
            size = (4.2 * n_axes + 1.6, 3.4)
            self.figure_, axes = make_axes(ncols=n_axes, figsize=size, squeeze=False)
        else:
            self.figure_, axes = make_grid(1, n_axes, ax, wspace=0.5)
        self.axes_ = axes[0]
        for position, name in enumerate(self.histories):
            self._draw(name, COLORS[position % len(COLORS)], position)
        self._label(has_room=ax is None)
        return self

    def _draw(self, name, color, position):
        """Draw the curves of an estimator."""
        history, is_alone = self.histories[name], len(self.histories) == 1
        marker = MARKERS[position % len(MARKERS)]
        style = {"color": color, "marker": marker, "markersize": 4.5}
        epoch, best = history["epoch"], self.best_epochs.get(name)
        label = "training" if is_alone else f"{name}, training"
        self.axes_[0].plot(epoch, history["train_loss"], "--", label=label, **style)
        label = "validation" if is_alone else name
        for ax, column in zip(self.axes_, COLUMNS[2:], strict=False):
            if column not in history:
                continue
            ax.plot(epoch, history[column], "-", label=label, **style)
            at = history[column][epoch == best]
            ax.plot([best], at, "*", color=color, markersize=13, zorder=3)

    def _label(self, has_room):
        """Label the axes and add a legend, beside them if there is room."""
        from matplotlib.ticker import MaxNLocator

        for ax, label in zip(self.axes_, ("Loss", "Validation score"), strict=False):
            ax.set_axis_on()
            ax.set(xlabel="Epoch", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        losses = self.axes_[0]
        if self.best_epochs:
            losses.plot([], [], "*", color="0.4", markersize=11, label="best epoch")
        place = {"loc": "best", "fontsize": "x-small"}
        if has_room:
            place = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.02)}
            place |= {"fontsize": "small", "frameon": False}
        legend_of = self.axes_[-1] if has_room else losses
        legend_of.legend(*losses.get_legend_handles_labels(), **place)


def _find_best(history):
    """Return the best epoch, as in early stopping."""
    order = np.lexsort((history["valid_loss"], -history["valid_score"]))
    return int(history["epoch"][order[0]])


def _read_history(estimator):
    """Return the training history of an estimator as arrays."""
    rows = _find_history(estimator)
    if rows is None:
        raise TypeError(
            f"{type(estimator).__name__} has trained no network, expected a fitted "
            "CNNClassifier or another estimator with `history_`. Call fit first; a "
            "pretrained network has no history."
        )
    columns = [name for name in COLUMNS if rows and name in rows[0]]
    return {name: np.array([row[name] for row in rows]) for name in columns}


def _find_history(estimator):
    """Return the first history of an estimator and its parts, None without one."""
    if hasattr(estimator, "history_"):
        return estimator.history_
    parts = [step for _, step in getattr(estimator, "steps", ())]
    parts += [getattr(estimator, name, None) for name in INNER]
    found = (_find_history(part) for part in parts if isinstance(part, BaseEstimator))
    return next((rows for rows in found if rows is not None), None)


def _with_names(estimators):
    """Return estimators by name, numbered if there are several."""
    if isinstance(estimators, Mapping):
        return dict(estimators)
    if not isinstance(estimators, (list, tuple)):
        estimators = [estimators]
    names = [type(getattr(e, "best_estimator_", e)).__name__ for e in estimators]
    if len(names) > 1:
        names = [f"{name} {i}" for i, name in enumerate(names, 1)]
    return dict(zip(names, estimators, strict=True))


def _train_candidates(search, X, y, n_candidates):
    """Train the best candidates of a search; return them by parameters."""
    results = search.cv_results_
    metric = search.refit if search.multimetric_ else "score"
    best = np.argsort(results[f"rank_test_{metric}"], kind="stable")[:n_candidates]
    trained = {}
    for params in (results["params"][index] for index in best):
        short = {name.rpartition("__")[2]: value for name, value in params.items()}
        name = ", ".join(f"{key}={value}" for key, value in short.items())
        candidate = clone(search.estimator).set_params(**clone(params, safe=False))
        trained[name] = candidate.fit(X, y)
    return trained
