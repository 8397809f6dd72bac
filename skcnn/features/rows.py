"""Rows of features as the database of the feature cache holds them."""

import sqlite3
import zlib

import numpy as np

DTYPES = ("<f4", "<f8")
CHUNK_SIZE = 500  # keys of one query; SQLite before 3.32 takes 999 at most
FIND = (
    "SELECT id, coalesce(CAST(time AS REAL), 0), key, dtype, length, checksum, data "
    "FROM features CROSS JOIN uses USING (id) WHERE key IN ({})"
)
INSERT = (
    "INSERT INTO features (key, dtype, length, checksum, data) "
    "VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET dtype = excluded.dtype, "
    "length = excluded.length, checksum = excluded.checksum, data = excluded.data"
)
INSERT_USE = (
    "INSERT OR REPLACE INTO uses SELECT id, ?, length(data) FROM features WHERE key = ?"
)


class DamageError(sqlite3.DatabaseError):
    """A database does not hold what was written to it."""


def query_keys(db, statement, keys):
    """Yield what a statement finds for keys, of which SQLite takes some at a time.

    Parameters
    ----------
    db : sqlite3.Connection
        The database.

    statement : str
        A query with ``{}`` in place of the keys.

    keys : list of bytes
        The keys.

    Yields
    ------
    tuple
    """
    for start in range(0, len(keys), CHUNK_SIZE):
        chunk = keys[start : start + CHUNK_SIZE]
        yield from db.execute(statement.format(",".join("?" * len(chunk))), chunk)


def find_rows(db, keys):
    """Find the features of keys.

    Parameters
    ----------
    db : sqlite3.Connection
        The database.

    keys : list of bytes
        The keys.

    Yields
    ------
    key : bytes
        A key that is stored, and not damaged.

    row : ndarray of shape (n_features,)
        Its features, read-only.

    number : int
        The number of the row in the database.

    time : float
        When it was last used, as far as it was noted.
    """
    for number, time, key, *fields in query_keys(db, FIND, keys):
        row = _decode(key, *fields)
        if row is not None:
            yield key, row, number, time


def insert_rows(db, rows, time):
    """Insert rows, in the place of those that have the same keys.

    Parameters
    ----------
    db : sqlite3.Connection
        The database.

    rows : list of tuple
        What `encode` returns.

    time : float
        The time of use that is noted.

    Raises
    ------
    DamageError
        If the rows cannot be found then.
    """
    keys = [key for key, *_ in rows]
    db.executemany(INSERT, rows)
    db.executemany(INSERT_USE, [(time, key) for key in keys])
    if {key for key, *_ in find_rows(db, keys)} != set(keys):
        raise DamageError("rows that were inserted cannot be found")


def encode(key, row):
    """Return key, dtype, length, checksum and bytes of a row of features.

    Parameters
    ----------
    key : bytes
        The key.

    row : ndarray of shape (n_features,), float32 or float64
        The features.

    Returns
    -------
    tuple

    Raises
    ------
    TypeError
        If `key` is not bytes.

    ValueError
        If `row` has another number of dimensions or another dtype.
    """
    if not isinstance(key, bytes):
        raise TypeError(f"A key of features is {key!r}, expected bytes.")
    dtype = row.dtype.newbyteorder("<")
    if row.ndim != 1 or dtype.str not in DTYPES:
        raise ValueError(
            f"A row of features has shape {row.shape} and dtype {row.dtype}; expected "
            "one dimension, and float32 or float64."
        )
    data = row.astype(dtype, copy=False).tobytes()
    return key, dtype.str, len(row), _checksum(key, dtype.str, len(row), data), data


def _decode(key, dtype, length, checksum, data):
    """Return a row of features, or None where anything of it is damaged."""
    if dtype not in DTYPES or not (isinstance(key, bytes) and isinstance(data, bytes)):
        return None
    if _checksum(key, dtype, length, data) != checksum:
        return None
    return np.frombuffer(data, dtype)


def _checksum(key, dtype, length, data):
    return zlib.crc32(data, zlib.crc32(key + f"{dtype}{length}".encode()))
