import pickle
from itertools import pairwise

import numpy as np
import pytest

from skcnn.data import Vocabulary

TEXTS = ["I think so !", "so I don't think", "Why ?", ""]


def words_of(texts, **parameters):
    return Vocabulary(**parameters).fit(texts).words_[2:]


def test_single_letters_and_punctuation_marks_are_words():
    assert words_of(TEXTS) == ["!", "?", "don't", "i", "so", "think", "why"]


def test_codes_begin_after_those_of_no_word_and_of_unknown_words():
    vocabulary = Vocabulary().fit(TEXTS)
    assert list(vocabulary.codes_.values()) == list(range(2, 9))
    assert all(vocabulary.words_[c] == word for word, c in vocabulary.codes_.items())
    assert len(vocabulary) == 9


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"lowercase": False}, ["!", "?", "I", "Why", "don't", "so", "think"]),
        ({"min_df": 2}, ["i", "so", "think"]),
        ({"min_df": 0.5}, ["i", "so", "think"]),
        ({"max_features": 1}, ["i"]),
        ({"max_length": 1}, ["i", "so", "why"]),
        ({"token_pattern": r"\w\w+"}, ["don", "so", "think", "why"]),
        ({"tokenizer": str.split}, ["!", "?", "don't", "i", "so", "think", "why"]),
        ({"tokenizer": lambda text: text[:1]}, ["i", "s", "w"]),
    ],
)
def test_parameters_mean_what_they_do_in_vectorizers(parameters, expected):
    assert words_of(TEXTS, **parameters) == expected


def test_encoded_sentences_are_decoded_by_the_words():
    vocabulary = Vocabulary().fit(TEXTS)
    codes, offsets = vocabulary.encode(TEXTS)
    assert codes.dtype == np.int32
    parts = [codes[a:b] for a, b in pairwise(offsets)]
    decoded = [" ".join(vocabulary.words_[c] for c in part) for part in parts]
    assert decoded == [text.lower() for text in TEXTS]


def test_words_that_are_not_known_have_the_code_1():
    vocabulary = Vocabulary(max_length=3).fit(["a b"])
    codes, offsets = vocabulary.encode(["x a y b", "", "z"])
    assert codes.tolist() == [1, 2, 1, 1]
    assert offsets.tolist() == [0, 3, 3, 4]


@pytest.mark.parametrize(
    ("texts", "parameters"), [(["", " "], {}), (["a", "b"], {"min_df": 2})]
)
def test_without_words_there_is_an_error_that_says_what_to_do(texts, parameters):
    with pytest.raises(ValueError, match=r"X gives no vocabulary.*lower min_df"):
        Vocabulary(**parameters).fit(texts)


def test_a_pickle_encodes_alike():
    vocabulary = Vocabulary(tokenizer=str.split).fit(TEXTS)
    other = pickle.loads(pickle.dumps(vocabulary))
    for ours, theirs in zip(vocabulary.encode(TEXTS), other.encode(TEXTS), strict=True):
        np.testing.assert_array_equal(ours, theirs)
