"""Convolutional network for sentences (Kim, 2014)."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .building_blocks import Dropout, Layers
from .stored_network import note_recipe

VECTOR_RANGE = 0.25  # of random word vectors, as in the paper
# Products of fewer rows are rounded differently, so the outputs of a sentence would
# depend on the other sentences of its batch.
ROWS = 4
# Sets of word vectors of each mode: learnt, or kept fixed.
CHANNELS = {
    "rand": ("learnt",),
    "static": ("kept",),
    "non-static": ("learnt",),
    "multichannel": ("learnt", "kept"),
}


class TextCNN(Layers):
    """Convolutional network for sentences.

    Features of sentences are followed by dropout and a linear layer. Words are encoded
    as integers: 0 stands for no word, 1 for an unknown word.

    Parameters
    ----------
    n_words : int
        Number of codes, including 0 and 1.

    n_outputs : int
        Number of outputs per sentence.

    embedding_dim : int, default=300
        Length of a random word vector; ignored if `vectors` are given.

    filter_sizes : sequence of int, default=(3, 4, 5)
        Lengths of the filters, in words.

    n_filters : int, default=100
        Number of filters of each length.

    dropout : float, default=0.5
        Probability that a feature is set to zero in a training step, in [0, 1).

    max_norm : float or None, default=3
        Maximum L2 norm of the weights of an output. Weights with a larger norm are
        rescaled after each training step.

    mode : {"rand", "static", "non-static", "multichannel"}, default="rand"
        Word vectors: "rand", random and learnt; "static", `vectors`, kept fixed;
        "non-static", `vectors`, learnt; "multichannel", the sum of the last two.

    vectors : torch.Tensor of shape (n_words, embedding_dim) or None, default=None
        Word vectors by code; random if None.

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
        options = {
            "embedding_dim": vectors.shape[1],
            "filter_sizes": tuple(map(int, filter_sizes)),
            "n_filters": n_filters,
            "dropout": dropout,
            "max_norm": max_norm,
            "mode": mode,
        }
        note_recipe(self, TextArchitecture(n_words, n_outputs, options))

    @torch.no_grad()
    def after_step(self):
        """Rescale the weights of outputs whose norm is larger than `max_norm`."""
        if self.max_norm is not None:
            weight = self.output.weight
            norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
            weight.mul_((self.max_norm / norms).clamp_(max=1))


@dataclass(frozen=True)
class TextArchitecture:
    """Recipe of a :class:`TextCNN`.

    Parameters
    ----------
    n_words, n_outputs, options
        Arguments of :class:`TextCNN`.
    """

    n_words: int
    n_outputs: int
    options: dict

    def build(self):
        """Return the network, with random weights."""
        return TextCNN(self.n_words, self.n_outputs, **self.options)


