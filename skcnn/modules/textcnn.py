"""The convolutional network for sentences of Kim (2014)."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from .dropout import Dropout
from .layers import Layers

VECTOR_RANGE = 0.25  # of random word vectors, as in the paper
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
        Word vectors by code. That of 0, which is no word, is taken as zeros.

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
        self.filters = nn.ModuleList(
            WindowFilters(size, n_filters, vectors.shape[1]) for size in filter_sizes
        )

    def forward(self, codes):
        """Map ``(n, length)`` to ``(n, len(filter_sizes) * n_filters)``."""
        _, vectors, positions = self._look_up(codes)
        lengths = (codes > 0).sum(1, keepdim=True)
        pooled = [
            filters(vectors, filters.windows(positions, lengths))
            for filters in self.filters
        ]
        return torch.cat(pooled, 1) * (lengths > 0)

    def _look_up(self, codes):
        """Return the words that occur, their vectors, and which word is where.

        Each word is taken once: what filters make of it need not be computed
        again, and its gradient is complete. The first one is no word.
        """
        words, positions = F.pad(codes, (1, 1)).unique(return_inverse=True)
        vectors = sum(layer(words) for layer in self.embeddings.values())
        return words, vectors, positions[:, 1:-1]

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
            Codes of the words, the first window ending with the first word.
            Windows beyond the last word are like the last one.

        responses : torch.Tensor of shape (n, length + size - 1)
            What the filter makes of the windows.
        """
        n_filters = len(self.filters[0].bias)
        filters = self.filters[index // n_filters]
        words, vectors, positions = self._look_up(codes)
        lengths = (codes > 0).sum(1, keepdim=True)
        rows = filters.windows(positions, lengths)
        table = vectors @ filters.weight[:, index % n_filters].T  # (n_words, size)
        sums = table.flatten()[rows].sum(2)
        responses = F.relu(sums + filters.bias[index % n_filters])
        return words[rows // filters.size], responses


def make_embedding(vectors, is_kept):
    """Return a layer of word vectors whose gradient has the rows that occur."""
    vectors = vectors.clone()
    vectors[0] = 0
    return nn.Embedding.from_pretrained(
        vectors, freeze=is_kept, padding_idx=0, sparse=not is_kept
    )


class WindowFilters(nn.Module):
    """Filters over windows of one number of words, and their largest responses.

    Parameters
    ----------
    size : int
        Number of words of a window.

    n_filters : int
        Number of filters.

    embedding_dim : int
        Length of a word vector.
    """

    def __init__(self, size, n_filters, embedding_dim):
        super().__init__()
        self.size = size
        bound = (size * embedding_dim) ** -0.5  # as torch's convolutions have it
        weight = torch.empty(size, n_filters, embedding_dim).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(n_filters).uniform_(-bound, bound))

    def forward(self, vectors, windows):
        """Map ``(n_words, embedding_dim)`` and windows to ``(n, n_filters)``."""
        n_filters = len(self.bias)
        table = F.linear(vectors, self.weight.flatten(0, 1))
        table = table.view(-1, n_filters)  # (n_words * size, n_filters)
        return F.relu(LargestSum.apply(table, windows) + self.bias)

    def windows(self, positions, lengths):
        """Return which rows of the table of products belong to each window.

        The table has what each place of the filters makes of each word. Windows
        beyond the last word are given as the last one, which leaves the maximum
        as it is.
        """
        rows = F.pad(positions, (self.size - 1, self.size - 1)) * self.size
        windows = rows.unfold(1, self.size, 1)  # (n, length + size - 1, size)
        numbers = torch.arange(windows.shape[1], device=rows.device)
        numbers = numbers.minimum((lengths + self.size - 2).clamp_(min=0))
        places = torch.arange(self.size, device=rows.device)
        return windows.gather(1, numbers.unsqueeze(2).expand(windows.shape)) + places


class LargestSum(torch.autograd.Function):
    """The largest sum, over windows, of the rows of a table that they name."""

    @staticmethod
    def forward(ctx, table, windows):
        """Map ``(n_rows, c)`` and windows ``(n, n_windows, size)`` to ``(n, c)``."""
        n, n_windows, size = windows.shape
        sums = F.embedding_bag(windows.view(-1, size), table, mode="sum")
        maps = sums.view(n, 1, n_windows, -1).permute(0, 3, 1, 2)
        largest, where = F.max_pool2d(maps, (1, n_windows), return_indices=True)
        ctx.save_for_backward(windows, where.flatten(1))
        ctx.n_rows = len(table)
        return largest.flatten(1)

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradient of the table."""
        windows, where = ctx.saved_tensors
        size, n_columns = windows.shape[2], gradient.shape[1]
        where = where.unsqueeze(2).expand(-1, -1, size)
        rows = windows.gather(1, where)  # (n, c, size)
        columns = torch.arange(n_columns, device=rows.device).unsqueeze(1)
        table = gradient.new_zeros(ctx.n_rows * n_columns)
        values = gradient.unsqueeze(2).expand(rows.shape).flatten()
        table.scatter_add_(0, (rows * n_columns + columns).flatten(), values)
        return table.view(ctx.n_rows, n_columns), None
