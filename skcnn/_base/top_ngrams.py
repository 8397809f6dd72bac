"""N-grams to which a filter of a :class:`TextCNN` responds most."""

from numbers import Integral

import torch
from sklearn.utils import check_scalar

from ..data import Sentences, as_texts
from ..runtime import usual_torch
from .sentence_input import images
from .sentence_network import is_integer

BATCH_SIZE = 256
CPU = torch.device("cpu")
START, END = "<start>", "<end>"


@usual_torch()
def strongest_ngrams(estimator, filter, X, n_top):
    """Return the distinct n-grams to which a filter responds most.

    Parameters
    ----------
    estimator : TextCNNClassifier
        Fitted classifier.

    filter, X, n_top
        See `TextCNNClassifier.top_ngrams`.

    Returns
    -------
    list of (str, float)
        N-grams and responses above 0, in descending order.
    """
    check_scalar(n_top, "n_top", Integral, min_val=1)
    index = _find_filter(filter, estimator.get_feature_names_out().tolist())
    sentences = sentences_of(estimator, X)
    found = _strongest_windows(estimator.module_.features, sentences, index, n_top)
    words = estimator._vocabulary.words_
    return [(ngram_of(codes, words), response) for codes, response in found]


def sentences_of(estimator, X):
    """Return the sentences of X, or those of the last training, on the CPU."""
    if X is None:
        return Sentences(*estimator._sentences, CPU)
    return images(estimator, as_texts(X), CPU)


def _find_filter(filter, names):
    """Return the column of a filter, given by column or name."""
    if filter in names:
        return names.index(filter)
    if is_integer(filter) and 0 <= filter < len(names):
        return int(filter)
    raise ValueError(
        f"filter={filter!r} is not available, expected a number from 0 to "
        f"{len(names) - 1} or a name from {names[0]!r} to {names[-1]!r}."
    )


def _strongest_windows(features, sentences, index, n_top):
    """Return codes and responses of distinct windows, in descending order."""
    device = next(features.parameters()).device
    best = {}
    with torch.inference_mode():
        for rows in sentences.reading_batches(BATCH_SIZE):
            codes = sentences.take(rows).to(device)
            windows, responses = features.responses(codes, index)
            best.update(_strongest(windows.flatten(0, 1), responses.flatten(), n_top))
            best = dict(sorted(best.items(), key=by_response)[:n_top])
    return list(best.items())


def _strongest(windows, responses, n_top):
    """Return a dict of the `n_top` distinct windows and their largest responses."""
    is_text = (windows > 0).any(1) & (responses > 0)
    windows, responses = windows[is_text].cpu(), responses[is_text].cpu()
    windows, which = windows.unique(dim=0, return_inverse=True)
    largest = responses.new_zeros(len(windows)).scatter_reduce_(
        0, which, responses, "amax"
    )
    largest, chosen = largest.sort(descending=True, stable=True)
    chosen = chosen[:n_top]
    codes = map(tuple, windows[chosen].tolist())
    return dict(zip(codes, largest[:n_top].tolist(), strict=True))


def by_response(item):
    codes, response = item
    return -response, codes


def ngram_of(codes, words):
    """Return the words of a window, with marks for positions outside the sentence."""
    first = next(place for place, code in enumerate(codes) if code)
    shown = [words[code] if code else START for code in codes[: first + 1]]
    shown += [words[code] if code else END for code in codes[first + 1 :]]
    return " ".join(shown)
