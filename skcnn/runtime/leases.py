"""Which of several GPUs a fit takes, so that fits at the same time share them."""

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
    """Hold a place on the device that has the fewest, within this context.

    A place is a file that is locked; the lock ends with the process at the latest.
    All processes and threads of a user that name the same devices share them.

    Parameters
    ----------
    names : sequence of str
        One name for each device, the same in all processes of the machine.

    Yields
    ------
    int
        Position of the device in `names`. It is 0 if files cannot be locked.
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
    """Return the position of a device, and the descriptor of the lock held on it."""
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
    """Return the descriptor of a file that is now locked, None if it was before."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
