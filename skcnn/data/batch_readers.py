"""Base class of batch readers, and batches of feature vectors."""

import copy

import torch


class BatchReader:
    """Base class of samples that are read batch by batch; subsets share them.

    A subclass defines `n_samples`, the number of all samples, and ``take(index)``, to
    return a batch. If `rows` is not None, `index` counts these rows only.
    """

    rows = None
    index_device = torch.device("cpu")

    def __len__(self):
        return self.n_samples if self.rows is None else len(self.rows)

    def subset(self, rows):
        """Return some of the samples, without copying them.

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
            Batch of these samples, as from `take`.
        """
        for index in indices:
            yield index, self.take(index)

    def n_batches(self, batch_size):
        """Return the number of batches of a training epoch.

        Parameters
        ----------
        batch_size : int
            Maximum size of a batch.

        Returns
        -------
        int
            Number of batches, the same in each epoch.
        """
        return count_batches(len(self), batch_size)

    def group(self, order, batch_size, generator):
        """Split shuffled samples into the batches of a training epoch.

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
            Positions of the samples of each batch; batches have nearly equal sizes.
        """
        return torch.tensor_split(order, self.n_batches(batch_size))


def count_batches(n_samples, batch_size):
    """Return the number of batches of nearly equal size, of at most `batch_size`.

    With ``batch_size=2`` a batch may have 3 samples, as batch norm cannot normalise a
    single sample.
    """
    if batch_size == 2 <= n_samples:
        return n_samples // 2
    return -(-n_samples // batch_size)


class FeatureVectors(BatchReader):
    """Feature vectors, read in batches like images.

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
            Features of the samples.
        """
        return self.values[index if self.rows is None else self.rows[index]]
