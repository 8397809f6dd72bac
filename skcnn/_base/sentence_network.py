"""Network of a text classifier, described by its parameters."""

from functools import partial
from numbers import Integral

import numpy as np
import torch

from ..data import N_SPECIAL
from ..data.embeddings import read_embeddings
from ..modules import TextCNN
from .parameter_constraints import TEXT_NETWORK


def check_text_parameters(estimator):
    """Raise an error if parameters are invalid or incompatible."""
    sizes, mode = list(estimator.filter_sizes), estimator.mode
    are_numbers = all(is_integer(size) and size > 0 for size in sizes)
    if not (sizes and are_numbers and len(set(sizes)) == len(sizes)):
        raise ValueError(
            f"filter_sizes={estimator.filter_sizes!r}, expected distinct positive "
            "integers. For more filters of one size, increase n_filters."
        )
    if mode == "rand" and estimator.embeddings is not None:
        raise ValueError(
            "embeddings are given, but mode='rand' ignores them. Set mode='static', "
            "'non-static' or 'multichannel'."
        )
    if mode != "rand" and estimator.embeddings is None:
        raise ValueError(
            f"mode={mode!r} needs word vectors. Pass embeddings, or set mode='rand'."
        )


def is_integer(value):
    """Return whether a value is an integer, and not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def described_text_network(estimator):
    """Return a function that builds the network described by the parameters."""
    vocabulary, vectors = estimator._vocabulary, None
    n_outputs = estimator._targets.n_outputs
    if estimator.embeddings is not None:
        seed = estimator._next_seed()
        vectors = _word_vectors(*given_vectors(estimator), len(vocabulary), seed)
    options = {name: getattr(estimator, name) for name in TEXT_NETWORK}
    return partial(TextCNN, len(vocabulary), n_outputs, vectors=vectors, **options)


def given_vectors(estimator):
    """Return pretrained vectors of the vocabulary, and a mask of those found."""
    words = estimator._vocabulary.words_[N_SPECIAL:]
    return read_embeddings(estimator.embeddings, words)


def _word_vectors(given, found, n_codes, seed):
    """Return a vector for each code, a random one of the same variance if missing."""
    bound = np.sqrt(3 * given[found].var())
    shape = n_codes, given.shape[1]
    vectors = np.random.default_rng(seed).uniform(-bound, bound, shape)
    vectors[N_SPECIAL:][found] = given[found]
    return torch.from_numpy(vectors.astype(np.float32))
