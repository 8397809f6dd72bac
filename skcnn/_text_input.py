"""What an estimator does that reads sentences."""

import copy
from functools import partial
from numbers import Integral
from os import PathLike, fspath

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from ._base import BaseCNN, auto_batch_size
from ._top_ngrams import ngram_text, strongest_windows
from .data import N_SPECIAL, Sentences, Vocabulary, as_texts
from .data.embeddings import read_embeddings
from .modules import TextCNN
from .runtime import usual_torch

VOCABULARY_PARAMETERS = (
    "tokenizer",
    "token_pattern",
    "lowercase",
    "min_df",
    "max_features",
    "max_length",
)
NETWORK_PARAMETERS = ("filter_sizes", "n_filters", "dropout", "max_norm", "mode")
LARGEST_BATCH = 64  # the paper has 50
N_TRIED = 100  # sentences whose mean length stands for all


class SentenceCNN(TransformerMixin, BaseCNN):
    """Steps of :class:`TextCNNClassifier` from sentences to outputs and features.

    Warning: this class is not meant to be used, its subclasses are.
    """

    _predict_batch_size = 256
    _reads_text = True
    _computes_on_all = True  # the codes of the words
    _network_parameters = (
        "embeddings",
        "embedding_dim",
        *NETWORK_PARAMETERS,
        *VOCABULARY_PARAMETERS,
        "precision",
    )

    def _parameters(self, names):
        return {name: getattr(self, name) for name in names}

    def _check_training_data(self, X, y, first):
        texts = as_texts(X)
        y = self._check_targets(texts, y)
        if first:
            self._check_network_parameters()
        return texts, y

    def _check_network_parameters(self):
        """Raise an error where parameters do not go together."""
        sizes = list(self.filter_sizes)
        are_numbers = all(_is_integer(size) and size > 0 for size in sizes)
        if not (sizes and are_numbers and len(set(sizes)) == len(sizes)):
            raise ValueError(
                f"filter_sizes={self.filter_sizes!r}, expected different numbers of "
                "words, each at least 1. For more filters of one size, raise n_filters."
            )
        if self.mode == "rand" and self.embeddings is not None:
            raise ValueError(
                "embeddings are given, and mode='rand' does not read them. Choose "
                "mode='static', 'non-static' or 'multichannel'."
            )
        if self.mode != "rand" and self.embeddings is None:
            raise ValueError(
                f"mode={self.mode!r} needs word vectors. Pass embeddings=, a mapping "
                "from words to vectors or a file of them, or choose mode='rand'."
            )

    def _learn_scale(self, samples):
        """Learn the vocabulary from the sentences that are trained on."""
        texts = samples.X if samples.rows is None else samples.X[samples.rows]
        vocabulary = Vocabulary(**self._parameters(VOCABULARY_PARAMETERS))
        self._vocabulary = vocabulary.fit(texts)
        self.vocabulary_ = self._vocabulary.codes_

    def _in_one_form(self, name, value):
        if name != "embeddings":
            return super()._in_one_form(name, value)
        is_path = isinstance(value, (str, PathLike))
        return fspath(value) if is_path else id(value)  # which may be gigabytes

    def _snapshot(self):
        return super()._snapshot(), self._sentences

    def _restore(self, snapshot):
        rest, self._sentences = snapshot
        super()._restore(rest)

    def _auto_batch_size(self, n_samples):
        return min(auto_batch_size(n_samples), LARGEST_BATCH)

    def _blank_sample(self, samples):
        """Return a sentence of the usual length, all of its words different."""
        _, offsets = self._vocabulary.encode(samples.X[:N_TRIED])
        length = max(1, round(float(np.diff(offsets).mean())))
        return torch.arange(length).remainder(len(self._vocabulary)).unsqueeze(0)

    def _module_factory(self):
        """Return the function that builds the network which the parameters describe."""
        vectors = None if self.embeddings is None else self._word_vectors()
        return partial(
            TextCNN,
            len(self._vocabulary),
            self._n_outputs,
            embedding_dim=self.embedding_dim,
            vectors=vectors,
            **self._parameters(NETWORK_PARAMETERS),
        )

    def _word_vectors(self):
        """Return a vector for each code: as given, or random with their variance."""
        words = self._vocabulary.words_[N_SPECIAL:]
        given, found = read_embeddings(self.embeddings, words)
        bound = np.sqrt(3 * given[found].var())
        shape = len(self._vocabulary), given.shape[1]
        vectors = np.random.default_rng(self._next_seed()).uniform(-bound, bound, shape)
        vectors[N_SPECIAL:][found] = given[found]
        return torch.from_numpy(vectors.astype(np.float32))

    def _images(self, X, device, once=False):
        """Return the codes of sentences."""
        return Sentences(*self._vocabulary.encode(X), device)

    def _augment(self, device):
        return None

    def _shuffled(self, samples, net):
        dataset = super()._shuffled(samples, net)
        self._sentences = dataset.images.on(torch.device("cpu"))
        return dataset

    def _outputs(self, X):
        check_is_fitted(self)
        return self._compute_outputs(as_texts(X))

    def transform(self, X):
        """Compute the features of sentences: the largest response of each filter.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Sentences.

        Returns
        -------
        ndarray of shape (n_samples, len(filter_sizes) * n_filters), of float32
            Non-negative features, zeros for a sentence without words.
        """
        check_is_fitted(self)
        features = self._compute_outputs(as_texts(X), self.module_.features)
        return features.astype(np.float32)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, default=None
            Ignored.

        Returns
        -------
        ndarray of str objects of shape (n_features,)
            Number of words and position among the filters for as many, like
            "3gram_0".
        """
        check_is_fitted(self)
        filters = self.module_.features.filters
        n_filters = len(filters.bias) // len(filters.sizes)
        names = [f"{size}gram_{i}" for size in filters.sizes for i in range(n_filters)]
        return np.asarray(names, dtype=object)

    @usual_torch()
    def top_ngrams(self, filter, X=None, n_top=10):
        """Find the n-grams to which a filter responds most.

        Parameters
        ----------
        filter : int or str
            Which filter: a column of `transform`, or its name.

        X : array-like of str of shape (n_samples,) or None, default=None
            Sentences to look in; None looks in those that were trained on in the
            last call, which the estimator keeps as codes of four bytes a word.

        n_top : int, default=10
            Number of n-grams.

        Returns
        -------
        list of (str, float)
            Different n-grams and the response of the filter, all above 0, the
            largest one first; fewer than `n_top` where there are no more. Where
            a window reaches over an end of the sentence, "<start>" and "<end>"
            stand there, and "<unknown>" stands for words that are not in the
            vocabulary.

        Raises
        ------
        ValueError
            If there is no such filter, or `n_top` is below 1.

        TypeError
            If `n_top` is no integer.
        """
        check_scalar(n_top, "n_top", Integral, min_val=1)
        index = self._filter_index(filter)
        sentences = self._sentences
        if X is not None:
            sentences = self._images(as_texts(X), torch.device("cpu"))
        responses = strongest_windows(self.module_.features, sentences, index, n_top)
        words = self._vocabulary.words_
        return [(ngram_text(codes, words), value) for codes, value in responses]

    def _filter_index(self, filter):
        """Return the column of a filter that is given by column or name."""
        names = self.get_feature_names_out().tolist()
        if filter in names:
            return names.index(filter)
        if _is_integer(filter) and 0 <= filter < len(names):
            return int(filter)
        raise ValueError(
            f"filter={filter!r} is not there, expected a number from 0 to "
            f"{len(names) - 1} or a name from {names[0]!r} to {names[-1]!r}."
        )

    def __sklearn_clone__(self):
        """Return a copy that shares `embeddings`, which may be gigabytes."""
        light = copy.copy(self)
        light.embeddings = None
        other = super(SentenceCNN, light).__sklearn_clone__()
        other.embeddings = self.embeddings
        return other

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = False
        return tags


def _is_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool)
