"""Batches of sentences, as codes of words."""

import copy

import numpy as np
import torch

from .batch_readers import BatchReader
from .device_transfer import send

POOL = 50  # batches whose sentences are sorted by length together


class Sentences(BatchReader):
    """Codes of the words of sentences, read batch by batch.

    Batches are assembled by NumPy, which is faster than torch at operations of this
    size.

    Parameters
    ----------
    codes : ndarray of shape (n_words,), of int32
        Codes of the words, sentence after sentence, all above 0.

    offsets : ndarray of shape (n_samples + 1,), of int64
        Position in `codes` at which each sentence begins, and the end of the last
        one.

    device : torch.device
        Device of the batches.
    """

    def __init__(self, codes, offsets, device):
        self.codes = codes
        self.offsets = offsets
        self.device = device
        self.n_samples = len(offsets) - 1

    @property
    def lengths(self):
        """Number of words of each sentence, a torch.Tensor of shape (n_samples,)."""
        lengths = torch.from_numpy(np.diff(self.offsets))
        return lengths if self.rows is None else lengths[self.rows]

    def on(self, device):
        """Return the same sentences, with batches on another device.

        Parameters
        ----------
        device : torch.device
            Device of the batches.

        Returns
        -------
        Sentences
            Sentences that share the codes.
        """
        view = copy.copy(self)
        view.device = device
        return view

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : torch.Tensor of shape (n,) or slice
            Positions of the sentences.

        Returns
        -------
        torch.Tensor of shape (n, length), of int64
            Codes, 0 after the last word. The length is that of the longest sentence,
            at least 1.
        """
        rows = torch.arange(self.n_samples) if self.rows is None else self.rows
        rows = rows[index].numpy()
        starts = self.offsets[rows][:, None]
        lengths = self.offsets[rows + 1][:, None] - starts
        places = np.arange(max(1, lengths.max()))
        is_word = places < lengths  # (n, length)
        batch = np.zeros(is_word.shape, dtype=np.int64)
        batch[is_word] = self.codes[(starts + places)[is_word]]
        return send(torch.from_numpy(batch), self.device)

    @property
    def reading_order(self):
        """Positions of the sentences, sorted by length, a torch.Tensor."""
        return self.lengths.argsort(stable=True)

    def group(self, order, n_batches, generator):
        """Return batches of sentences of about equal lengths.

        Parameters
        ----------
        order : torch.Tensor of shape (n_samples,)
            Positions of all sentences, shuffled. The sentences of some consecutive
            batches are sorted by length together, so that the composition of batches
            differs from pass to pass.

        n_batches : int
            Number of batches.

        generator : torch.Generator
            Source of the order of the batches.

        Returns
        -------
        list of torch.Tensor
            Positions of the sentences of each batch; sizes differ by at most 1.
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
