"""Files of word vectors: word2vec text and binary files, and GloVe text files."""

import codecs
import gzip
import os
import re
import zlib
from collections import Counter
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

HEADER = re.compile(rb"\s*(\d+)\s+([1-9]\d*)\s*")
HEAD_SIZE = CHUNK_SIZE = 1 << 20  # bytes
N_HEAD_LINES = 100
GZIP_MAGIC = b"\x1f\x8b"
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
KNOWN = (
    "expected a word2vec file, text or binary, or a GloVe text file, plain or gzipped"
)


class FileFormat(NamedTuple):
    """Format of a file of word vectors.

    Parameters
    ----------
    is_binary : bool
        Whether the values are little-endian float32 instead of text.

    n_words : int or None
        Number of words according to the header, None without a header.

    n_values : int
        Length of the vectors.
    """

    is_binary: bool
    n_words: int | None
    n_values: int


def read_entries(path, words):
    """Yield the vectors of given words from a file, in the order of the file.

    The file is read once, and other vectors are not kept.

    Parameters
    ----------
    path : str or PathLike
        Word2vec text file (a header of two numbers, then lines of a word and its
        values), GloVe text file (no header), or word2vec binary file, plain or
        gzipped. The format is recognised from the content.

    words : iterable of str
        Words whose vectors are read.

    Yields
    ------
    word : str
        One of the words. A word that is repeated in the file is yielded again.

    values : list of bytes or ndarray of shape (n_values,)
        Vector of the word; from text files, as text.

    place : str
        Line or byte of the entry.

    Raises
    ------
    ValueError
        If the file does not exist, or is truncated, damaged or in another format. The
        message names the file, and the line or byte.
    """
    wanted = {word.encode("utf-8", "surrogatepass"): word for word in words}
    with errors_naming(path):
        with open_plain(path) as file:
            format_ = recognize(file.read(HEAD_SIZE))
        read = _read_binary if format_.is_binary else _read_text
        with open_plain(path) as file:
            yield from read(file, format_, wanted)


@contextmanager
def errors_naming(path):
    """Add the path of the file to errors raised while it is read."""
    try:
        yield
    except FileNotFoundError:
        reason = "does not exist. Check the path; ~ is not expanded."
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = f"is truncated or damaged: {error}. Download it again."
    except OSError as error:
        reason = f"cannot be read: {error.strerror}."
    except ValueError as error:
        reason = str(error)
    else:
        return
    raise ValueError(f"{os.fspath(path)!r} {reason}")


def open_plain(path):
    """Open a file for reading bytes, decompressed if it is gzipped."""
    with open(path, "rb") as file:
        is_gzipped = file.read(2) == GZIP_MAGIC
    return (gzip.open if is_gzipped else open)(path, "rb")


def recognize(head):
    r"""Recognise the format of a file of word vectors.

    Parameters
    ----------
    head : bytes
        First ``HEAD_SIZE`` bytes of the file, or the whole file if it is smaller.

    Returns
    -------
    FileFormat
        The format.

    Raises
    ------
    ValueError
        If the format is unknown.

    Examples
    --------
    >>> from skcnn.data.embedding_files import recognize
    >>> recognize(b"ant 0.5 1\nNew York 0 2\nbee 1 0\n")
    FileFormat(is_binary=False, n_words=None, n_values=2)
    """
    if not head.strip():
        raise ValueError(f"is empty; {KNOWN}.")
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n", N_HEAD_LINES + 1)
    is_whole = len(head) < HEAD_SIZE and len(lines) <= N_HEAD_LINES + 1
    if len(lines) > 1 and not is_whole:
        del lines[-1]
    header = HEADER.fullmatch(lines[0])
    if header is None:
        n_values = _count_values(lines)
        if CONTROL.search(head) or not n_values:
            raise ValueError(f"has an unknown format; {KNOWN}.")
        return FileFormat(False, None, n_values)
    n_words, n_values = map(int, header.groups())
    n_in_lines = _count_values(lines[1:])
    if n_in_lines in (n_values, None):
        return FileFormat(False, n_words, n_values)
    if not _is_text(head):
        return FileFormat(True, n_words, n_values)
    raise ValueError(
        f"has a header for {n_words} words of {n_values} values, but lines with "
        f"{n_in_lines} values. Correct the header."
    )


def _count_values(lines):
    """Return the most frequent number of values in a line, None without lines.

    A word may contain spaces and end in a number, so one line is not enough. In a tie,
    the smallest number is returned.
    """
    counts = Counter(_count_numbers(line.split()[1:]) for line in lines if line.strip())
    return min(counts, key=lambda n: (-counts[n], n), default=None)


def _count_numbers(fields):
    """Return how many fields at the end of a line are numbers."""
    for n, field in enumerate(reversed(fields)):
        try:
            float(field)
        except ValueError:
            return n
    return len(fields)


def _is_text(head):
    """Return whether bytes are UTF-8 without control characters."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return CONTROL.search(head) is None


def _read_text(file, format_, wanted):
    """Yield the entries of wanted words from a text file.

    In other lines only the number of values is checked, which is many times faster.
    """
    first_parts = {word.split(None, 1)[0] for word in wanted if word.strip()}
    n_words = 0
    start = 1 if format_.n_words is None else 2
    if start == 2:
        file.readline()
    for number, line in enumerate(file, start):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        line = line.rstrip()
        if not line:
            continue
        n_words += 1
        n_separators = line.count(b" ") + line.count(b"\t")
        if n_separators < format_.n_values:
            raise ValueError(
                f"is damaged or truncated in line {number}, which has {n_separators} "
                f"values instead of {format_.n_values}. Download it again."
            )
        if line.split(None, 1)[0] in first_parts:
            word, *values = line.rsplit(None, format_.n_values)
            if word in wanted:
                yield wanted[word], values, f"line {number}"
    _check_count(n_words, format_)


def _read_binary(file, format_, wanted):
    """Yield the entries of wanted words from a binary file, newlines optional."""
    size = 4 * format_.n_values
    offset = len(file.readline())
    buffer, at = b"", 0
    for row in range(format_.n_words):
        end = buffer.find(b" ", at)
        while end < 0 or len(buffer) <= end + size:
            more = file.read(CHUNK_SIZE)
            if not more:
                _check_count(row, format_, offset + at)
            buffer, at, offset = buffer[at:] + more, 0, offset + at
            end = buffer.find(b" ")
        word = buffer[at:end].lstrip(b"\n")
        if word in wanted:
            values = np.frombuffer(buffer, "<f4", format_.n_values, end + 1)
            yield wanted[word], values, f"byte {offset + end - len(word)}"
        at = end + 1 + size


def _check_count(n_words, format_, byte=None):
    """Raise a ValueError if the file has fewer words than its header says."""
    if format_.n_words is not None and n_words < format_.n_words:
        place = "" if byte is None else f", at byte {byte}"
        raise ValueError(
            f"is truncated: its header says {format_.n_words} words, but it ends after "
            f"{n_words}{place}. Download it again."
        )
