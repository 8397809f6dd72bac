"""Feature cache: feature vectors by the hash of all that they depend on.

It is shared by the threads, processes and later starts of Python that use the same
folder, which holds one SQLite database and some lock files, and may hold finished fits
as well. Images belong to one of `N_STRIPES` stripes, by their hash. A worker that holds
the lock of a stripe looks its images up, computes those that are missing, stores them,
and releases the lock, so that nothing is computed twice.
"""

import os
import sys
from os import PathLike
from pathlib import Path

import numpy as np

from .database import Database
from .feature_vectors import encode, evict_vectors, find_vectors, insert_vectors
from .fit_files import FitFiles

BYTES_LIMIT = 10 * 2**30
N_STRIPES = 16


class FeatureCache:
    """Folder of features that are looked up by a key.

    If the folder cannot be used, nothing is found or stored, and one warning is
    issued. A folder that belongs to another user, or that others may write to, is
    not used.

    Parameters
    ----------
    folder : str or path-like
        The folder, created with access for its owner alone when first stored to.

    bytes_limit : int, default=10737418240
        Maximum size of the database. When it is exceeded, the least recently used
        features are removed; uses are noted to the hour.

    Attributes
    ----------
    folder : Path
        The folder.

    bytes_limit : int
        Maximum size of the database.

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
        return self._database.run(_count, 0)

    @property
    def nbytes(self):
        """Size of the database in bytes."""
        path = self._database.path
        return path.stat().st_size if path.exists() else 0

    def lookup(self, keys):
        """Look features up.

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
        return self._database.run(lambda db: find_vectors(db, keys), {})

    def store(self, vectors):
        """Store features in one transaction.

        Parameters
        ----------
        vectors : dict of bytes to ndarray of shape (n_features,)
            The features of each key, float32 or float64.

        Raises
        ------
        ValueError
            If an array has another number of dimensions or another dtype.
        """
        rows = [encode(key, vector) for key, vector in vectors.items()]

        def insert(db):
            insert_vectors(db, rows)
            evict_vectors(db, self.bytes_limit)

        self._database.run(insert, write=True)

    def stripe_of(self, digest):
        """Return the stripe of an image.

        Parameters
        ----------
        digest : bytes
            Hash of the image, at least one byte.

        Returns
        -------
        int
            A number in ``range(N_STRIPES)``.
        """
        return digest[-1] % N_STRIPES

    def lock(self, stripe, timeout=0):
        """Lock a stripe.

        To avoid deadlocks, no worker should wait for a stripe while it holds another.
        The lock ends with the process that holds it.

        Parameters
        ----------
        stripe : int
            A stripe.

        timeout : float, default=0
            Maximum time to wait, in seconds.

        Returns
        -------
        FileLock or None
            The lock, to be released; None if another worker holds it. If the cache
            cannot be used, a lock that is not held.
        """
        return self._database.lock(f"features-{stripe:02}.lock", timeout)

    def give_up(self, reason):
        """Go on without the cache, with a warning.

        Parameters
        ----------
        reason : str
            What is wrong with it.
        """
        self._database.give_up(reason)

    def clear(self):
        """Remove the database. Lock files, which are empty, stay in the folder.

        Raises
        ------
        OSError
            If it cannot be removed.
        """
        self._database.remove()


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
    """Remove the features and the fits that are kept in a folder.

    Parameters
    ----------
    memory : True, str or path-like, default=True
        The folder that an estimator was given as `memory`; True for the user's own.
        Whatever else is in it stays.

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
    cache = FeatureCache(find_cache_folder(memory))
    cache.clear()
    FitFiles(cache.folder).clear()


def find_fit_files(memory):
    """Return the store of fits in the folder that a `memory` stands for.

    Parameters
    ----------
    memory : True, str or path-like
        A folder; True for the user's own.

    Returns
    -------
    FitFiles
        The store.

    Raises
    ------
    TypeError, ValueError
        As `find_cache_folder`.

    Examples
    --------
    >>> from skcnn.features import find_fit_files
    >>> find_fit_files("fits").load("a fit") is None
    True
    """
    return FitFiles(_absolute(find_cache_folder(memory)))


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
        path = Path(folder).expanduser()
        return path.absolute()
    except FileNotFoundError:  # the working folder was removed: storing will fail
        return path
    except RuntimeError as error:
        raise ValueError(
            f"The folder {str(folder)!r} of the cache is in a home folder that is not "
            "known here. Name another one: memory='/path/of/a/folder', or the "
            "environment variable SKCNN_CACHE for memory=True."
        ) from error


def _count(db):
    return db.execute("SELECT count(*) FROM features").fetchone()[0]
