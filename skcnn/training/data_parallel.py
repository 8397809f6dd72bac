"""Data parallelism: each process computes the gradients of a part of each batch."""

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ..runtime import count_processes, process_index

FEWEST = 2  # samples of a part, so that batch norm finds a variance


class DataParallel:
    """A network whose gradients are averaged over processes.

    Parameters
    ----------
    module : torch.nn.Module
        Network, with the same weights in each process.
    """

    def __init__(self, module):
        self.n_parts = count_processes()
        self.index = process_index()
        self.module = DistributedDataParallel(module)

    def part(self, X, y):
        """Return the part of a batch that this process computes.

        The average over the processes of the loss of a part, times its factor, is the
        loss of the batch. Each process computes the whole of a very small batch.

        Parameters
        ----------
        X : torch.Tensor of shape (n, *sample_shape)
            Samples.

        y : torch.Tensor or tuple or list
            Targets, as `TrainingSet.take` returns them.

        Returns
        -------
        X, y
            Samples of the part and their targets.

        factor : float
            Factor of the mean loss of the part.
        """
        n = len(X)
        if n < FEWEST * self.n_parts:
            return X, y, 1.0
        start, stop = (n * i // self.n_parts for i in (self.index, self.index + 1))
        rows = slice(start, stop)
        return X[rows], _take(y, rows), self.n_parts * (stop - start) / n

    def end_epoch(self, losses):
        """Return the losses of batches; give all processes the buffers of the first.

        Parameters
        ----------
        losses : torch.Tensor of shape (n_batches,)
            Losses of the parts, times their factors.

        Returns
        -------
        torch.Tensor of shape (n_batches,)
            Average over the processes.
        """
        for buffer in self.module.buffers():
            distributed.broadcast(buffer, 0)
        distributed.all_reduce(losses)
        return losses / self.n_parts


def _take(y, rows):
    """Return the targets of some rows."""
    if isinstance(y, torch.Tensor):
        return y[rows]
    return type(y)(_take(part, rows) for part in y)
