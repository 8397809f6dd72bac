"""Vocabulary of sentences: words and their codes."""

from itertools import islice

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

PADDING = 0
UNKNOWN = 1
N_SPECIAL = 2
# Words of any length, with apostrophes, and punctuation marks. scikit-learn's pattern
# drops "I", "!" and "?", which are informative.
TOKEN_PATTERN = r"\w+(?:'\w+)*|[^\w\s]"


class Vocabulary:
    """Codes of words, learnt like the columns of a :class:`CountVectorizer`.

    Code 0 is padding and 1 stands for unknown words; known words have codes from 2.

    Parameters
    ----------
    tokenizer, token_pattern, lowercase, min_df, max_features
        Parameters of :class:`~sklearn.feature_extraction.text.CountVectorizer`.

    max_length : int or None
        Maximum number of words read from a sentence; None for all.

    Attributes
    ----------
    codes_ : dict of str to int
        Code of each word.

    words_ : list of str
        Words by code; "" and "<unknown>" for the codes 0 and 1.

    Examples
    --------
    >>> from skcnn.data import Vocabulary
    >>> vocabulary = Vocabulary().fit(["Who ?", "Who is it ?"])
    >>> vocabulary.codes_
    {'?': 2, 'is': 3, 'it': 4, 'who': 5}
    >>> codes, offsets = vocabulary.encode(["Who are you ?", ""])
    >>> codes.tolist(), offsets.tolist()
    ([5, 1, 1, 2], [0, 4, 4])
    """

    def __init__(
        self,
        *,
        tokenizer=None,
        token_pattern=TOKEN_PATTERN,
        lowercase=True,
        min_df=1,
        max_features=None,
        max_length=None,
    ):
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.lowercase = lowercase
        self.min_df = min_df
        self.max_features = max_features
        self.max_length = max_length

    def fit(self, texts):
        """Learn the vocabulary.

        Parameters
        ----------
        texts : sequence of str
            Sentences.

        Returns
        -------
        Vocabulary
            The fitted vocabulary.

        Raises
        ------
        ValueError
            If there are no words, or none after pruning by `min_df`.
        """
        counter = CountVectorizer(
            analyzer=self._analyzer(),
            min_df=self.min_df,
            max_features=self.max_features,
        )
        try:
            counter.fit(texts)
        except ValueError as error:
            raise ValueError(
                f"X gives no vocabulary ({error}). Pass sentences with words, lower "
                "min_df, or change tokenizer or token_pattern."
            ) from error
        words = counter.get_feature_names_out().tolist()
        self.words_ = ["", "<unknown>", *words]
        self.codes_ = {word: code for code, word in enumerate(words, N_SPECIAL)}
        return self

    def __len__(self):
        return len(self.words_)

    def encode(self, texts):
        """Encode sentences.

        Parameters
        ----------
        texts : sequence of str
            Sentences.

        Returns
        -------
        codes : ndarray of shape (n_words,), of int32
            Codes of the words, sentence after sentence.

        offsets : ndarray of shape (n_samples + 1,), of int64
            Position in `codes` at which each sentence begins, and the end of the last
            one.
        """
        analyze, find = self._analyzer(), self.codes_.get
        codes = [[find(word, UNKNOWN) for word in analyze(text)] for text in texts]
        offsets = np.cumsum([0, *map(len, codes)], dtype=np.int64)
        flat = (code for sentence in codes for code in sentence)
        return np.fromiter(flat, np.int32, offsets[-1]), offsets

    def _analyzer(self):
        """Return a function that splits a sentence into words."""
        if self.tokenizer is None and self.token_pattern is None:
            raise ValueError(
                "token_pattern and tokenizer are both None, so words cannot be found. "
                "Pass one of them."
            )
        pattern = self.token_pattern if self.tokenizer is None else None
        split = CountVectorizer(
            tokenizer=self.tokenizer, token_pattern=pattern, lowercase=self.lowercase
        ).build_analyzer()
        return lambda text: list(islice(split(text), self.max_length))
