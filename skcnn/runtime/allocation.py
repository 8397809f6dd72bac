"""Memory that is kept between the steps of a fit on the CPU.

Every step allocates the same large tensors. GNU's allocator gives them back to the
system when they are freed, and gets them again page by page, which can take a fifth
of the time of a fit.
"""

import os
import threading
from contextlib import contextmanager
from ctypes import CDLL

# From malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# The largest value that the allocator takes, and the one that its own rule comes to
# in a process that frees tensors of that size. The rule ends if a value is set.
MMAP_THRESHOLD = 2**25
NEVER = -1
KEPT_AFTERWARDS = 2 * MMAP_THRESHOLD
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


class MemoryKeeper:
    """Whether the allocator of this process keeps what is freed."""

    def __init__(self):
        self._lock = threading.Lock()
        self._n_users = 0

    @contextmanager
    def keep(self):
        """Within this context, what is freed is kept for what is allocated next.

        Afterwards it goes back to the system, but for 64 MiB. Where the environment
        says how to allocate, and with allocators other than GNU's, nothing changes.
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
    """Say what size of free memory goes back to the system, and give back the rest."""
    if _allocator is None or any(name in os.environ for name in SETTINGS):
        return
    _allocator.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    _allocator.mallopt(M_TRIM_THRESHOLD, trim)
    if trim != NEVER:  # also what lies below memory that is in use
        _allocator.malloc_trim(trim)


def _find_allocator():
    """Return the library with the functions of GNU's allocator, None without it."""
    if os.name != "posix":
        return None
    library = CDLL(None)
    return library if hasattr(library, "malloc_trim") else None


_allocator = _find_allocator()
memory_keeper = MemoryKeeper()
if hasattr(os, "register_at_fork"):  # another thread may have held the lock
    os.register_at_fork(after_in_child=memory_keeper.__init__)
