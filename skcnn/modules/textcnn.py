"""The convolutional network for sentences of Kim (2014)."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from .dropout import Dropout
from .layers import Layers

VECTOR_RANGE = 0.25  # of random word vectors, as in the paper
# Products of fewer rows are computed in another way, and a sentence's outputs would
# depend on whether there are others.
ROWS = 4
# By mode, which sets of word vectors there are: learnt ones, or kept as given.
CHANNELS = {
    "rand": ("learnt",),
    "static": ("kept",),
    "non-static": ("learnt",),
    "multichannel": ("learnt", "kept"),
}


class TextCNN(Layers):
    """Features of sentences, dropout, a linear layer.

    Words are numbered: 0 stands for no word, 1 for an unknown one.

    Parameters
    ----------
    n_words : int
        Number of different codes, 0 and 1 included.

    n_outputs : int
        Number of values returned for a sentence.

    embedding_dim : int, default=300
        Length of a word vector. Given vectors have their own.

    filter_sizes : sequence of int, default=(3, 4, 5)
        How many words the windows have.

    n_filters : int, default=100
        Number of filters of each size.

    dropout : float, default=0.5
        Probability, in [0, 1), that a feature is left out of a training step.

    max_norm : float or None, default=3
        What the L2 norm of the weights of an output is brought back to after a
        step where it is larger.

    mode : {"rand", "static", "non-static", "multichannel"}, default="rand"
        Whether word vectors are random and learnt, given and kept, given and
        learnt, or both of the latter, in which case the responses to the two
        vectors of a word are added.

    vectors : torch.Tensor of shape (n_words, embedding_dim) or None, default=None
        Word vectors by code; None draws them.

    References
    ----------
    Y. Kim, "Convolutional neural networks for sentence classification", EMNLP
    2014.
    """

    def __init__(
        self,
        n_words,
        n_outputs,
        *,
        embedding_dim=300,
        filter_sizes=(3, 4, 5),
        n_filters=100,
        dropout=0.5,
        max_norm=3,
        mode="rand",
        vectors=None,
    ):
        if vectors is None:
            shape = n_words, embedding_dim
            vectors = torch.empty(shape).uniform_(-VECTOR_RANGE, VECTOR_RANGE)
        layers = {
            "features": SentenceFeatures(
                vectors, CHANNELS[mode], filter_sizes, n_filters
            ),
            "dropout": Dropout(dropout),
            "output": nn.Linear(n_filters * len(filter_sizes), n_outputs),
        }
        super().__init__(OrderedDict(layers))
        self.max_norm = max_norm

    @torch.no_grad()
    def after_step(self):
        """Bring the weights of each output back to a norm of `max_norm`."""
        if self.max_norm is not None:
            weight = self.output.weight
            norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
            weight.mul_((self.max_norm / norms).clamp_(max=1))


class SentenceFeatures(nn.Module):
    """Word vectors, filters over windows of words, and their maxima.

    Each filter responds to each window of so many words; the largest of its
    responses in a sentence is a feature of the sentence. Windows reach over both
    ends of the sentence by all but one word, so that there are windows in
    sentences that are shorter than a filter. A sentence without words has zeros
    as its features.

    Parameters
    ----------
    vectors : torch.Tensor of shape (n_words, embedding_dim)
        Word vectors by code. Those of 0, which is no word, and of 1, which stands for
        unknown words, are taken as zeros; the latter may be learnt.

    channels : sequence of {"learnt", "kept"}
        The sets of word vectors.

    filter_sizes : sequence of int
        How many words the windows have.

    n_filters : int
        Number of filters of each size.
    """

    def __init__(self, vectors, channels, filter_sizes, n_filters):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {kind: make_embedding(vectors, kind == "kept") for kind in channels}
        )
        self.filters = WindowFilters(filter_sizes, n_filters, vectors.shape[1])

    def forward(self, codes):
        """Map ``(n, length)`` to ``(n, len(filter_sizes) * n_filters)``."""
        _, vectors, positions = self._look_up(codes)
        lengths = (codes > 0).sum(1, keepdim=True)
        return self.filters(vectors, positions, lengths) * (lengths > 0)

    def _look_up(self, codes):
        """Return the words that occur, their vectors, and which word is where.

        Each word is taken once: what filters make of it need not be computed
        again, and its gradient is complete. Around the sentences there is no word.
        """
        margin = max(self.filters.sizes) - 1
        codes = F.pad(codes, (margin, margin))
        words, positions = codes.unique(return_inverse=True)
        vectors = sum(layer(words) for layer in self.embeddings.values())
        if len(words) < ROWS:
            vectors = F.pad(vectors, (0, 0, 0, ROWS - len(words)))
        return words, vectors, positions

    def responses(self, codes, index):
        """Return what one filter makes of each window of words, rectified.

        Parameters
        ----------
        codes : torch.Tensor of shape (n, length), of int64
            Words of the sentences, 0 after the last one.

        index : int
            Which filter, as in the columns of the features.

        Returns
        -------
        windows : torch.Tensor of shape (n, length + size - 1, size)
            Codes of the words, 0 where there is none; the first window ends with
            the first word, and those that begin beyond the last one have none.

        responses : torch.Tensor of shape (n, length + size - 1)
            What the filter makes of the windows.
        """
        words, vectors, positions = self._look_up(codes)
        weight, bias = self.filters.one(index)  # (size, embedding_dim), ()
        windows = windows_of(positions, max(self.filters.sizes), len(weight))
        places = torch.arange(len(weight), device=codes.device)
        sums = (vectors @ weight.T)[windows, places].sum(2)
        return words[windows], F.relu(sums + bias)


def make_embedding(vectors, is_kept):
    """Return a layer of word vectors whose gradient has the rows that occur."""
    vectors = vectors.clone()
    vectors[:2] = (
        0  # no word, and unknown words, which say nothing unless they learn to
    )
    return nn.Embedding.from_pretrained(
        vectors, freeze=is_kept, padding_idx=0, sparse=not is_kept
    )


class WindowFilters(nn.Module):
    """Filters over windows of words, and their largest responses.

    What all places of all filters make of the words is one product; a response is
    a sum over the places of a filter.

    Parameters
    ----------
    sizes : sequence of int
        How many words the windows have.

    n_filters : int
        Number of filters of each size.

    embedding_dim : int
        Length of a word vector.
    """

    def __init__(self, sizes, n_filters, embedding_dim):
        super().__init__()
        self.sizes = tuple(sizes)
        weights, biases = [], []
        for size in sizes:
            bound = (size * embedding_dim) ** -0.5  # as torch's convolutions have it
            shape = size, n_filters, embedding_dim
            weights.append(torch.empty(shape).uniform_(-bound, bound))
            biases.append(torch.empty(n_filters).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.cat(weights))
        self.bias = nn.Parameter(torch.cat(biases))

    def forward(self, vectors, positions, lengths):
        """Map ``(n_words, embedding_dim)`` to ``(n, len(sizes) * n_filters)``."""
        n_places, n_filters, _ = self.weight.shape
        table = F.linear(vectors, self.weight.flatten(0, 1)).to(vectors.dtype)
        table = table.view(-1, n_filters)  # (n_words * n_places, n_filters)
        rows = positions * n_places
        return F.relu(LargestSums.apply(table, rows, lengths, self.sizes) + self.bias)

    def one(self, index):
        """Return weight and bias of a filter.

        Parameters
        ----------
        index : int
            Which filter, as in the columns of the responses.

        Returns
        -------
        weight : torch.Tensor of shape (size, embedding_dim)
            By place in a window.

        bias : torch.Tensor of shape ()
            Added to the sum over the places.
        """
        number, column = divmod(index, self.weight.shape[1])
        weight = self.weight.split(self.sizes)[number]
        return weight[:, column], self.bias[index]


def windows_of(values, margin_size, size):
    """Return the windows of sentences with margins for windows of another size.

    Parameters
    ----------
    values : torch.Tensor of shape (n, margin + length + margin)
        What there is for each word, and around the sentences.

    margin_size : int
        Size of the windows that the margins, of one less, are made for.

    size : int
        Size of the windows, at most `margin_size`.

    Returns
    -------
    torch.Tensor of shape (n, length + size - 1, size)
        The first window ends with the first word.
    """
    spare = margin_size - size
    return values[:, spare : values.shape[1] - spare].unfold(1, size, 1)


class LargestSums(torch.autograd.Function):
    """The largest sums, over windows, of rows of a table."""

    @staticmethod
    def forward(ctx, table, rows, lengths, sizes):
        """Return ``(n, len(sizes) * n_filters)``.

        A window takes, of the words in it, the rows for the places of its size.
        Windows that begin beyond the last word do not count.
        """
        first, windows, places = 0, [], []
        largest = []
        for size in sizes:
            members = torch.arange(first, first + size, device=rows.device)
            members = windows_of(rows, max(sizes), size) + members
            sums = sum_rows(table, members)  # (n, n_windows, n_filters)
            numbers = torch.arange(sums.shape[1], device=rows.device)
            beyond = (numbers >= lengths + (size - 1)).unsqueeze(2)
            sums.masked_fill_(beyond, torch.finfo(sums.dtype).min)
            values, where = largest_of(sums)
            largest.append(values)
            windows.append(members)
            places.append(where)
            first += size
        ctx.save_for_backward(*windows, *places)
        ctx.shape = table.shape
        return torch.cat(largest, 1)

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradient of the table: all of it is in the largest sums."""
        n_filters = ctx.shape[1]
        saved = ctx.saved_tensors
        table = gradient.new_zeros(ctx.shape).flatten()
        columns = torch.arange(n_filters, device=gradient.device).unsqueeze(1)
        half = len(saved) // 2
        parts = gradient.split(n_filters, 1)
        for windows, where, part in zip(saved[:half], saved[half:], parts, strict=True):
            shape = *part.shape, windows.shape[2]
            rows = windows.gather(1, where.unsqueeze(2).expand(shape))
            index = (rows * n_filters).add_(columns).flatten()
            table.scatter_add_(0, index, part.unsqueeze(2).expand(shape).flatten())
        return table.view(ctx.shape), None, None, None


def sum_rows(table, members):
    """Return sums of rows of a table, ``(*shape, n_columns)`` for ``(*shape, k)``."""
    sums = F.embedding_bag(members.flatten(0, -2), table, mode="sum")
    return sums.view(*members.shape[:-1], -1)


def largest_of(sums):
    """Return the maxima over the second of three axes, and where they are."""
    # pooling of maps whose channels are last in memory; max() takes longer
    maps = sums.unsqueeze(1).permute(0, 3, 1, 2)
    largest, where = F.max_pool2d(maps, maps.shape[2:], return_indices=True)
    return largest.flatten(1), where.flatten(1)
