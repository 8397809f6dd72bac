"""Batches that do not fit in memory: smaller ones, or an error that says so."""

import gc
import os
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .warnings_of_callers import warn

# What torch says in other errors if memory does not suffice.
WORDS = (
    "can't allocate memory",
    "not enough memory",
    "Storage size calculation overflow",
)
MIN_BATCH_SIZE = 4  # below, the statistics of a batch are too noisy to learn from


class NetworkMemoryError(MemoryError):
    """The network itself does not fit in memory, whatever the size of a batch."""


class _Room(TorchDispatchMode):
    """Raises a MemoryError if more memory is set aside than there is.

    An operating system may promise more than it has, and end the process that uses it.

    Parameters
    ----------
    n_bytes : float
        How much there is.
    """

    def __init__(self, n_bytes):
        super().__init__()
        self.n_bytes = n_bytes

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.empty.memory_format and out.device.type == "cpu":
            self.n_bytes -= out.nbytes
            if self.n_bytes < 0:
                raise MemoryError
        return out


def find_memory_size():
    """Return the bytes of memory of this machine, infinity if it does not say."""
    try:
        n_pages = os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # on Windows, for one
        n_pages = -1
    return n_pages * os.sysconf("SC_PAGE_SIZE") if n_pages > 0 else float("inf")


@contextmanager
def explain_large_network():
    """Raise a NetworkMemoryError if a network is built that memory cannot hold."""
    try:
        with _Room(find_memory_size() / 2):  # as much again is taken by gradients
            yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise NetworkMemoryError(
            "The weights of the network do not fit in memory. Choose fewer or narrower "
            "layers, or smaller images."
        ) from error


@contextmanager
def explain_out_of_memory(batch_size):
    """Raise a MemoryError that says what to do if memory runs out.

    Parameters
    ----------
    batch_size : int
        Named in the message.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, NetworkMemoryError) or not _is_out_of_memory(error):
            raise
        advice = "Use smaller images or a smaller network."
        if batch_size > 1:
            advice = f"Use a smaller one, for example batch_size={batch_size // 2}."
        raise MemoryError(
            f"Out of memory with batch_size={batch_size}. {advice}"
        ) from error


def _is_out_of_memory(error):
    known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return known or any(words in str(error) for words in WORDS)


def halve_until_it_fits(function, batch_size):
    """Call a function with smaller and smaller batches until memory suffices.

    Parameters
    ----------
    function : callable
        Called with a batch size. It starts from the beginning each time.

    batch_size : int
        What is tried first.

    Returns
    -------
    object
        What the function returns.

    Raises
    ------
    MemoryError
        If a batch of four samples does not fit, either.

    Warns
    -----
    RuntimeWarning
        For each batch size that does not fit.
    """
    while batch_size > MIN_BATCH_SIZE:
        try:
            with explain_out_of_memory(batch_size):
                return function(batch_size)
        except NetworkMemoryError:
            raise
        except MemoryError:
            smaller = max(batch_size // 2, MIN_BATCH_SIZE)
        _free_memory()  # the error, which held on to tensors, is gone by now
        warn(
            f"Out of memory with batch_size={batch_size}, which batch_size='auto' "
            f"chose. Going on with batch_size={smaller}; set it to save the attempts.",
            RuntimeWarning,
        )
        batch_size = smaller
    with explain_out_of_memory(batch_size):
        return function(batch_size)


def _free_memory():
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
