"""How many threads a fit uses."""

import threading
from contextlib import contextmanager

import torch

# Forward operations of a batch below which one thread is used: the default
# network on 128 digits of 8 x 8 pixels, where two threads took 0.8 of the time of
# one with torch's sums, and as much time with sums in a fixed order.
SMALL_BATCH_FLOPS = 160e6

_lock = threading.Lock()
_state = {"depth": 0, "n_threads": 1}


@contextmanager
def fitting_threads(flops):
    """Set the number of torch's threads for a fit.

    Parameters
    ----------
    flops : float
        Floating-point operations of a forward pass of one batch.

    Yields
    ------
    int
        The number of threads in use.
    """
    with _lock:
        if not _state["depth"]:  # what a thread first sees during a fit may be its one
            _state["n_threads"] = torch.get_num_threads()
        _state["depth"] += 1
        n_threads = _state["n_threads"]
        if flops < SMALL_BATCH_FLOPS and n_threads > 1:
            _use_one_thread(n_threads)
    try:
        yield torch.get_num_threads()
    finally:
        with _lock:
            _state["depth"] -= 1
        torch.set_num_threads(n_threads)


def _use_one_thread(default):
    """Let torch use one thread here, and `default` in threads that start later.

    These use what was last set, in whatever thread.
    """
    torch.set_num_threads(1)
    other = threading.Thread(target=torch.set_num_threads, args=(default,))
    other.start()
    other.join()
