"""Locks between threads and processes, which end with who holds them."""

import contextlib
import os
import re
import threading
import time

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None

LOCK_TIMEOUT = 30  # seconds
RETRY_INTERVAL = 0.01  # seconds
WORKER_LOCK = re.compile("features-([0-9a-f]{32}).lock")

# SQLite notes in memory which file locks its process holds, and a fork copies the
# note but not the locks: no thread may be inside SQLite while another one forks.
process_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=process_lock.acquire,
        after_in_parent=process_lock.release,
        after_in_child=process_lock.release,
    )


def open_locked(path, shared=False):
    """Open a lock file and lock it, without waiting.

    The lock ends when the descriptor is closed, or with the process. Nothing is
    locked on Windows, where an open file stands for a locked one.

    Parameters
    ----------
    path : Path
        The lock file, created if need be.

    shared : bool, default=False
        Whether others may share the lock.

    Returns
    -------
    int or None
        The descriptor, or None where others hold the lock.
    """
    # Network file systems lock exclusively only what is open for writing.
    flags = os.O_CREAT | (os.O_RDONLY if shared else os.O_RDWR)
    with contextlib.ExitStack() as stack:
        descriptor = os.open(path, flags, 0o600)
        stack.callback(os.close, descriptor)
        if fcntl is None or _lock(descriptor, path, shared):
            stack.pop_all()
            return descriptor


def _lock(descriptor, path, shared):
    """Return whether the lock was had, on the file that the path still names."""
    try:
        fcntl.flock(
            descriptor, fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        )
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


@contextlib.contextmanager
def locked(path, shared=False, timeout=LOCK_TIMEOUT):
    """Wait for the lock of a lock file, and hold it within this context.

    It does nothing on Windows.

    Parameters
    ----------
    path, shared
        As of `open_locked`.

    timeout : float, default=30
        Seconds to wait at most.

    Raises
    ------
    TimeoutError
        If others hold the lock for longer.
    """
    if fcntl is None:
        yield
        return
    deadline = time.monotonic() + timeout
    while (descriptor := open_locked(path, shared)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{path} is locked")
        time.sleep(RETRY_INTERVAL)
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(path):
    """Return whether a process that lives holds the exclusive lock of a file.

    Parameters
    ----------
    path : Path
        The lock file, which may be missing. On Windows, one that nobody holds is
        removed.

    Returns
    -------
    bool
    """
    if fcntl is None:
        return _is_open_on_windows(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor, path, shared=True)
    finally:
        os.close(descriptor)


def worker_lock(folder, name):
    """Return the path of the lock file of a worker.

    Parameters
    ----------
    folder : Path
        The folder of the cache.

    name : str
        Name of the worker, 32 hexadecimal digits.

    Returns
    -------
    Path
    """
    return folder / f"features-{name}.lock"


def find_worker_locks(folder):
    """Find the lock files of workers, living or dead.

    Parameters
    ----------
    folder : Path
        The folder of the cache.

    Returns
    -------
    dict of str to Path
        The lock file of each worker.
    """
    matches = {path: WORKER_LOCK.fullmatch(path.name) for path in folder.iterdir()}
    return {match[1]: path for path, match in matches.items() if match}


def _is_open_on_windows(path):
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return True
    return False
