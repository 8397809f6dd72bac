"""The feature cache: rows of features by the hash of all that they depend on.

It is shared by the threads, processes and later starts of Python that use the same
folder. `database` keeps one SQLite file there, `rows` says how features are stored
in it, and `claims` who computes what, so that several workers that meet the same
images at the same time compute each of them once::

    found = cache.lookup(keys)
    with cache.claims() as claims:
        while missing := [key for key in keys if key not in found]:
            mine = claims.take(missing, batch_size)
            if mine:
                computed = compute(mine)
                cache.store(computed)
                found |= computed
            else:
                cache.wait(missing)
                found |= cache.lookup(missing)
"""

import contextlib
import os
import sqlite3
import sys
import time
from os import PathLike
from pathlib import Path

import numpy as np

from .claims import Claims, is_any_free, release_claims
from .database import Database
from .rows import encode, find_rows, insert_rows

BYTES_LIMIT = 10 * 2**30
USE_RESOLUTION = 3600  # seconds; uses are noted this seldom, as it is a write
EVICTION_SLACK = 0.01  # of the limit, so that not every batch has to evict
MOST_EVICTED = 2**26  # bytes at a time, so that others do not wait for long
FIND_OLDEST = (
    "SELECT id, coalesce(CAST(size AS INTEGER), 0) FROM uses ORDER BY time, id"
)
POLL_INTERVALS = (0.01, 0.2)  # seconds, the first and the longest


class FeatureCache:
    """A folder of features that are looked up by a key.

    Whatever goes wrong with the folder, the caller goes on without it, with one
    warning for each instance.

    Parameters
    ----------
    folder : str or path-like
        The folder, created with access for its owner alone when first stored to.

    bytes_limit : int, default=10737418240
        Size of the file above which those rows are removed that have not been used
        for the longest time, to the hour. It may be exceeded by what is stored at
        a time.

    Attributes
    ----------
    folder : Path
        The folder.

    bytes_limit : int
        The limit.

    Raises
    ------
    ValueError
        If `folder` is empty, or in a home folder and none is known.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skcnn.features import FeatureCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = FeatureCache(folder)
    ...     cache.store({b"the hash of a cat": np.ones(2, dtype="float32")})
    ...     cache.lookup([b"the hash of a cat", b"the hash of a dog"])
    {b'the hash of a cat': array([1., 1.], dtype=float32)}
    """

    def __init__(self, folder, bytes_limit=BYTES_LIMIT):
        self.folder = _absolute(folder)
        self.bytes_limit = bytes_limit
        self._database = Database(self.folder)

    def __len__(self):
        return self._database.read(_count, 0)

    @property
    def nbytes(self):
        """Size of the file in bytes."""
        with contextlib.suppress(OSError):
            return self._database.path.stat().st_size
        return 0

    def lookup(self, keys):
        """Find what is stored.

        Parameters
        ----------
        keys : iterable of bytes
            The keys, many at a time for speed.

        Returns
        -------
        dict of bytes to ndarray of shape (n_features,)
            The features of those keys that are stored and not damaged, read-only.
        """
        keys = list(keys)
        return self._database.read(lambda db: _lookup(db, keys), {})

    def store(self, rows):
        """Store features, in one transaction, and end the claims on them.

        Parameters
        ----------
        rows : dict of bytes to ndarray of shape (n_features,)
            The features of each key, float32 or float64.

        Raises
        ------
        ValueError
            If a row has another number of dimensions or another dtype.
        """
        rows = [encode(key, row) for key, row in rows.items()]
        if not self._database.write(lambda db: self._store(db, rows), False):
            release_claims(self._database)

    def claims(self):
        """Return the claims of one worker, for a ``with`` statement.

        Returns
        -------
        Claims
        """
        return Claims(self._database)

    def wait(self, keys):
        """Wait until a key is stored or can be claimed, or the cache fails.

        What this worker itself has claimed should be computed first.

        Parameters
        ----------
        keys : iterable of bytes
            Keys that others have claimed.
        """
        keys = set(keys)
        interval, longest = POLL_INTERVALS
        while keys and not self._is_any_free(keys):
            time.sleep(interval)
            interval = min(2 * interval, longest)

    def clear(self):
        """Remove the files of the cache, and nothing else that is in the folder.

        Raises
        ------
        OSError
            If they cannot be removed.
        """
        self._database.remove()

    def _store(self, db, rows):
        db.executemany("DELETE FROM claims WHERE key = ?", [row[:1] for row in rows])
        insert_rows(db, rows, time.time())
        _evict(db, self.bytes_limit)
        return True

    def _is_any_free(self, keys):
        return self._database.read(
            lambda db: is_any_free(db, self.folder, keys), default=True
        )


