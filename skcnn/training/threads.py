"""How many threads a fit uses.

Fits that run at the same time in threads of one process, as those of a search with
the threading backend do, share the threads of torch: while one computes, others
have the rest. They share them anew after every epoch.
"""

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# Forward operations of a batch below which one thread is used: the default
# network on 128 digits of 8 x 8 pixels, where two threads took 0.8 of the time of
# one with torch's sums, and as much time with sums in a fixed order.
SMALL_BATCH_FLOPS = 160e6
# Small fits that compute at once. Python's lock, which the steps of a small network
# take again and again, lets two of them run in 0.75 of the time of one after the
# other, and four in more than that of one after the other.
MAX_SMALL_FITS = 2


@dataclass(eq=False)
class Fit:
    """A fit that runs on the CPU.

    Parameters
    ----------
    is_small : bool
        Whether it uses one thread.

    n_held : int, default=0
        Number of threads that it computes with now.

    is_short : bool, default=False
        Whether it waits for others to compute with fewer threads.
    """

    is_small: bool
    n_held: int = 0
    is_short: bool = False


class SharedThreads:
    """The threads that the fits of a process share."""

    def __init__(self):
        self._changed = threading.Condition()
        self._fits = {}  # by thread; a fit within another one stands in for it
        self._total = 1
        self._max_small = MAX_SMALL_FITS if _has_lock() else sys.maxsize

    @contextmanager
    def fitting(self, flops):
        """Let a fit take part, and set the number of torch's threads for it.

        Parameters
        ----------
        flops : float
            Floating-point operations of a forward pass of one batch.

        Yields
        ------
        int
            The number of threads in use.
        """
        me, fit = threading.get_ident(), Fit(is_small=flops < SMALL_BATCH_FLOPS)
        with self._changed:
            if not self._fits:  # what a thread first sees during a fit may be a share
                self._total = torch.get_num_threads()
            total, outer = self._total, self._fits.get(me)
            before = total if outer is None else torch.get_num_threads()
            self._fits[me] = fit
            share = max(1, total // len(self._fits))
            _use_threads(1 if fit.is_small else share, total)
        try:
            yield torch.get_num_threads()
        finally:
            with self._changed:
                self._fits.pop(me, None)
                if outer is not None:
                    self._fits[me] = outer
                self._changed.notify_all()
            torch.set_num_threads(total)  # also in threads that start later
            _use_threads(before, total)

    @contextmanager
    def computing(self):
        """Hold threads, waiting for them where other fits hold them all.

        What runs in this context must not wait for another fit.
        """
        fit = self._fits.get(threading.get_ident())
        if fit is None or fit.n_held:
            yield
            return
        self._take(fit)
        try:
            yield
        finally:
            self._give_back(fit)

    def share(self):
        """Give a part of the threads that are held to fits that have none."""
        fit = self._fits.get(threading.get_ident())
        if fit is None or fit.n_held < 2:
            return
        if any(other.is_short for other in list(self._fits.values())):
            self._give_back(fit)
            self._take(fit)

    def _take(self, fit):
        with self._changed:
            while self._is_blocked(fit):
                fit.is_short = not self._count_free()
                self._changed.wait()
            fit.is_short = False
            n_idle = sum(not other.n_held for other in self._fits.values())
            fit.n_held = 1 if fit.is_small else -(-self._count_free() // n_idle)
            _use_threads(fit.n_held, self._total)

    def _give_back(self, fit):
        with self._changed:
            fit.n_held = 0
            self._changed.notify_all()

    def _is_blocked(self, fit):
        n_small = sum(other.n_held for other in self._fits.values() if other.is_small)
        is_late = fit.is_small and n_small >= self._max_small
        return is_late or not self._count_free()

    def _count_free(self):
        return self._total - sum(fit.n_held for fit in self._fits.values())


def _has_lock():
    """Return whether one thread at a time runs Python."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def _use_threads(n_threads, default):
    """Let torch use some threads here, and `default` in threads that start later.

    These use what was last set, in whatever thread.
    """
    if torch.get_num_threads() == n_threads:
        return
    torch.set_num_threads(n_threads)
    if n_threads != default:
        other = threading.Thread(target=torch.set_num_threads, args=(default,))
        other.start()
        other.join()


shared_threads = SharedThreads()
if hasattr(os, "register_at_fork"):  # the fits of other threads do not run on there
    os.register_at_fork(after_in_child=shared_threads.__init__)
