"""Rows of numbers in the place of images."""

import copy

import torch

from .reading import BatchReader


class Rows(BatchReader):
    """Features that are trained on like images.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_features)
        The features.

    device : torch.device
        Where the batches are wanted.

    dtype : torch.dtype
        Of the batches.
    """

    def __init__(self, values, device, dtype):
        self.values = torch.as_tensor(values).to(device, dtype)
        self.device = device
        self.rows = None

    def __len__(self):
        return len(self.values if self.rows is None else self.rows)

    def subset(self, rows):
        """Return some rows of the whole.

        Parameters
        ----------
        rows : ndarray of shape (n,) or None
            Positions in `values`, None for all.

        Returns
        -------
        Rows
            The chosen ones.
        """
        view = copy.copy(self)
        view.rows = None
        if rows is not None:
            view.rows = torch.as_tensor(rows, device=self.device)
        return view

    @property
    def index_device(self):
        """Device on which nothing waits for what chooses samples."""
        return self.device

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : slice or torch.Tensor
            Which rows.

        Returns
        -------
        torch.Tensor of shape (n, n_features)
            The rows on the device.
        """
        if self.rows is not None:
            index = self.rows[index]
        return self.values[index]
