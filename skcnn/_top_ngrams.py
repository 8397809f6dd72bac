"""Which n-grams a filter of a :class:`TextCNN` responds to."""

import torch

BATCH_SIZE = 256
START, END = "<start>", "<end>"


def strongest_windows(features, sentences, index, n_top):
    """Return the different windows to which a filter responds most.

    Parameters
    ----------
    features : SentenceFeatures
        Of the trained network.

    sentences : Sentences
        Where to look.

    index : int
        Which filter.

    n_top : int
        How many windows.

    Returns
    -------
    list of (tuple of int, float)
        Codes of the words and the response, above 0, the largest first.
    """
    device = next(features.parameters()).device
    best = {}
    with torch.inference_mode():
        for rows in sentences.reading_batches(BATCH_SIZE):
            codes = sentences.take(rows).to(device)
            windows, responses = features.responses(codes, index)
            best.update(_strongest(windows.flatten(0, 1), responses.flatten(), n_top))
            best = dict(sorted(best.items(), key=_by_response)[:n_top])
    return list(best.items())


def _strongest(windows, responses, n_top):
    """Return the response to each of the different windows that excite most."""
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


def _by_response(item):
    codes, response = item
    return -response, codes


def ngram_text(codes, words):
    """Return the words of a window, and what stands beyond the ends of a sentence.

    Parameters
    ----------
    codes : tuple of int
        Codes of the words, 0 where there is none.

    words : list of str
        Words by code.

    Returns
    -------
    str
        Separated by spaces.
    """
    first = next(place for place, code in enumerate(codes) if code)
    shown = [words[code] if code else START for code in codes[: first + 1]]
    shown += [words[code] if code else END for code in codes[first + 1 :]]
    return " ".join(shown)
