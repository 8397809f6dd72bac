"""X as sentences, read as codes of words."""

import numpy as np
import torch

from ..data import Sentences, Vocabulary, as_texts
from .checked_samples import check_targets
from .parameter_constraints import VOCABULARY
from .sentence_network import check_text_parameters

COPIES_ROWS = True
N_TRIED = 100  # sentences whose mean length stands for all


def check_X_y(estimator, X, y, is_first):
    """Return X and y validated."""
    texts = as_texts(X)
    y = check_targets(estimator, texts, y)
    if is_first:
        check_text_parameters(estimator)
    return texts, y


def check_parts(estimator, X):
    """Yield X validated, as one part."""
    yield as_texts(X)


def learn(estimator, samples):
    """Learn the vocabulary from the sentences that are trained on."""
    texts = samples.X if samples.rows is None else samples.X[samples.rows]
    parameters = {name: getattr(estimator, name) for name in VOCABULARY}
    estimator._vocabulary = Vocabulary(**parameters).fit(texts)
    estimator.vocabulary_ = estimator._vocabulary.codes_


def blank_sample(estimator, samples):
    """Return a sentence of the usual length, all of its words different."""
    _, offsets = estimator._vocabulary.encode(samples.X[:N_TRIED])
    length = max(1, round(float(np.diff(offsets).mean())))
    n_words = len(estimator._vocabulary)
    return torch.arange(length).remainder(n_words).unsqueeze(0)


def images(estimator, X, device, once=False):
    """Return the codes of sentences, to be taken in batches."""
    return Sentences(*estimator._vocabulary.encode(X), device)
