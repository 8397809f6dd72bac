"""Text network in operations that ONNX supports."""

import torch
from torch import nn
from torch.nn import functional as F


class SentenceFeatures(nn.Module):
    """Features of sentences: convolutions over windows of words, and their maxima.

    The trained layer computes the products of repeated words once, by operations that
    ONNX does not support.

    Parameters
    ----------
    features : skcnn.modules.textcnn.SentenceFeatures
        The trained layer.
    """

    def __init__(self, features):
        super().__init__()
        self.embeddings = features.embeddings
        self.sizes = features.filters.sizes
        self.weights = [w.detach() for w in features.filters.weight.split(self.sizes)]
        self.bias = features.filters.bias

    def forward(self, codes):
        """Map ``(n, length)`` to ``(n, len(sizes) * n_filters)``."""
        vectors = sum(layer(codes) for layer in self.embeddings.values())
        vectors = vectors.transpose(1, 2)  # (n, embedding_dim, length)
        lengths = (codes > 0).sum(1, keepdim=True)
        largest = [self._largest(vectors, lengths, weight) for weight in self.weights]
        return F.relu(torch.cat(largest, 1) + self.bias) * (lengths > 0)

    def _largest(self, vectors, lengths, weight):
        """Return the largest responses to windows of one size."""
        size = len(weight)
        sums = F.conv1d(vectors, weight.permute(1, 2, 0), padding=size - 1)
        numbers = torch.arange(sums.shape[2], device=sums.device)
        beyond = (numbers >= lengths + (size - 1)).unsqueeze(1)
        return sums.masked_fill(beyond, torch.finfo(sums.dtype).min).amax(2)
