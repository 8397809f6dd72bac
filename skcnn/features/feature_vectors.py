"""Table of feature vectors in the database of the feature cache."""

import sqlite3
import time
import zlib

import numpy as np

SCHEMA = (
    b"CREATE TABLE features (key BLOB NOT NULL PRIMARY KEY, used REAL, "
    b"itemsize INTEGER, checksum INTEGER, data BLOB)",
    b"CREATE INDEX by_use ON features (used)",
)
ITEM_SIZES = (4, 8)  # bytes of a float32 and a float64
QUERY_SIZE = 500  # keys of one query; SQLite before 3.32 takes 999 at most
FIND = (
    "SELECT key, coalesce(CAST(used AS REAL), 0), itemsize, checksum, data "
    "FROM features WHERE key IN ({})"
)
USE_RESOLUTION = 3600  # seconds; uses are noted at most this often, as each is a write
EVICTION_SLACK = 0.01  # of the limit, so that not every batch has to evict
MOST_EVICTED = 2**26  # bytes at a time, so that others do not wait for long


class DamageError(sqlite3.DatabaseError):
    """Error for a database that does not hold what was written to it."""


def encode(key, vector):
    """Return the row of a float32 or float64 vector; raise an error for others."""
    if not isinstance(key, bytes):
        raise TypeError(f"A key of features is {key!r}, expected bytes.")
    size = vector.dtype.itemsize
    if vector.ndim != 1 or vector.dtype.kind != "f" or size not in ITEM_SIZES:
        raise ValueError(
            f"A row of features has shape {vector.shape} and dtype {vector.dtype}; "
            "expected one dimension, and float32 or float64."
        )
    data = vector.astype(f"<f{size}", copy=False).tobytes()
    return key, time.time(), size, _checksum(key, size, data), data


def find_vectors(db, keys):
    """Return the stored, undamaged vectors of some keys, read-only."""
    now, found, unnoted = time.time(), {}, []
    for start in range(0, len(keys), QUERY_SIZE):
        chunk = keys[start : start + QUERY_SIZE]
        statement = FIND.format(",".join("?" * len(chunk)))
        for key, used, *fields in db.execute(statement, chunk):
            vector = _decode(key, *fields)
            if vector is not None:
                found[key] = vector
                if not now - USE_RESOLUTION < used <= now:
                    unnoted.append((now, key))
    if unnoted:
        _note_uses(db, unnoted)
    return found


def insert_vectors(db, rows):
    """Insert encoded rows, replacing those with the same keys."""
    db.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?)", rows)
    keys = [key for key, *_ in rows]
    if find_vectors(db, keys).keys() != set(keys):
        raise DamageError("rows that were inserted cannot be found")


def evict_vectors(db, bytes_limit):
    """Remove the least recently used rows and shrink the file; commit both."""
    page_size, n_free = _pragma(db, "page_size"), _pragma(db, "freelist_count")
    excess = (_pragma(db, "page_count") - n_free) * page_size - bytes_limit
    if excess > 0:
        _remove_oldest(db, min(excess + EVICTION_SLACK * bytes_limit, MOST_EVICTED))
    db.commit()
    surplus = _pragma(db, "page_count") - bytes_limit // page_size
    if surplus > 0:  # Python's `execute` would free one page only
        db.executescript(f"PRAGMA incremental_vacuum({surplus})")


def _remove_oldest(db, n_bytes):
    oldest = []
    for number, size in db.execute(
        "SELECT rowid, length(data) FROM features ORDER BY used, rowid"
    ):
        if n_bytes <= 0:
            break
        oldest.append((number,))
        n_bytes -= size or 0
    db.executemany("DELETE FROM features WHERE rowid = ?", oldest)


def _note_uses(db, uses):
    """Note when rows were used, unless the disk is full or others read."""
    try:
        db.executemany("UPDATE features SET used = ? WHERE key = ?", uses)
        db.commit()
    except sqlite3.OperationalError:
        db.rollback()


def _pragma(db, name):
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def _decode(key, size, checksum, data):
    """Return a feature vector, or None if its row is damaged."""
    are_bytes = isinstance(key, bytes) and isinstance(data, bytes)
    if size not in ITEM_SIZES or not are_bytes:
        return None
    if _checksum(key, size, data) != checksum:
        return None
    return np.frombuffer(data, f"<f{size}")


def _checksum(key, size, data):
    return zlib.crc32(data, zlib.crc32(key + bytes([size])))
