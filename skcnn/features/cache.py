"""Feature cache: feature vectors by the hash of everything that they depend on.

All threads, processes and later sessions that use the same folder share the cache. The
folder holds an SQLite database, lock files and, perhaps, finished fits. Each image
belongs to one of `N_STRIPES` stripes, by its hash. A worker locks a stripe, looks up
its images, computes and stores the missing ones, and releases the lock, so that nothing
is computed twice.
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
    """Cache of features in a folder, looked up by key.

    If the folder cannot be used, nothing is found or stored, and one warning is
    issued. A folder that belongs to another user, or that others may write to, is
    not used.

    Parameters
    ----------
    folder : str or path-like
        Folder, created by the first `store` with access for its owner alone.

    bytes_limit : int, default=10737418240
        Maximum size of the database. When it is exceeded, the least recently used
        features are removed; the time of a use is recorded to the hour.

    Attributes
    ----------
    folder : Path
        The folder.

    bytes_limit : int
        Maximum size of the database.

    Raises
    ------
    ValueError
        If `folder` is not valid, or in a home folder that is unknown.

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
        """Look up features.

        Parameters
        ----------
        keys : iterable of bytes
            Keys. One call for many keys is faster than many calls.

        Returns
        -------
        dict of bytes to ndarray of shape (n_features,)
            Features of the keys that are stored and not damaged, read-only.
        """
        keys = list(keys)
        return self._database.run(lambda db: find_vectors(db, keys), {})

    def store(self, vectors):
        """Store features in one transaction.

        Parameters
        ----------
        vectors : dict of bytes to ndarray of shape (n_features,)
            Features by key, float32 or float64.

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
        The lock is released when its process ends.

        Parameters
        ----------
        stripe : int
            Stripe, see `stripe_of`.

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
        """Stop using the cache, with a warning.

        Parameters
        ----------
        reason : str
            Reason, for the warning.
        """
        self._database.give_up(reason)

    def clear(self):
        """Remove the database. Lock files, which are empty, stay in the folder.

        Raises
        ------
        OSError
            If the database cannot be removed.
        """
        self._database.remove()


def default_cache_folder():
    """Return the default cache folder of the user.

    Returns
    -------
    Path
        Value of the environment variable ``SKCNN_CACHE``, or ``skcnn`` in the cache
        folder of the system: ``~/.cache`` or ``$XDG_CACHE_HOME``, ``~/Library/Caches``
        on macOS, ``%LOCALAPPDATA%`` on Windows.

    Raises
    ------
    ValueError
        If it is in a home folder that is unknown.
    """
    folder = os.environ.get("SKCNN_CACHE")
    return _absolute(folder) if folder else _system_cache_folder() / "skcnn"


def find_cache_folder(memory):
    """Return the folder of a `memory` parameter.

    Parameters
    ----------
    memory : True, str or path-like
        Folder, or True for the cache folder of the user.

    Returns
    -------
    str or path-like
        The folder.

    Raises
    ------
    TypeError
        If `memory` is neither True nor a path.

    ValueError
        If the folder is in a home folder that is unknown.

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
            f"memory={memory!r}, expected the path of a folder, or True for the cache "
            "folder of the user."
        )
    return memory


def clear_cache(memory=True):
    """Remove the cached features and fits of a folder.

    Parameters
    ----------
    memory : True, str or path-like, default=True
        Folder that was passed to an estimator as `memory`, or True for the cache folder
        of the user. Other files in it are kept.

    Raises
    ------
    TypeError
        If `memory` is neither True nor a path.

    OSError
        If a file cannot be removed.

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
    """Return the store of fits in the folder of a `memory` parameter.

    Parameters
    ----------
    memory : True, str or path-like
        Folder, or True for the cache folder of the user.

    Returns
    -------
    FitFiles
        The store.

    Raises
    ------
    TypeError, ValueError
        If `memory` is not valid, see `find_cache_folder`.

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
    """Return the absolute path of a folder, with the home folder expanded."""
    if not str(folder) or "\0" in str(folder):
        raise ValueError(f"memory={folder!r} is not a valid path of a folder.")
    try:
        path = Path(folder).expanduser()
        return path.absolute()
    except FileNotFoundError:  # the working folder was removed: storing will fail
        return path
    except RuntimeError as error:
        raise ValueError(
            f"The home folder of the cache folder {str(folder)!r} is unknown. "
            "Set memory='/path/of/a/folder', or the environment variable SKCNN_CACHE "
            "for memory=True."
        ) from error


def _count(db):
    return db.execute("SELECT count(*) FROM features").fetchone()[0]
