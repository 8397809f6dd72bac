"""What a network that predicts values does with y and with its outputs."""

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score

from .data import find_scale, is_constant


class RegressionMixin(RegressorMixin):
    """Targets, loss and predictions of regressors, for a :class:`BaseCNN`."""

    _criterion = torch.nn.MSELoss
    _criterion_arguments = {}
    _y_checks = {"multi_output": True, "y_numeric": True}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train the network.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Images, signals or volumes, see the class.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values, of any unit and range: they are standardised inside.

        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None weighs all samples alike.

        X_val : array-like or torch.Tensor of shape (n_val, ...), default=None
            Validation data: after each epoch, their loss and score are recorded
            in `history_` and `validation_scores_`, and `early_stopping` goes by
            them. Samples have the shape of those of X. A pipeline transforms
            them as it does X with ``Pipeline(..., transform_input=["X_val"])``.

        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Values of the validation data.

        sample_weight_val : array-like of shape (n_val,), default=None
            Non-negative weights in the loss and the score of the validation data.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y cannot be read, the shape of X does not suit the
            architecture, the device is not there, or the loss diverges; if
            validation data do not suit X and y, or too few samples are there
            to hold some out.

        MemoryError
            If a batch does not fit in memory.
        """
        first = self._start_afresh(keep=self.warm_start)
        return self._fit(
            X,
            y,
            sample_weight,
            epochs=self.max_epochs,
            first=first,
            X_val=X_val,
            y_val=y_val,
            sample_weight_val=sample_weight_val,
        )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one more pass over X, at the constant learning rate `lr`.

        An LRScheduler among the callbacks goes on from where it was, as in skorch.

        The scales of the pixels and of y are those of the first call, and so are
        `optimizer`, `weight_decay` and `callbacks`. A call that fails or is
        interrupted leaves the network as it was.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Images, signals or volumes, see the class.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.

        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. 1 is that of a sample without.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            As `fit`.
        """
        self._refuse_early_stopping()
        first = self._start_afresh(keep=True)
        return self._fit(X, y, sample_weight, epochs=1, first=first, incremental=True)

    @property
    def _n_outputs(self):
        return len(self._y_mean)

    def _encode_targets(self, y, weights, first):
        """Return y standardised, (n_samples, n_outputs)."""
        if issparse(y):  # with several outputs, scikit-learn accepts it
            raise TypeError(
                "Sparse data was passed for y, but dense data is required. Use "
                "'.toarray()' to convert to a dense numpy array."
            )
        if y.dtype.kind in "mM":
            raise TypeError(
                f"y has dtype {y.dtype}, expected numbers. Pass times as such, for "
                "example seconds since the first."
            )
        columns = y.reshape(len(y), -1).astype(np.float64)
        if np.isnan(columns).any():
            raise ValueError("Input y contains NaN.")
        if first:
            self._y_mean, variance = _mean_and_variance(columns, weights)
            self._y_scale = find_scale(self._y_mean, variance, "y")
            self._y_is_constant = is_constant(self._y_mean, variance)
        elif columns.shape[1] != self._n_outputs:
            raise ValueError(
                f"y has {columns.shape[1]} outputs, but {type(self).__name__} was "
                f"fitted on {self._n_outputs}."
            )
        self._y_is_1d = y.ndim == 1
        return (columns - self._y_mean) / self._y_scale

    def _train(self, samples, *args):
        """Train as others do; an output that varies by now is constant no more."""
        with np.errstate(over="ignore"):
            variance = np.mean((samples.targets * self._y_scale) ** 2, axis=0)
        self._y_is_constant = self._y_is_constant & is_constant(self._y_mean, variance)
        return super()._train(samples, *args)

    def _snapshot(self):
        return super()._snapshot(), self._y_is_constant

    def _restore(self, snapshot):
        rest, self._y_is_constant = snapshot
        super()._restore(rest)

    def _strata(self, targets):
        """Return None: what is held out is drawn from all samples alike."""
        return None

    def _score_outputs(self, outputs, targets, weights):
        """Return the coefficient of determination, no less of scaled outputs."""
        outputs = self._without_noise(outputs)
        return r2_score(targets, outputs, sample_weight=weights)

    def _without_noise(self, outputs):
        """Return outputs, 0 where all that was ever learnt is a constant."""
        return np.where(self._y_is_constant, 0, outputs)

    def predict(self, X):
        """Predict the value or values of each sample.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Samples of the shape that `fit` saw.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Values in the units of y, in the shape that y had.
        """
        outputs = self._without_noise(self._outputs(X))
        values = outputs * self._y_scale + self._y_mean
        return values[:, 0] if self._y_is_1d else values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _mean_and_variance(columns, weights):
    """Return weighted mean, that of equal values exactly theirs, and variance."""
    if weights is not None:
        columns, weights = columns[weights > 0], weights[weights > 0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(columns, axis=0, weights=weights)
        mean = np.clip(mean, columns.min(axis=0), columns.max(axis=0))
        variance = np.average((columns - mean) ** 2, axis=0, weights=weights)
    return mean, variance
