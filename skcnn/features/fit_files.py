"""Store of fits: pickles of training results, in a folder private to its user."""

import os
import pickle
from hashlib import blake2b
from pathlib import Path

from ..runtime import warn
from .cache_folder import CacheFolder

BYTES_LIMIT = 10 * 2**30
DIGEST_SIZE = 32


class FitFiles(CacheFolder):
    """Store of named values, each in a file that is written atomically.

    Damaged files are removed with a warning.

    Parameters
    ----------
    folder : Path
        Absolute path of the folder, which is created by the first `store` with access
        for its owner alone.

    bytes_limit : int, default=10737418240
        Maximum size of all files. When it is exceeded, the least recently used ones
        are removed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skcnn.features.fit_files import FitFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = FitFiles(Path(folder))
    ...     files.store("a fit", [1, 2])
    ...     files.load("a fit"), files.load("another fit")
    ([1, 2], None)
    """

    holds, consequence = "store of fits", "Fits are not stored."

    def __init__(self, folder, bytes_limit=BYTES_LIMIT):
        super().__init__(folder)
        self.bytes_limit = bytes_limit

    def load(self, name):
        """Load the value of a name.

        Parameters
        ----------
        name : str
            Name of the value.

        Returns
        -------
        object or None
            The value; None if there is none or its file is damaged.
        """
        path = self._path(name)
        try:
            if not self._is_available(create=False) or not path.exists():
                return None
            os.utime(path)  # the time of its last use
            return _unpickle(path.read_bytes())
        except FileNotFoundError:  # another worker has just removed it
            return None
        except OSError as error:
            self.give_up(error)
        except Exception as error:  # a damaged pickle may raise anything
            path.unlink(missing_ok=True)
            warn(f"{path} was damaged ({error}) and removed. The fit is repeated.")
        return None

    def store(self, name, value):
        """Store a value, unless it cannot be pickled.

        Parameters
        ----------
        name : str
            Name of the value.

        value : object
            The value.
        """
        try:
            data = pickle.dumps(value, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError):  # a local class
            return
        try:
            if self._is_available(create=True):
                self._write(self._path(name), data)
                self._evict()
        except FileNotFoundError:  # another worker has just cleared the folder
            return
        except OSError as error:
            self.give_up(error)

    def _path(self, name):
        return self.folder / f"fit-{name}.pickle"

    def _write(self, path, data):
        """Write a file atomically: under a temporary name first."""
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(_checksum(data))
                file.write(data)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _evict(self):
        """Remove the least recently used files while all exceed the limit."""
        files = [entry for entry in os.scandir(self.folder) if _is_ours(entry)]
        files = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in files)
        excess = sum(size for _, size, _ in files) - self.bytes_limit
        for _, size, path in files:
            if excess <= 0:
                return
            Path(path).unlink(missing_ok=True)
            excess -= size

    def clear(self):
        """Remove all files.

        Raises
        ------
        OSError
            If a file cannot be removed.
        """
        for path in self.folder.glob("fit-*"):
            path.unlink(missing_ok=True)


def _is_ours(entry):
    """Return whether an entry of the folder is the file of a fit."""
    return entry.name.startswith("fit-") and entry.name.endswith(".pickle")


def _unpickle(content):
    """Return the value of a file; raise an error if it is damaged."""
    data = memoryview(content)[DIGEST_SIZE:]
    if content[:DIGEST_SIZE] != _checksum(data):
        raise ValueError("its checksum is wrong")
    return pickle.loads(data)


def _checksum(data):
    return blake2b(data, digest_size=DIGEST_SIZE).digest()
