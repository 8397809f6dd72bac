"""Targets of regressors: values, standardised for the network."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from ..data import find_scale, is_constant


class ScaledTargetMixin:
    """Mixin with the learnt scale of y."""

    @property
    def y_mean_(self):
        """Mean of each output of y in the first fit."""
        check_is_fitted(self)
        return self._targets.mean

    @property
    def y_scale_(self):
        """Standard deviation of each output of y in the first fit, 1 if constant."""
        check_is_fitted(self)
        return self._targets.scale


@dataclass(frozen=True)
class ValueTargets:
    """Standardisation of y for the network, and its inverse.

    Parameters
    ----------
    owner : str
        Name of the estimator, for messages.

    mean, scale : ndarray of shape (n_outputs,)
        Mean and scale of y in the first call of `fit` or `partial_fit`.

    is_constant : ndarray of shape (n_outputs,), of bool
        Whether each output has been constant so far.

    is_1d : bool
        Whether the last y was one-dimensional.
    """

    owner: str
    mean: np.ndarray
    scale: np.ndarray
    is_constant: np.ndarray
    is_1d: bool

    multi_output = True
    criterion = torch.nn.MSELoss
    criterion_parameters = ()

    @staticmethod
    def checks(y):
        """Return options of scikit-learn's validation of y."""
        return {"multi_output": True, "y_numeric": True}

    @classmethod
    def learn(cls, estimator, y, weights):
        """Learn the mean and the scale of y."""
        mean, variance = _mean_and_variance(_as_columns(y), weights)
        scale = find_scale(mean, variance, "y")
        constant = is_constant(mean, variance)
        return cls(type(estimator).__name__, mean, scale, constant, y.ndim == 1)

    def update(self, y, weights):
        """Return updated targets: constant outputs, and the shape of y."""
        columns = self._check_width(_as_columns(y))
        _, variance = _mean_and_variance(columns, weights, self.mean)
        constant = self.is_constant & is_constant(self.mean, variance)
        return replace(self, is_constant=constant, is_1d=y.ndim == 1)

    @property
    def n_outputs(self):
        """Number of outputs of the network."""
        return len(self.mean)

    def encode(self, y):
        """Return y standardised, (n_samples, n_outputs)."""
        return (self._check_width(_as_columns(y)) - self.mean) / self.scale

    def _check_width(self, columns):
        if columns.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {columns.shape[1]} outputs, but {self.owner} was fitted on "
                f"{self.n_outputs}."
            )
        return columns

    def strata(self, targets):
        """Return None: samples are held out at random."""
        return None

    def score(self, outputs, targets, weights):
        """Return the coefficient of determination."""
        return r2_score(targets, self._steady(outputs), sample_weight=weights)

    def _steady(self, outputs):
        """Return network outputs, 0 if y has been constant so far."""
        return np.where(self.is_constant, 0, outputs)

    def labels(self, targets):
        """Return standardised targets in the unit and the shape of y."""
        values = targets * self.scale + self.mean
        return values[:, 0] if self.is_1d else values

    def decode(self, outputs):
        """Return values in the unit and the shape of y."""
        return self.labels(self._steady(outputs))


def _as_columns(y):
    """Return y as an array of float64, (n_samples, n_outputs)."""
    if issparse(y):  # scikit-learn accepts it for several outputs
        raise TypeError(
            "Sparse data was passed for y, but dense data is required. Use "
            "'.toarray()' to convert to a dense numpy array."
        )
    if y.dtype.kind in "mM":
        raise TypeError(
            f"y has dtype {y.dtype}, expected numbers. Convert times to numbers, for "
            "example to seconds."
        )
    columns = y.reshape(len(y), -1).astype(np.float64)
    if np.isnan(columns).any():
        raise ValueError("Input y contains NaN.")
    return columns


def _mean_and_variance(columns, weights, mean=None):
    """Return the weighted mean, exact for constant values, and the variance."""
    if weights is not None:
        columns, weights = columns[weights > 0], weights[weights > 0]
    with np.errstate(over="ignore", invalid="ignore"):
        if mean is None:
            mean = np.average(columns, axis=0, weights=weights)
            mean = np.clip(mean, columns.min(axis=0), columns.max(axis=0))
        variance = np.average((columns - mean) ** 2, axis=0, weights=weights)
    return mean, variance
