"""Text input: sentences, encoded as word codes."""

import re

import numpy as np
import torch

from ..data import TOKEN_PATTERN, Sentences, Vocabulary, as_texts
from ..runtime import warn
from .checked_samples import check_targets
from .parameter_constraints import VOCABULARY
from .sentence_network import check_text_parameters

COPIES_ROWS = True
N_TRIED = 100  # sentences to estimate the mean length
MIN_CHARACTERS = 4  # of texts that are expected to have several words
MAX_UNDIVIDED = 0.9  # fraction of texts that may be one word each


def check_X_y(estimator, X, y, is_first):
    """Validate X and y."""
    texts = as_texts(X)
    y = check_targets(estimator, texts, y)
    if is_first:
        check_text_parameters(estimator)
    return texts, y


def check_parts(estimator, X):
    """Validate X and yield it as a single part."""
    yield as_texts(X)


def learn(estimator, samples):
    """Learn the vocabulary from the training sentences."""
    texts = samples.X if samples.rows is None else samples.X[samples.rows]
    parameters = {name: getattr(estimator, name) for name in VOCABULARY}
    estimator._vocabulary = Vocabulary(**parameters).fit(texts)
    estimator.vocabulary_ = estimator._vocabulary.codes_
    if estimator.tokenizer is None:
        _hint_at_tokenizer(texts, estimator.token_pattern)


def _hint_at_tokenizer(texts, pattern):
    """Warn if nearly every text is one word, as in languages without spaces."""
    texts = [text for text in texts if len(text) >= MIN_CHARACTERS]
    n_undivided = sum(_is_undivided(text, pattern) for text in texts)
    if texts and n_undivided >= MAX_UNDIVIDED * len(texts):
        warn(
            f"{n_undivided} of {len(texts)} texts of at least {MIN_CHARACTERS} "
            "characters are one word each, as in languages without spaces between "
            "words. Pass a tokenizer; the simplest is tokenizer=list, which splits a "
            "text into characters."
        )


def _is_undivided(text, pattern):
    """Return whether a text is one token, or one run of non-ASCII letters.

    Punctuation marks, and the vowel signs of Thai, divide such a run into tokens.
    """
    if pattern == TOKEN_PATTERN and not text.isascii() and len(text.split()) == 1:
        return True
    return len(re.findall(pattern, text)) == 1


def blank_sample(estimator, samples):
    """Return a sentence of mean length, whose words are all different."""
    _, offsets = estimator._vocabulary.encode(samples.X[:N_TRIED])
    length = max(1, round(float(np.diff(offsets).mean())))
    n_words = len(estimator._vocabulary)
    return torch.arange(length).remainder(n_words).unsqueeze(0)


def network_input(estimator, X, device):
    """Return the word codes of sentences in batches."""
    return images(estimator, X, device)


def images(estimator, X, device, once=False):
    """Return the word codes of sentences in batches."""
    return Sentences(*estimator._vocabulary.encode(X), device)
