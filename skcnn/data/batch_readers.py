"""Readers of batches: their base class, and feature vectors."""

import copy

import torch


class BatchReader:
    """Samples that are read batch by batch; subsets share them.

    A subclass has the number of its samples, `n_samples`, and a method ``take(index)``
    that returns a batch, of the samples at `rows` if that is not None.
    """

    rows = None
    index_device = torch.device("cpu")

    def __len__(self):
        return self.n_samples if self.rows is None else len(self.rows)

    def subset(self, rows):
        """Return some of the samples, which are not copied.

        Parameters
        ----------
        rows : ndarray of shape (n,) or None
            Positions among all samples; None for all.

        Returns
        -------
        BatchReader
            The chosen samples.
        """
        view = copy.copy(self)
        if rows is not None:
            rows = torch.as_tensor(rows, device=self.index_device)
        view.rows = rows
        return view

    def batches(self, indices):
        """Yield batches.

        Parameters
        ----------
        indices : iterable of slice, torch.Tensor or ndarray
            Positions of the samples of each batch.

        Yields
        ------
        index : slice, torch.Tensor or ndarray
            Positions of the samples.

        batch : torch.Tensor
            Batch that `take` returns for them.
        """
        for index in indices:
            yield index, self.take(index)

    def n_batches(self, batch_size):
        """Return the number of batches of a pass in training.

        Parameters
        ----------
        batch_size : int
            Maximum size of a batch.

        Returns
        -------
        int
            Number of batches, the same in each pass.
        """
        return count_batches(len(self), batch_size)

    def group(self, order, batch_size, generator):
        """Return the samples of each batch of a pass in training.

        Parameters
        ----------
        order : torch.Tensor of shape (n_samples,)
            Positions of all samples, shuffled.

        batch_size : int
            Maximum size of a batch.

        generator : torch.Generator
            Source of random numbers.

        Returns
        -------
        sequence of torch.Tensor
            Positions of the samples of each batch, in nearly equal numbers.
        """
        return torch.tensor_split(order, self.n_batches(batch_size))


def count_batches(n_samples, batch_size):
    """Return the number of batches of nearly equal size, of at most `batch_size`.

    If it is 2, a batch may have 3 samples, as batch norm cannot normalise a single
    sample.
    """
    if batch_size == 2 <= n_samples:
        return n_samples // 2
    return -(-n_samples // batch_size)


class FeatureVectors(BatchReader):
    """Rows of features, which are trained on like images.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_features)
        Features.

    device : torch.device
        Device of the batches.

    dtype : torch.dtype
        Dtype of the batches.
    """

    def __init__(self, values, device, dtype):
        self.values = torch.as_tensor(values).to(device, dtype)
        self.n_samples = len(values)
        self.device = self.index_device = device

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : slice or torch.Tensor
            Positions of the samples.

        Returns
        -------
        torch.Tensor of shape (n, n_features)
            Their features.
        """
        return self.values[index if self.rows is None else self.rows[index]]
