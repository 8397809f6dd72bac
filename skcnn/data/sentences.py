"""Batches of sentences, encoded as codes of words."""

import copy

import numpy as np
import torch

from .batch_readers import BatchReader, count_batches
from .device_transfer import send

POOL = 50  # batches whose sentences are sorted by length together
# Maximum number of sentences times length of the longest in a batch of several; the
# network computes about a kilobyte for each place.
MAX_PLACES = 2**18


class Sentences(BatchReader):
    """Sentences as codes of words, read batch by batch.

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

    def arrays(self):
        """Return the codes and offsets of the chosen sentences.

        Returns
        -------
        codes : ndarray of shape (n_words,), of int32
            Codes of the words.

        offsets : ndarray of shape (n_samples + 1,), of int64
            Position at which each sentence begins, and the end of the last one.
        """
        if self.rows is None:
            return self.codes, self.offsets
        rows = self.rows.numpy()
        parts = map(slice, self.offsets[rows], self.offsets[rows + 1])
        codes = np.concatenate([self.codes[part] for part in parts])
        return codes, np.cumsum([0, *self.lengths.tolist()])

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : torch.Tensor of shape (n,) or slice
            Positions of the sentences.

        Returns
        -------
        torch.Tensor of shape (n, length), of int64
            Codes, padded with 0 to the length of the longest sentence, at least 1.
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
        is_long = self._are_long(batch_size)
        n_short = len(self) - int(is_long.sum())
        n_long = len(self._bounded(is_long.nonzero().flatten(), batch_size))
        return count_batches(n_short, batch_size) + n_long

    def group(self, order, batch_size, generator):
        """Split sentences into training batches of similar lengths.

        Sentences are sorted by length within groups of 50 batches, so that batches
        differ from epoch to epoch. Batches of very long sentences are smaller.

        Parameters
        ----------
        order : torch.Tensor of shape (n_samples,)
            Positions of all sentences, shuffled.

        batch_size : int
            Maximum size of a batch.

        generator : torch.Generator
            Source of random numbers for the order of the batches.

        Returns
        -------
        list of torch.Tensor
            Positions of the sentences of each batch.
        """
        is_long = self._are_long(batch_size)[order]
        short, lengths = order[~is_long], self.lengths
        batches = self._bounded(order[is_long], batch_size)
        unsorted = short.tensor_split(max(1, count_batches(len(short), batch_size)))
        for start in range(0, len(unsorted) if len(short) else 0, POOL):
            pool = unsorted[start : start + POOL]
            chosen = torch.cat(pool)
            chosen = chosen[lengths[chosen].argsort(stable=True)]
            batches.extend(chosen.split([len(batch) for batch in pool]))
        numbers = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[number] for number in numbers]

    def reading_batches(self, batch_size):
        """Split sentences into batches of similar lengths, the longest first.

        Parameters
        ----------
        batch_size : int
            Maximum size of a batch; batches of long sentences are smaller.

        Returns
        -------
        list of torch.Tensor
            Positions of the sentences of each batch.
        """
        return self._bounded(torch.arange(len(self)), batch_size)

    def _are_long(self, batch_size):
        """Return which sentences are too long for a batch of full size."""
        return self.lengths * batch_size > MAX_PLACES

    def _bounded(self, positions, batch_size):
        """Return batches of at most `MAX_PLACES` places, or of a single sentence."""
        lengths = self.lengths[positions]
        positions = positions[lengths.argsort(descending=True, stable=True)]
        batches = []
        while len(positions):
            longest = max(1, int(self.lengths[positions[0]]))
            size = max(1, min(batch_size, MAX_PLACES // longest))
            batches.append(positions[:size])
            positions = positions[size:]
        return batches
