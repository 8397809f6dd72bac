"""Number of threads that torch computes with."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import Thread

import torch

# Batches with fewer forward operations use one thread. The default network needs this
# number on 128 digits of 8 × 8 pixels, for which two threads took 0.8 of the time.
SMALL_BATCH_FLOPS = 160e6


@contextmanager
def use_threads(n_threads):
    """Set the number of torch's threads within this context.

    The context holds for the thread that enters it.

    Parameters
    ----------
    n_threads : int
        Number of threads, at least 1.
    """
    before = torch.get_num_threads()
    if n_threads == before:
        yield
        return
    torch.set_num_threads(n_threads)
    # New threads take the number that any thread has set last.
    default = Thread(target=torch.set_num_threads, args=(before,))
    default.start()
    default.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_threads_for(flops, device):
    """Let torch use one thread for small batches, all threads for others.

    Results of small fits and predictions are then identical at any number of threads,
    and waking other threads would cost more time than they save.

    Parameters
    ----------
    flops : float
        Floating-point operations of the forward pass of a batch.

    device : torch.device
        Device of the network.

    Returns
    -------
    context manager
    """
    return use_threads(1) if is_small_batch(flops, device) else nullcontext()


def is_small_batch(flops, device):
    """Return whether a batch is small enough for one thread.

    Parameters
    ----------
    flops, device
        See `use_threads_for`.

    Returns
    -------
    bool
        Always False on a GPU.
    """
    return device.type == "cpu" and flops < SMALL_BATCH_FLOPS


def map_in_threads(function, items):
    """Call a function for each item in parallel, each with one thread of torch.

    Parameters
    ----------
    function : callable
        A function of one item.

    items : iterable
        The items.

    Returns
    -------
    list
        The results, in the order of the items.
    """
    items = list(items)
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(items))
    if n_workers <= 1:
        with use_threads(1):
            return list(map(function, items))
    alone = {"initializer": torch.set_num_threads, "initargs": (1,)}
    try:
        with ThreadPoolExecutor(n_workers, **alone) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(n_threads)  # also for new threads
