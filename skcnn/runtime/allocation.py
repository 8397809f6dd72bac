"""Reuse of memory between the steps of a fit on the CPU.

Every step allocates the same large tensors. GNU's allocator returns freed tensors to
the system and requests the memory again page by page, which can take a fifth of the
time of a fit.
"""

import os
import threading
from contextlib import contextmanager
from ctypes import CDLL

# From malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# The largest value that the allocator accepts. Its own rule reaches the same value in a
# process that frees tensors of that size, but ends when any value is set.
MMAP_THRESHOLD = 2**25
NEVER = -1
KEPT_AFTERWARDS = 2 * MMAP_THRESHOLD
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


class MemoryKeeper:
    """Switch that makes the allocator of this process keep freed memory."""

    def __init__(self):
        self._lock = threading.Lock()
        self._n_users = 0

    @contextmanager
    def keep(self):
        """Keep freed memory for later allocations within this context.

        Afterwards, all but 64 MiB is returned to the system. Nothing changes if
        environment variables configure the allocator, or if it is not GNU's.
        """
        self._add_users(1)
        try:
            yield
        finally:
            self._add_users(-1)

    def _add_users(self, change):
        with self._lock:
            before, self._n_users = self._n_users, max(0, self._n_users + change)
            if not before or not self._n_users:
                _set_thresholds(NEVER if self._n_users else KEPT_AFTERWARDS)


def _set_thresholds(trim):
    """Set the size of free memory that is kept, and return the rest to the system."""
    if _allocator is None or any(name in os.environ for name in SETTINGS):
        return
    _allocator.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    _allocator.mallopt(M_TRIM_THRESHOLD, trim)
    if trim != NEVER:  # also free memory below blocks in use
        _allocator.malloc_trim(trim)


def _find_allocator():
    """Return the library with GNU's allocator, None if there is none."""
    if os.name != "posix":
        return None
    library = CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


_allocator = _find_allocator()
memory_keeper = MemoryKeeper()
if hasattr(os, "register_at_fork"):  # another thread may have held the lock
    os.register_at_fork(after_in_child=memory_keeper.__init__)
