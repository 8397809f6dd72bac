"""Smaller batches, or helpful errors, if a batch does not fit in memory."""

import gc
import os
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .warnings_of_callers import warn

# Texts of other errors that torch raises if memory runs out.
WORDS = (
    "can't allocate memory",
    "not enough memory",
    "Storage size calculation overflow",
)
MIN_BATCH_SIZE = 4  # batch statistics are too noisy below


class NetworkMemoryError(MemoryError):
    """Error raised if the network itself does not fit in memory."""


class _Room(TorchDispatchMode):
    """Memory limit that raises a MemoryError if it is exceeded.

    An operating system may grant more memory than it has, and kill the process later.

    Parameters
    ----------
    n_bytes : float
        Available memory in bytes.
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
    """Return the memory of this machine in bytes, infinity if it is not known."""
    try:
        n_pages = os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # for example, on Windows
        n_pages = -1
    return n_pages * os.sysconf("SC_PAGE_SIZE") if n_pages > 0 else float("inf")


@contextmanager
def explain_large_network():
    """Raise a NetworkMemoryError if a network that is built does not fit in memory."""
    try:
        with _Room(find_memory_size() / 2):  # gradients take as much again
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
        Batch size named in the message.
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
    """Call a function, and halve the batch size until a batch fits in memory.

    Parameters
    ----------
    function : callable
        Called with a batch size. It starts from the beginning each time.

    batch_size : int
        Batch size to try first.

    Returns
    -------
    object
        Result of the function.

    Raises
    ------
    MemoryError
        If a batch of four samples does not fit.

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
        _free_memory()  # the error, which held tensors, is gone by now
        warn(
            f"Out of memory with batch_size={batch_size}, chosen by batch_size='auto'. "
            f"Trying batch_size={smaller}. To save time, set batch_size to the last "
            "one tried.",
            RuntimeWarning,
        )
        batch_size = smaller
    with explain_out_of_memory(batch_size):
        return function(batch_size)


def _free_memory():
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