class SentenceFeatures(nn.Module):
    """Word vectors, filters over windows of words, and their largest responses.

    The largest response of a filter over all windows of a sentence is a feature.
    Windows extend over both ends of the sentence by all but one word, so sentences
    shorter than a filter have windows, too. Features of an empty sentence are zeros.

    Parameters
    ----------
    vectors : torch.Tensor of shape (n_words, embedding_dim)
        Word vectors by code. The vectors of codes 0 (no word) and 1 (unknown words)
        start as zeros; only the latter can be learnt.

    channels : sequence of {"learnt", "kept"}
        Sets of word vectors.

    filter_sizes : sequence of int
        Lengths of the filters, in words.

    n_filters : int
        Number of filters of each length.
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

    def strongest_windows(self, codes):
        """Return the window of words with the largest response of each filter.

        Parameters
        ----------
        codes : torch.Tensor of shape (n, length), of int64
            Word codes of the sentences, padded with 0.

        Returns
        -------
        list of torch.Tensor of shape (n, n_filters, size)
            Codes of the words for each filter size, 0 for no word.
        """
        words, vectors, positions = self._look_up(codes)
        sizes, lengths = self.filters.sizes, (codes > 0).sum(1, keepdim=True)
        strongest = []
        for size, where in zip(
            sizes, self.filters.places(vectors, positions, lengths), strict=True
        ):
            windows = words[windows_of(positions, max(sizes), size)]
            index = where.unsqueeze(2).expand(-1, -1, size)
            strongest.append(windows.gather(1, index))
        return strongest

    def _look_up(self, codes):
        """Return the distinct words, their vectors, and indices of words at positions.

        Each distinct word is looked up once, so its responses are computed once and
        its gradient is complete. Sentences are padded with the code 0 at both ends.
        """
        margin = max(self.filters.sizes) - 1
        codes = F.pad(codes, (margin, margin))
        words, positions = codes.unique(return_inverse=True)
        vectors = sum(layer(words) for layer in self.embeddings.values())
        if len(words) < ROWS:
            vectors = F.pad(vectors, (0, 0, 0, ROWS - len(words)))
        return words, vectors, positions

    def responses(self, codes, index):
        """Return the rectified response of one filter to each window of words.

        Parameters
        ----------
        codes : torch.Tensor of shape (n, length), of int64
            Word codes of the sentences, padded with 0.

        index : int
            Column of the filter in the features.

        Returns
        -------
        windows : torch.Tensor of shape (n, length + size - 1, size)
            Codes of the words, 0 for no word. The first window ends with the first
            word; windows that begin after the last word are zeros.

        responses : torch.Tensor of shape (n, length + size - 1)
            Responses of the filter to the windows.
        """
        words, vectors, positions = self._look_up(codes)
        weight, bias = self.filters.one(index)  # (size, embedding_dim), ()
        windows = windows_of(positions, max(self.filters.sizes), len(weight))
        places = torch.arange(len(weight), device=codes.device)
        sums = (vectors @ weight.T)[windows, places].sum(2)
        return words[windows], F.relu(sums + bias)


def make_embedding(vectors, is_kept):
    """Return an embedding layer, with a sparse gradient if it is learnt."""
    vectors = vectors.clone()
    vectors[:2] = 0  # no word, and unknown words
    return nn.Embedding.from_pretrained(
        vectors, freeze=is_kept, padding_idx=0, sparse=not is_kept
    )


class WindowFilters(nn.Module):
    """Filters over windows of words, and their largest responses.

    One matrix product computes the products of all words with all positions of all
    filters; a response is their sum over the positions of a filter.

    Parameters
    ----------
    sizes : sequence of int
        Lengths of the filters, in words.

    n_filters : int
        Number of filters of each length.

    embedding_dim : int
        Length of a word vector.
    """

    def __init__(self, sizes, n_filters, embedding_dim):
        super().__init__()
        self.sizes = tuple(sizes)
        weights, biases = [], []
        for size in sizes:
            bound = (size * embedding_dim) ** -0.5  # as in torch's convolutions
            shape = size, n_filters, embedding_dim
            weights.append(torch.empty(shape).uniform_(-bound, bound))
            biases.append(torch.empty(n_filters).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.cat(weights))
        self.bias = nn.Parameter(torch.cat(biases))

    def forward(self, vectors, positions, lengths):
        """Map ``(n_words, embedding_dim)`` to ``(n, len(sizes) * n_filters)``."""
        table, rows = self._products(vectors, positions)
        return F.relu(LargestSums.apply(table, rows, lengths, self.sizes) + self.bias)

    def places(self, vectors, positions, lengths):
        """Return indices of the strongest windows, (n, n_filters) for each size."""
        table, rows = self._products(vectors, positions)
        return [where for *_, where in largest_sums(table, rows, lengths, self.sizes)]

    def _products(self, vectors, positions):
        """Return products of words and filter positions, and first rows of words."""
        n_places, n_filters, _ = self.weight.shape
        table = F.linear(vectors, self.weight.flatten(0, 1)).to(vectors.dtype)
        return table.view(-1, n_filters), positions * n_places

    def one(self, index):
        """Return the weight, ``(size, embedding_dim)``, and bias of a filter."""
        number, column = divmod(index, self.weight.shape[1])
        weight = self.weight.split(self.sizes)[number]
        return weight[:, column], self.bias[index]


def windows_of(values, margin_size, size):
    """Return all windows of one size; the first window ends with the first word.

    From ``(n, margin + length + margin)``, with margins for windows of
    `margin_size`, to ``(n, length + size - 1, size)``.
    """
    spare = margin_size - size
    return values[:, spare : values.shape[1] - spare].unfold(1, size, 1)


class LargestSums(torch.autograd.Function):
    """Largest sums of table rows over windows."""

    @staticmethod
    def forward(ctx, table, rows, lengths, sizes):
        """Return ``(n, len(sizes) * n_filters)``.

        The sum of a window adds the rows of its words for their positions in the
        window. Windows that begin after the last word are ignored.
        """
        sums = largest_sums(table, rows, lengths, sizes)
        largest, windows, places = zip(*sums, strict=True)
        ctx.save_for_backward(*windows, *places)
        ctx.shape = table.shape
        return torch.cat(largest, 1)

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradient of the table, from the largest sums only."""
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


def largest_sums(table, rows, lengths, sizes):
    """Yield largest sums, rows of all windows, and strongest windows for each size."""
    first = 0
    for size in sizes:
        members = torch.arange(first, first + size, device=rows.device)
        members = windows_of(rows, max(sizes), size) + members
        sums = sum_rows(table, members)  # (n, n_windows, n_filters)
        numbers = torch.arange(sums.shape[1], device=rows.device)
        beyond = (numbers >= lengths + (size - 1)).unsqueeze(2)
        sums.masked_fill_(beyond, torch.finfo(sums.dtype).min)
        largest, where = largest_of(sums)
        yield largest, members, where
        first += size


def sum_rows(table, members):
    """Return sums of rows of a table, ``(*shape, n_columns)`` for ``(*shape, k)``."""
    sums = F.embedding_bag(members.flatten(0, -2), table, mode="sum")
    return sums.view(*members.shape[:-1], -1)


def largest_of(sums):
    """Return the maxima over the second of three axes, and their positions."""
    # max pooling with channels last in memory is faster than max()
    maps = sums.unsqueeze(1).permute(0, 3, 1, 2)
    largest, where = F.max_pool2d(maps, maps.shape[2:], return_indices=True)
    return largest.flatten(1), where.flatten(1)
