"""Parts of a computation on several threads, each part on one of them.

Where torch computes with GNU's OpenMP, as it does on Linux, the threads are those of
torch. Others would share the cores with these, which wait for more work in a loop
for some milliseconds. Elsewhere they are Python's.
"""

import sys
from contextlib import contextmanager
from ctypes import CDLL, CFUNCTYPE, PyDLL, c_uint, c_void_p
from functools import cache
from threading import Thread

import torch

from ..runtime import limit_threads

CALLBACK = CFUNCTYPE(None, c_void_p)
# OpenMP ends the threads that a smaller team leaves out, so all of them are asked;
# of more than these, most would be asked for nothing.
MAX_TEAM = 16


def map_parts(function, *iterables):
    """Return what `function` gives, each result computed by one thread.

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
    if len(tasks) <= 1 or n_threads == 1:
        with limit_threads(1):
            return [function(*task) for task in tasks]
    results, errors = [None] * len(tasks), []
    waiting = iter(range(len(tasks)))

    def work():
        try:
            for i in waiting:
                results[i] = function(*tasks[i])
        except BaseException as error:
            errors.append(error)

    if n_threads <= MAX_TEAM and _openmp is not None:
        _run_in_openmp(work, n_threads)
    else:
        _run_in_threads(work, min(n_threads, len(tasks)))
    if errors:
        raise errors[0]
    return results


def _find_openmp():
    """Return the OpenMP library that torch uses, None where it is not GNU's."""
    if sys.platform != "linux":
        return None
    library = PyDLL(torch._C.__file__)
    return library if hasattr(library, "GOMP_parallel") else None


_openmp = _find_openmp()


def _run_in_openmp(work, n_threads):
    """Call `work` in some of torch's threads, of which the caller is one."""

    def run(_):
        with _alone():
            work()

    _find_parallel()(CALLBACK(run), None, n_threads, 0)


@cache
def _find_parallel():
    """Return OpenMP's function that calls another one in a team of threads."""
    parallel = CDLL(torch._C.__file__).GOMP_parallel  # lets other threads run Python
    parallel.argtypes = [CALLBACK, c_void_p, c_uint, c_uint]
    parallel.restype = None
    return parallel


@contextmanager
def _alone():
    """Let one of OpenMP's threads compute by itself."""
    torch.get_num_threads()  # which sets the default first
    before = _openmp.omp_get_max_threads()
    _openmp.omp_set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        _openmp.omp_set_num_threads(before)


def _run_in_threads(work, n_threads):
    """Call `work` in some of Python's threads."""

    def run():
        torch.get_num_threads()  # which sets the default first
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        work()

    default = torch.get_num_threads()
    threads = [Thread(target=run) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(default)  # as threads that start later will have
