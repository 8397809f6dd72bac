"""How many threads a fit uses, and workers with one thread each."""

import threading
from contextlib import contextmanager
from queue import SimpleQueue

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


@contextmanager
def limit_threads(limit):
    """Let torch compute with at most `limit` threads.

    Parameters
    ----------
    limit : int
        At least 1.
    """
    n_threads = torch.get_num_threads()
    if n_threads <= limit:
        yield
        return
    torch.set_num_threads(limit)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class Workers:
    """As many workers as torch has threads, in each of which it has one.

    They start with the first work there is, and stay until `close`. An executor
    of the standard library takes twice as long to hand over work.
    """

    def __init__(self):
        self._tasks = SimpleQueue()
        self._threads = []

    def map(self, function, *iterables):
        """Return what `function` gives, computed by one of torch's threads each.

        Parameters
        ----------
        function : callable
            Of tensors without a record of gradients.

        *iterables : iterable
            Its arguments, as for the built-in `map`.

        Returns
        -------
        list
            In the order of the arguments.
        """
        tasks = list(zip(*iterables, strict=True))
        n_threads = torch.get_num_threads()
        if len(tasks) == 1 or n_threads == 1:
            with limit_threads(1):
                return [function(*task) for task in tasks]
        if not self._threads:
            self._start(n_threads)
        outcomes = SimpleQueue()
        for index, task in enumerate(tasks):
            self._tasks.put((index, function, task, outcomes))
        results = {}
        for _ in tasks:
            index, result, error = outcomes.get()
            if error is not None:
                raise error
            results[index] = result
        return [results[index] for index in range(len(tasks))]

    def _start(self, n_threads):
        ready = SimpleQueue()
        for _ in range(n_threads):
            thread = threading.Thread(target=self._work, args=(ready,), daemon=True)
            thread.start()
            self._threads.append(thread)
        for _ in range(n_threads):
            ready.get()
        torch.set_num_threads(n_threads)  # as threads that start later will have

    def _work(self, ready):
        torch.get_num_threads()  # which sets the default first
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        ready.put(True)
        for index, function, task, outcomes in iter(self._tasks.get, None):
            try:
                outcomes.put((index, function(*task), None))
            except BaseException as error:
                outcomes.put((index, None, error))

    def close(self):
        """End the workers."""
        for _ in self._threads:
            self._tasks.put(None)
        while self._threads:
            self._threads.pop().join()
