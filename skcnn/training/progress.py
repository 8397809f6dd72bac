"""Callbacks of scikit-learn, if it has them (from version 1.9)."""

from sklearn.utils import _safe_indexing

from .monitors import Monitor

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Stand-in for the mixin of scikit-learn 1.9, without `set_callbacks`."""


class FitProgress(Monitor):
    """Monitor that notifies scikit-learn's callbacks of the fit and of each epoch.

    Parameters
    ----------
    estimator : BaseEstimator
        The estimator that is fitted.

    X, y, sample_weight : array-like
        Data passed to `fit`.

    n_epochs : int
        Maximum number of epochs.

    Attributes
    ----------
    rows : ndarray or None
        Rows of X to train on, None for all; set after the data are split.
    """

    def __init__(self, estimator, X, y, sample_weight, n_epochs):
        self.estimator = estimator
        self.given = {"X": X, "y": y, "sample_weight": sample_weight}
        self.rows = None
        self.n_epochs_left = n_epochs
        self.epoch = None
        self.context = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=n_epochs)
            self.context.call_on_fit_task_begin(estimator=estimator, **self._data())

    @property
    def is_watched(self):
        """Whether there are callbacks."""
        return bool(getattr(self.estimator, "_skl_callbacks", []))

    def _data(self):
        """Return data and metadata, taken from X only if a callback asks for them."""
        return {
            "X": lambda: self._take("X"),
            "y": lambda: self._take("y"),
            "metadata": self._metadata,
        }

    def _take(self, name):
        values = self.given[name]
        if values is None or self.rows is None:
            return values
        return _safe_indexing(values, self.rows)

    def _metadata(self):
        weights = self._take("sample_weight")
        return None if weights is None else {"sample_weight": weights}

    def begin_epoch(self, net):
        """Begin the task of an epoch, unless a failed attempt has begun it."""
        if self.context is None or self.epoch is not None or not self.n_epochs_left:
            return
        self.n_epochs_left -= 1
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self._data())

    def end_epoch(self, net):
        """End the task of the epoch; return whether a callback requests a stop."""
        if self.epoch is None:
            return False
        epoch, self.epoch = self.epoch, None
        return epoch.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes={"net_": net},
            **self._data(),
        )

    def close(self):
        """Tell the callbacks that the estimator is fitted."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes={}, **self._data()
            )
