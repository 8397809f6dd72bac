"""Folder of a cache, which is used if it belongs to its user alone."""

import os

from filelock import FileLock, Timeout

from ..runtime import warn


class CacheFolder:
    """Folder, an absolute path, and the locks in it.

    After the first operation that fails, it warns, and does nothing any more.
    """

    is_usable = True
    holds, consequence = "feature cache", "Features are computed and not kept."

    def __init__(self, folder):
        self.folder = folder

    def lock(self, name, timeout):
        """Return the lock of a file in the folder, None if others hold it for longer.

        If the folder cannot be used, the lock is not held.
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
        """Leave the folder alone from now on, with a warning."""
        self.is_usable = False
        warn(
            f"The {self.holds} in {self.folder} cannot be used ({reason}). "
            f"{self.consequence} Free some space, make the folder writable for you "
            "alone, or choose another one.",
        )

    def _is_available(self, create):
        """Return whether there is a folder that is ours alone."""
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
