"""Leases of GPUs, which spread simultaneous fits over several of them."""

import os
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def lease(names):
    """Lease the device with the fewest leases.

    A lease is a locked file, which is released when the context or the process ends.
    All processes and threads of a user that use the same names share the devices.

    Parameters
    ----------
    names : sequence of str
        Names of the devices, the same in all processes of the machine.

    Yields
    ------
    int
        Position of the device in `names`; 0 if files cannot be locked.
    """
    try:
        index, descriptor = _take_place(names)
    except OSError:
        index, descriptor = 0, None
    try:
        yield index
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _take_place(names):
    """Return the position of a device and the descriptor of the lock on it."""
    if fcntl is None:
        return 0, None
    folder = Path(tempfile.gettempdir()) / f"skcnn-leases-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for place in count():  # the first on every device, then the second, ...
        for index, name in enumerate(names):
            descriptor = _lock(folder / f"{name}-{place}")
            if descriptor is not None:
                return index, descriptor


def _lock(path):
    """Lock a file and return its descriptor, or None if it is locked already."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
