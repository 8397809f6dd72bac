import gzip
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from skcnn.data.embeddings import read_embeddings

# Among the letters are some at which str.split and str.splitlines split.
ALPHABET = "aeinrstAZ09.,'-_#\"\\éßøЖ中語\xa0\x85\u2028😀"


def random_word(rng):
    return "".join(rng.choice(list(ALPHABET), rng.integers(1, 9)))


def random_vectors(rng, n_words=None, n_values=None):
    """Vectors by word, each word once."""
    n_words = n_words or rng.integers(1, 150)
    n_values = n_values or rng.integers(2, 20)
    words = list({random_word(rng): None for _ in range(n_words)})
    values = rng.normal(size=(len(words), n_values)) * 10.0 ** rng.integers(-6, 6)
    return dict(zip(words, values.astype(np.float32), strict=True))


def as_line(word, vector, separator=" ", end="\n"):
    return (
        word + separator + separator.join(map(repr, vector.tolist())) + end
    ).encode()


def header(vectors):
    n_values = len(next(iter(vectors.values())))
    return f"{len(vectors)} {n_values}\n".encode()


def as_glove(vectors, **style):
    return b"".join(as_line(word, vector, **style) for word, vector in vectors.items())


def as_word2vec_text(vectors, **style):
    return header(vectors) + as_glove(vectors, **style)


def as_word2vec_binary(vectors, end=b"\n"):
    return header(vectors) + b"".join(
        word.encode() + b" " + vector.astype("<f4").tobytes() + end
        for word, vector in vectors.items()
    )


WRITERS = {
    "glove": as_glove,
    "glove, tabs": lambda v: as_glove(v, separator="\t"),
    "glove, Windows": lambda v: as_glove(v, end="\r\n"),
    "glove, no last line end": lambda v: as_glove(v)[:-1],
    "glove, byte order mark": lambda v: "\ufeff".encode() + as_glove(v),
    "word2vec text": as_word2vec_text,
    "word2vec text, as its C code": lambda v: as_word2vec_text(v, end=" \n"),
    "word2vec text, Windows": lambda v: as_word2vec_text(v, end="\r\n"),
    "word2vec binary, as its C code": as_word2vec_binary,
    "word2vec binary, as gensim": lambda v: as_word2vec_binary(v, end=b""),
}


