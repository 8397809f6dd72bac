"""Folder of a cache, private to its user."""

import os

from filelock import FileLock, Timeout

from ..runtime import warn


class CacheFolder:
    """Folder of a cache, given by its absolute path, and its locks.

    After the first failure, a warning is issued and the folder is no longer used.
    """

    is_usable = True
    holds, consequence = "feature cache", "Features are not cached."

    def __init__(self, folder):
        self.folder = folder

    def lock(self, name, timeout):
        """Acquire and return a lock of the folder, or None after a timeout.

        If the folder cannot be used, the returned lock is not acquired.
        """
        lock = self._make_lock(name)
        try:
            if self._is_available(create=True):
                lock.acquire(timeout=timeout)
        except Timeout:
            return None
        except OSError as error:
            self.give_up(error)
        return lock

    def give_up(self, reason):
        """Stop using the folder, with a warning."""
        self.is_usable = False
        warn(
            f"The {self.holds} in {self.folder} cannot be used ({reason}). "
            f"{self.consequence} Make the folder writable only by you, or choose "
            "another one.",
        )

    def _is_available(self, create):
        """Return whether the folder exists; raise an error if it is not private."""
        if not self.is_usable:
            return False
        if create:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not self.folder.exists():
            return False
        _check_owner(self.folder)
        return True

    def _make_lock(self, name):
        """Return a lock that any thread of this process may release."""
        return FileLock(self.folder / name, mode=0o600, thread_local=False)


def _check_owner(folder):
    """Raise an error if other users may have written to a folder."""
    if not hasattr(os, "geteuid"):
        return
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError("the folder belongs to another user")
    if status.st_mode & 0o022:
        raise PermissionError("other users may write to the folder")
