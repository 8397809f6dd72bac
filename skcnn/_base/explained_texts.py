"""Contributions of n-grams to the scores of a text classifier.

The score of a class is a weighted sum of the features and a bias, and each feature is
the response of a filter to one n-gram. Thus the score is a sum over n-grams.
"""

from numbers import Integral

import torch
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from ..data import as_texts
from ..runtime import usual_torch
from .top_ngrams import (
    BATCH_SIZE,
    by_response,
    ngram_of,
    sentences_of,
    strongest_ngrams,
)


class NGramsMixin:
    """Mixin that explains a text classifier by n-grams."""

    def top_ngrams(self, filter=None, X=None, n_top=10, *, class_=None):
        """Find the top n-grams of a filter or a class.

        Parameters
        ----------
        filter : int or str or None, default=None
            Column of `transform`, by index or name.
        X : array-like of str of shape (n_samples,) or None, default=None
            Sentences to search. None is the training sentences of the last call.
        n_top : int, default=10
            Maximum number of n-grams.
        class_ : object, default=None
            Class label, passed instead of a filter.

        Returns
        -------
        list of (str, float)
            N-grams and their positive responses or, for a class, contributions (see
            `explain`), in descending order. "<start>" and "<end>" are positions outside
            the sentence, "<unknown>" is an unknown word.

        Raises
        ------
        ValueError, TypeError
            If the filter or class does not exist, both are given, or `n_top` is not a
            positive integer.
        """
        check_is_fitted(self)
        if class_ is None:
            return strongest_ngrams(self, filter, X, n_top)
        if filter is not None:
            raise ValueError("filter and class_ are both given, expected one of them.")
        return ngrams_for_class(self, class_, X, n_top)

    def explain(self, X):
        """Explain the scores of sentences by their n-grams.

        The scores are the logits of the network. The contributions to a class add up
        to its score.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Sentences.

        Returns
        -------
        list of dict
            For each sentence, a dict that maps each label to a list of pairs (n-gram,
            contribution), in descending order of the absolute value. The n-gram "" is
            the bias of the class.
        """
        check_is_fitted(self)
        return explain_texts(self, as_texts(X))


@usual_torch()
def explain_texts(estimator, X):
    """Return the result of `TextCNNClassifier.explain`."""
    sentences, classes = sentences_of(estimator, X), estimator.classes_.tolist()
    words, module = estimator._vocabulary.words_, estimator.module_
    bias = dict(zip(classes, module.output.bias.tolist(), strict=True))
    found = [{c: [("", bias[c])] for c in classes} for _ in range(len(sentences))]
    for rows, windows, contributions in _speaking_windows(module, sentences):
        for row, window, values in zip(rows, windows, contributions, strict=True):
            ngram = ngram_of(window, words)
            for c, value in zip(classes, values, strict=True):
                found[row][c].append((ngram, value))
    for pairs in (pairs for text in found for pairs in text.values()):
        pairs.sort(key=lambda pair: -abs(pair[1]))
    return found


@usual_torch()
def ngrams_for_class(estimator, class_, X, n_top):
    """Return the n-grams with the largest positive contributions to a class."""
    check_scalar(n_top, "n_top", Integral, min_val=1)
    column = _find_class(class_, estimator.classes_.tolist())
    best = {}
    found = _speaking_windows(estimator.module_, sentences_of(estimator, X))
    for _, windows, contributions in found:
        for window, values in zip(map(tuple, windows), contributions, strict=True):
            best[window] = max(values[column], best.get(window, 0.0))
    words = estimator._vocabulary.words_
    top = sorted(best.items(), key=by_response)[:n_top]
    return [(ngram_of(codes, words), value) for codes, value in top if value > 0]


def _find_class(class_, classes):
    """Return the index of a class."""
    if class_ not in classes:
        raise ValueError(
            f"class_={class_!r} is not a class, expected one of {classes}."
        )
    return classes.index(class_)


def _speaking_windows(module, sentences):
    """Yield rows, their windows of one size, and contributions to each class."""
    weight, n_sizes = module.output.weight, len(module.features.filters.sizes)
    weights = weight.detach().double().chunk(n_sizes, 1)
    with torch.inference_mode():
        for rows in sentences.reading_batches(BATCH_SIZE):
            codes = sentences.take(rows).to(weight.device)
            responses = module.features(codes).double().chunk(n_sizes, 1)
            windows = module.features.strongest_windows(codes)
            for of_size in zip(windows, responses, weights, strict=True):
                yield _added_up(rows.to(weight.device), *of_size)


def _added_up(rows, windows, responses, weight):
    """Return rows, their distinct windows, and contributions summed over filters."""
    row, column = responses.nonzero(as_tuple=True)
    contributions = responses[row, column].unsqueeze(1) * weight.T[column]
    keys = torch.cat([rows[row].unsqueeze(1), windows[row, column]], 1)
    keys, which = keys.unique(dim=0, return_inverse=True)
    sums = contributions.new_zeros(len(keys), len(weight))
    sums.index_add_(0, which, contributions)
    return keys[:, 0].tolist(), keys[:, 1:].tolist(), sums.tolist()
