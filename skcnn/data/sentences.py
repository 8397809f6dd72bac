"""Sentences as codes of words, which become batches of their own length."""

import copy

import numpy as np
import torch

from .reading import BatchReader
from .transfer import send

POOL = 50  # batches whose sentences are sorted by length together


class Sentences(BatchReader):
    """Codes of the words of sentences, read batch by batch.

    Batches are put together by NumPy, whose calls cost less than torch's where
    operations are this small.

    Parameters
    ----------
    codes : ndarray of shape (n_words,), of int32
        Codes of the words, sentence after sentence, all above 0.

    offsets : ndarray of shape (n_samples + 1,), of int64
        Where in `codes` each sentence begins, and the end of the last one.

    device : torch.device
        Where the batches are wanted.
    """

    index_device = torch.device("cpu")  # where batches are put together

    def __init__(self, codes, offsets, device):
        self.codes = codes
        self.offsets = offsets
        self.device = device
        self.rows = None

    def __len__(self):
        return len(self.offsets) - 1 if self.rows is None else len(self.rows)

    @property
    def lengths(self):
        """Number of words of each sentence, a torch.Tensor of shape (n_samples,)."""
        lengths = np.diff(self.offsets)
        return torch.from_numpy(lengths if self.rows is None else lengths[self.rows])

    def on(self, device):
        """Return the same sentences, to be read on another device.

        Parameters
        ----------
        device : torch.device
            Where the batches are wanted.

        Returns
        -------
        Sentences
            They share the codes.
        """
        view = copy.copy(self)
        view.device = device
        return view

    def subset(self, rows):
        """Return some of the sentences, which share the codes.

        Parameters
        ----------
        rows : ndarray of shape (n,) or None
            Positions among all sentences, None for all.

        Returns
        -------
        Sentences
            The chosen ones.
        """
        view = copy.copy(self)
        view.rows = rows
        return view

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : torch.Tensor of shape (n,) or slice
            Which sentences.

        Returns
        -------
        torch.Tensor of shape (n, length), of int64
            Codes, 0 after the last word; as long as the longest sentence, at
            least 1.
        """
        if isinstance(index, torch.Tensor):
            index = index.numpy()
        else:
            index = np.arange(len(self))[index]
        rows = index if self.rows is None else self.rows[index]
        starts = self.offsets[rows][:, None]
        lengths = self.offsets[rows + 1][:, None] - starts
        places = np.arange(max(1, lengths.max()))
        is_word = places < lengths  # (n, length)
        batch = np.zeros(is_word.shape, dtype=np.int64)
        batch[is_word] = self.codes[(starts + places)[is_word]]
        return send(torch.from_numpy(batch), self.device)

    @property
    def reading_order(self):
        """Sentences by length, a torch.Tensor of shape (n_samples,)."""
        return self.lengths.argsort(stable=True)

    def group(self, order, n_batches, generator):
        """Return batches of sentences that are about equally long.

        Parameters
        ----------
        order : torch.Tensor of shape (n_samples,)
            All sentences, shuffled. Some batches after each other are sorted by
            length together, so that sentences meet others in each pass.

        n_batches : int
            How many batches to make.

        generator : torch.Generator
            Where the order of the batches comes from.

        Returns
        -------
        list of torch.Tensor
            The sentences of each batch; sizes differ by at most 1.
        """
        lengths = self.lengths
        unsorted = torch.tensor_split(order, n_batches)
        batches = []
        for start in range(0, n_batches, POOL):
            pool = unsorted[start : start + POOL]
            chosen = torch.cat(pool)
            chosen = chosen[lengths[chosen].argsort(stable=True)]
            batches.extend(chosen.split([len(batch) for batch in pool]))
        numbers = torch.randperm(n_batches, generator=generator).tolist()
        return [batches[number] for number in numbers]
