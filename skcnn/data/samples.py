"""Validated samples with their targets and weights."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Samples:
    """Rows of an array, what is to be learnt about them and how much they weigh.

    Parameters
    ----------
    X : ndarray of shape (n, *sample_shape)
        Images.

    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or values of the rows.

    weights : ndarray of shape (n_samples,) or None
        Weights of the rows.

    rows : ndarray of shape (n_samples,) or None, default=None
        The rows of X that are meant, None for all.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray | None = None

    def __len__(self):
        return len(self.targets)

    def take(self, index):
        """Return some of the samples, of the same array.

        Parameters
        ----------
        index : ndarray of shape (n,)
            Positions among the samples.

        Returns
        -------
        Samples
            The chosen ones, their weights with a mean of 1.
        """
        weights = self.weights
        if weights is not None:
            weights = weights[index] / weights[index].mean()
        rows = index if self.rows is None else self.rows[index]
        return replace(self, targets=self.targets[index], weights=weights, rows=rows)
