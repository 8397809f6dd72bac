"""Pretrained word vectors."""

import os
from os import PathLike

import numpy as np

from .embedding_files import read_entries

EXPECTED = (
    "a mapping from words to vectors, gensim's KeyedVectors, a Series or frame with "
    "words as its index, or the path of a word2vec or GloVe file"
)
N_SHOWN = 3


def read_embeddings(embeddings, words):
    """Return pretrained word vectors of a vocabulary.

    Parameters
    ----------
    embeddings : mapping, KeyedVectors, Series, DataFrame, str or PathLike
        Word vectors: a mapping from words to vectors (anything with ``in`` and
        ``[]``); an object with ``key_to_index`` and ``vectors``, as in gensim, or one
        with such an object as its ``wv``; a Series of vectors or a frame of their
        values, with the words as index; or the path of a file that
        :func:`~skcnn.data.embedding_files.read_entries` reads. If a word occurs more
        than once, its first vector is used.

    words : sequence of str
        Words of the vocabulary.

    Returns
    -------
    vectors : ndarray of shape (len(words), n_values), dtype float32
        Vector of each word, zeros for a word without one.

    found : ndarray of shape (len(words),), dtype bool
        Whether a word has a vector.

    Raises
    ------
    ValueError
        If no word has a vector, vectors are of unequal lengths or hold anything but
        finite numbers, or a file cannot be read.

    TypeError
        If `embeddings` is anything else.

    Examples
    --------
    >>> from skcnn.data.embeddings import read_embeddings
    >>> read_embeddings({"ant": [1.0, 2.0]}, ["ant", "bee"])
    (array([[1., 2.], [0., 0.]], dtype=float32), array([ True, False]))
    """
    name, entries = _open(embeddings, words)
    found = _collect(entries, name)
    if not found:
        raise ValueError(
            f"{name} has none of the {len(words)} words of the vocabulary "
            f"({_shown(words)}). Set lowercase and tokenizer so that words are spelled "
            "as in the embeddings."
        )
    vectors = np.zeros((len(words), len(next(iter(found.values())))), np.float32)
    for vector, word in zip(vectors, words, strict=True):
        vector[:] = found.get(word, 0)
    return vectors, np.array([word in found for word in words])


def _shown(words):
    """Return the first words, separated by commas."""
    more = ", ..." if len(words) > N_SHOWN else ""
    return ", ".join(map(repr, map(str, words[:N_SHOWN]))) + more


def _open(embeddings, words):
    """Return the name of a source for messages, and its entries.

    An entry is a tuple of a word, its values and their place in the source.
    """
    if isinstance(embeddings, (str, PathLike)):
        return repr(os.fspath(embeddings)), read_entries(embeddings, words)
    name = type(embeddings).__name__
    keyed = getattr(embeddings, "wv", embeddings)
    if hasattr(keyed, "key_to_index") and hasattr(keyed, "vectors"):
        return name, _of_keyed_vectors(keyed, words)
    if hasattr(embeddings, "iloc"):
        return name, _of_pandas(embeddings, words)
    is_mapping = all(hasattr(embeddings, m) for m in ("__contains__", "__getitem__"))
    if is_mapping and not isinstance(embeddings, (list, tuple, np.ndarray)):
        return name, _of_mapping(embeddings, words)
    raise TypeError(f"embeddings is a {name}, expected {EXPECTED}.")


def _of_mapping(embeddings, words):
    return ((w, embeddings[w], _at(w)) for w in words if w in embeddings)


def _of_keyed_vectors(keyed, words):
    rows = keyed.key_to_index
    return ((w, keyed.vectors[rows[w]], _at(w)) for w in words if w in rows)


def _of_pandas(embeddings, words):
    chosen = embeddings[embeddings.index.isin(words)]
    vectors = zip(chosen.index, chosen.to_numpy(), strict=True)
    return ((word, vector, _at(word)) for word, vector in vectors)


def _at(word):
    return f"word {str(word)!r}"


def _collect(entries, name):
    """Return the first vector of each word, checked."""
    found = {}
    first_place = None
    for word, values, place in entries:
        if word in found:
            continue
        found[word] = vector = _as_vector(values, f"{name}, {place}")
        n_values = len(found[next(iter(found))])
        first_place = first_place or place
        if len(vector) != n_values:
            raise ValueError(
                f"{name} has vectors of unequal lengths: {len(vector)} at {place} and "
                f"{n_values} at {first_place}. Expected one length."
            )
    return found


def _as_vector(values, place):
    """Convert values to a vector of finite float32."""
    try:
        vector = np.asarray(values)
        if vector.dtype.kind == "c":
            raise TypeError("complex values")
        with np.errstate(over="ignore"):  # checked below
            vector = vector.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}. Expected numbers.") from None
    if vector.ndim != 1 or len(vector) == 0:
        raise ValueError(
            f"{place}: values of shape {vector.shape}, expected a vector of numbers."
        )
    if not np.isfinite(vector).all():
        raise ValueError(f"{place}: NaN or infinity, expected finite numbers.")
    return vector
