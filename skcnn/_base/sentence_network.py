"""The network of a text classifier, as its parameters describe it."""

from functools import partial
from numbers import Integral

import numpy as np
import torch

from ..data import N_SPECIAL
from ..data.embeddings import read_embeddings
from ..modules import TextCNN
from .parameter_constraints import TEXT_NETWORK


def check_text_parameters(estimator):
    """Raise an error if parameters do not go together."""
    sizes, mode = list(estimator.filter_sizes), estimator.mode
    are_numbers = all(is_integer(size) and size > 0 for size in sizes)
    if not (sizes and are_numbers and len(set(sizes)) == len(sizes)):
        raise ValueError(
            f"filter_sizes={estimator.filter_sizes!r}, expected different numbers of "
            "words, each at least 1. For more filters of one size, raise n_filters."
        )
    if mode == "rand" and estimator.embeddings is not None:
        raise ValueError(
            "embeddings are given, and mode='rand' does not read them. Choose "
            "mode='static', 'non-static' or 'multichannel'."
        )
    if mode != "rand" and estimator.embeddings is None:
        raise ValueError(
            f"mode={mode!r} needs word vectors. Pass embeddings=, a mapping from words "
            "to vectors or a file of them, or choose mode='rand'."
        )


def is_integer(value):
    """Return whether a value is an integer, which truth values are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def described_text_network(estimator):
    """Return a function that builds the network which the parameters describe."""
    vocabulary, vectors = estimator._vocabulary, None
    n_outputs = estimator._targets.n_outputs
    if estimator.embeddings is not None:
        seed = estimator._next_seed()
        vectors = _word_vectors(*given_vectors(estimator), len(vocabulary), seed)
    options = {name: getattr(estimator, name) for name in TEXT_NETWORK}
    return partial(TextCNN, len(vocabulary), n_outputs, vectors=vectors, **options)


def given_vectors(estimator):
    """Return the given vectors of the vocabulary, and which words have one."""
    words = estimator._vocabulary.words_[N_SPECIAL:]
    return read_embeddings(estimator.embeddings, words)


def _word_vectors(given, found, n_codes, seed):
    """Return a vector for each code; random ones have the variance of those given."""
    bound = np.sqrt(3 * given[found].var())
    shape = n_codes, given.shape[1]
    vectors = np.random.default_rng(seed).uniform(-bound, bound, shape)
    vectors[N_SPECIAL:][found] = given[found]
    return torch.from_numpy(vectors.astype(np.float32))