def default_cache_folder():
    """Return the folder in which features are kept for the user.

    Returns
    -------
    Path
        The folder that the environment variable ``SKCNN_CACHE`` names, or ``skcnn``
        where the system keeps caches: ``~/.cache`` or ``$XDG_CACHE_HOME``,
        ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.

    Raises
    ------
    ValueError
        If it is in a home folder, and none is known.
    """
    folder = os.environ.get("SKCNN_CACHE")
    return _absolute(folder) if folder else _system_cache_folder() / "skcnn"


def find_cache_folder(memory):
    """Return the folder that a `memory` stands for.

    Parameters
    ----------
    memory : True, str or path-like
        A folder; True for the user's own.

    Returns
    -------
    str or path-like
        The folder.

    Raises
    ------
    TypeError
        If `memory` is neither.

    ValueError
        As `default_cache_folder`.

    Examples
    --------
    >>> from skcnn.features import find_cache_folder
    >>> find_cache_folder("features")
    'features'
    """
    if isinstance(memory, bool | np.bool_) and memory:
        return default_cache_folder()
    if not isinstance(memory, str | PathLike):
        raise TypeError(
            f"memory={memory!r} is neither True, for the user's own cache, nor the "
            "path of a folder."
        )
    return memory


def clear_cache(memory=True):
    """Remove the features that are kept in a folder.

    Parameters
    ----------
    memory : True, str or path-like, default=True
        The folder that was given to ``CNNFeatureTransformer``; True for the user's
        own. Whatever else is in it stays.

    Raises
    ------
    TypeError
        If `memory` is neither True nor a folder.

    OSError
        If they cannot be removed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skcnn import clear_cache
    >>> from skcnn.features import FeatureCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = FeatureCache(folder)
    ...     cache.store({b"the hash of a cat": np.ones(2, dtype="float32")})
    ...     print(len(cache))
    ...     clear_cache(folder)
    ...     print(len(cache))
    1
    0
    """
    FeatureCache(find_cache_folder(memory)).clear()


def _system_cache_folder():
    variable, usual = {
        "win32": ("LOCALAPPDATA", "~/AppData/Local"),
        "darwin": ("", "~/Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    return _absolute(os.environ.get(variable) or usual)


def _absolute(folder):
    """Return the path of a folder, the user's home filled in."""
    if not str(folder) or "\0" in str(folder):
        raise ValueError(f"memory={folder!r} is the path of no folder.")
    try:
        return Path(folder).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(
            f"The folder {str(folder)!r} of the cache is in a home folder that is not "
            "known here. Name another one: memory='/path/of/a/folder', or the "
            "environment variable SKCNN_CACHE for memory=True."
        ) from error


def _count(db):
    return db.execute("SELECT count(*) FROM uses").fetchone()[0]


def _lookup(db, keys):
    now, rows, unnoted = time.time(), {}, []
    for key, row, number, used in find_rows(db, keys):
        rows[key] = row
        if not now - USE_RESOLUTION < used <= now:
            unnoted.append((now, number))
    if unnoted:
        _note_uses(db, unnoted)
    return rows


def _note_uses(db, uses):
    """Note when rows were used, if that is possible without ado."""
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA busy_timeout = 1000")  # milliseconds
        db.execute("BEGIN IMMEDIATE")
        db.executemany("UPDATE uses SET time = ? WHERE id = ?", uses)
        db.execute("COMMIT")


def _evict(db, bytes_limit):
    """Remove the rows that have not been used for longest, and shrink the file."""
    page_size, n_free = _pragma(db, "page_size"), _pragma(db, "freelist_count")
    excess = (_pragma(db, "page_count") - n_free) * page_size - bytes_limit
    if excess > 0:
        wanted = excess + EVICTION_SLACK * bytes_limit
        _remove_oldest_rows(db, min(wanted, MOST_EVICTED))
    surplus = _pragma(db, "page_count") - bytes_limit // page_size
    for _ in range(min(surplus, _pragma(db, "freelist_count"))):
        db.execute("PRAGMA incremental_vacuum(1)")  # sqlite3 does one step at a call


def _remove_oldest_rows(db, n_bytes):
    oldest = []
    for number, size in db.execute(FIND_OLDEST):
        if n_bytes <= 0:
            break
        oldest.append((number,))
        n_bytes -= size
    for table in ("features", "uses"):
        db.executemany(f"DELETE FROM {table} WHERE id = ?", oldest)


def _pragma(db, name):
    return db.execute(f"PRAGMA {name}").fetchone()[0]