@pytest.fixture
def write(tmp_path):
    """Writes bytes to a file that says nothing of its format."""

    def write(content):
        path = tmp_path / "vectors"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("is_gzipped", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
def test_what_was_written_is_read(write, rng, kind, is_gzipped):
    for _ in range(20):
        vectors = random_vectors(rng)
        content = WRITERS[kind](vectors)
        path = write(gzip.compress(content) if is_gzipped else content)
        known = [word for word in vectors if rng.random() < 0.5] or list(vectors)[-1:]
        words = rng.permutation([*known, "unknown", "unknown too"]).tolist()
        read, found = read_embeddings(path, words)
        assert read.dtype == np.float32
        assert found.tolist() == [word in vectors for word in words]
        for word, vector in zip(words, read, strict=True):
            np.testing.assert_array_equal(vector, vectors.get(word, 0 * vector))


@pytest.mark.parametrize("as_text", [as_glove, as_word2vec_text])
def test_words_with_spaces_are_split_from_the_right(write, rng, as_text):
    spaced = {"at 5": 0, ". . .": 0, "New York": 0, "1 1/2 3": 0}
    vectors = random_vectors(rng, 40, 3) | dict.fromkeys(spaced, np.ones(3))
    path = write(as_text(vectors))
    _, found = read_embeddings(path, [*vectors, "at", "New", "1", "."])
    assert found.tolist() == [True] * len(vectors) + [False] * 4


@pytest.mark.parametrize("as_file", [as_glove, as_word2vec_text, as_word2vec_binary])
def test_words_that_look_like_numbers_are_words(write, rng, as_file):
    words = ["1", "2.5", "nan", "inf", "-3e5", "1958"]
    vectors = dict(zip(words, rng.normal(size=(6, 4)), strict=True))
    read, found = read_embeddings(write(as_file(vectors)), words)
    assert found.all()
    np.testing.assert_array_equal(read, np.array(list(vectors.values()), np.float32))


def test_a_binary_file_of_the_least_size_is_read(write):
    read, _ = read_embeddings(write(b"1 1\na \x00\x00\x80?"), ["a"])
    assert read.tolist() == [[1.0]]


def test_words_longer_than_what_is_read_at_once_are_read(write, rng, monkeypatch):
    monkeypatch.setattr("skcnn.data.embedding_files.CHUNK_SIZE", 5)
    vectors = random_vectors(rng, 60)
    for as_file in (as_word2vec_binary, as_word2vec_text, as_glove):
        read, _ = read_embeddings(write(as_file(vectors)), list(vectors))
        np.testing.assert_array_equal(read, list(vectors.values()))


@pytest.mark.parametrize("as_file", [as_glove, as_word2vec_text, as_word2vec_binary])
def test_only_wanted_words_are_kept_in_memory(write, rng, as_file, monkeypatch):
    for size in ("CHUNK_SIZE", "HEAD_SIZE"):
        monkeypatch.setattr(f"skcnn.data.embedding_files.{size}", 1 << 16)
    path = write(as_file({str(n): rng.normal(size=100) for n in range(4_000)}))
    tracemalloc.start()
    read_embeddings(path, ["5", "3999"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < path.stat().st_size / 3


def test_the_first_of_equal_words_wins(write):
    first, second = np.ones(3), np.zeros(3)
    lines = as_line("ant", first) + as_line("bee", second) + as_line("ant", second)
    series = pd.Series([first, second, second], index=["ant", "bee", "ant"])
    frame = pd.DataFrame([first, second, second], index=["ant", "bee", "ant"])
    for source in (write(lines), series, frame):
        read, _ = read_embeddings(source, ["ant"])
        assert read.tolist() == [[1, 1, 1]]


def with_vectors(vectors):
    words, values = list(vectors), np.array(list(vectors.values()))
    keyed = SimpleNamespace(
        key_to_index={word: row for row, word in enumerate(words)}, vectors=values
    )
    return {
        "dict": vectors,
        "lists": {word: vector.tolist() for word, vector in vectors.items()},
        "tensors": {word: torch.tensor(vector) for word, vector in vectors.items()},
        "KeyedVectors": keyed,
        "model": SimpleNamespace(wv=keyed),
        "frame": pd.DataFrame(values, index=words),
        "Series": pd.Series(list(values), index=words),
    }


@pytest.mark.parametrize("kind", with_vectors({"ant": np.ones(1)}))
def test_containers_give_the_vectors_that_they_hold(rng, kind):
    vectors = random_vectors(rng, 30, 4)
    known, unknown = list(vectors)[::2], ["unknown"]
    read, found = read_embeddings(with_vectors(vectors)[kind], [*unknown, *known])
    assert read.dtype == np.float32
    assert found.tolist() == [False] + [True] * len(known)
    np.testing.assert_array_equal(read, [np.zeros(4), *(vectors[w] for w in known)])


def test_a_word_that_comes_twice_has_its_vector_twice():
    read, found = read_embeddings({"ant": [1, 2]}, ["ant", "bee", "ant"])
    assert read.tolist() == [[1, 2], [0, 0], [1, 2]]
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("as_file", [as_word2vec_text, as_word2vec_binary])
def test_a_truncated_file_is_an_error_that_says_how_much_there_is(write, rng, as_file):
    vectors = random_vectors(rng, 30, 5)
    content = as_file(vectors)
    for n_bytes in rng.integers(len(content) // 2, len(content) - 21, 10):
        path = write(content[:n_bytes])
        with pytest.raises(ValueError, match=r"vectors' is .*truncated"):
            read_embeddings(path, list(vectors))


def test_a_truncated_last_line_is_named(write, rng):
    content = as_glove(random_vectors(rng, 30, 5)).rsplit(b" ", 1)[0]
    n_lines = content.count(b"\n") + 1
    with pytest.raises(ValueError, match=f"line {n_lines}, which has 4 values instead"):
        read_embeddings(write(content), ["unknown"])


def test_a_truncated_archive_is_named(write, rng):
    content = gzip.compress(as_glove(random_vectors(rng, 100, 5)))
    with pytest.raises(ValueError, match=r"vectors' is truncated or damaged: "):
        read_embeddings(write(content[:-50]), ["unknown"])


def test_a_binary_file_that_ends_says_behind_which_byte(write):
    with pytest.raises(ValueError, match=r"says 2 words, .* after 1, at byte 10"):
        read_embeddings(write(b"2 1\na \x00\x00\x80?b \x00"), ["a", "b"])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e60"])
def test_values_that_are_not_finite_are_named(write, value):
    path = write(f"ant 1 2\nbee 3 {value}\n".encode())
    with pytest.raises(ValueError, match=r"vectors', line 2: NaN or infinity"):
        read_embeddings(path, ["ant", "bee"])
    assert read_embeddings(path, ["ant"])[1].all()
    binary = as_word2vec_binary({"ant": np.ones(2), "bee": np.array([1, np.nan])})
    with pytest.raises(ValueError, match=r"vectors', byte 17: NaN or infinity"):
        read_embeddings(write(binary), ["ant", "bee"])
    with pytest.raises(ValueError, match=r"dict, word 'bee': NaN or infinity"):
        read_embeddings({"bee": [1.0, float(value)]}, ["bee"])


def test_values_that_are_no_numbers_are_named(write):
    path = write(b"ant 1 2\nbee 3 4\ncat x 5\n")
    with pytest.raises(ValueError, match=r"vectors', line 3: could not convert"):
        read_embeddings(path, ["ant", "cat"])


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ("text", "word 'ant': could not convert"),
        (["a", "b"], "word 'ant': could not convert"),
        ([1j], "word 'ant': complex values"),
        (None, r"word 'ant': values of shape \(\)|word 'ant': float"),
        (3.0, r"word 'ant': values of shape \(\), expected a vector"),
        ([], r"word 'ant': values of shape \(0,\), expected a vector"),
        ([[1, 2]], r"word 'ant': values of shape \(1, 2\), expected a vector"),
        ([[1], [1, 2]], "word 'ant': .* inhomogeneous"),
    ],
)
def test_what_is_no_vector_is_named(vector, message):
    with pytest.raises(ValueError, match=message):
        read_embeddings({"ant": vector}, ["ant"])


def test_vectors_of_unequal_lengths_are_named():
    with pytest.raises(ValueError, match=r"2 at word 'bee' and 1 at word 'ant'\."):
        read_embeddings({"ant": [1], "bee": [1, 2]}, ["ant", "bee"])


def test_a_header_that_contradicts_the_lines_is_an_error(write):
    with pytest.raises(ValueError, match=r"2 words of 3 values, but .* 2 values\."):
        read_embeddings(write(b"2 3\nant 1 2\nbee 3 4\n"), ["ant"])


@pytest.mark.parametrize(
    "content",
    [
        b"Once upon a time\nthere was an ant.\n",
        b"ant,1,2\nbee,3,4\n",
        b"\x80\x04\x95\x1a\x00\x00\x00}\x94",  # a pickle
        b"PK\x03\x04\x14\x00\x00\x00",  # a zip archive
        "ant 1 2\n".encode("utf-16"),
        np.random.default_rng(0).bytes(5000),
    ],
)
def test_a_file_of_another_format_is_an_error_that_names_the_formats(write, content):
    with pytest.raises(ValueError, match=r"vectors' has an unknown .*word2vec.* GloVe"):
        read_embeddings(write(content), ["ant"])


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(write, content):
    with pytest.raises(ValueError, match="vectors' is empty"):
        read_embeddings(write(content), ["ant"])


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.txt' does not exist. Check the path"):
        read_embeddings(str(tmp_path / "none.txt"), ["ant"])
    with pytest.raises(ValueError, match=rf"{tmp_path.name}' cannot be read: Is a dir"):
        read_embeddings(tmp_path, ["ant"])


def test_no_known_word_at_all_is_an_error_that_speaks_of_capitals(write):
    expected = r"none of the 1 words .*'Ant'.*Set lowercase and tokenizer"
    for source in ({"ant": [1]}, write(b"ant 1 2\n"), write(b"1 1\nant 1\n")):
        with pytest.raises(ValueError, match=expected):
            read_embeddings(source, ["Ant"])


@pytest.mark.parametrize("embeddings", [np.ones((2, 3)), [[1, 2]], 3, None, Path])
def test_what_holds_no_words_is_a_type_error(embeddings):
    with pytest.raises(TypeError, match="expected a mapping from words to vectors"):
        read_embeddings(embeddings, ["ant"])
