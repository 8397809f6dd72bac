"""How many threads torch computes with, for a while."""

from contextlib import contextmanager

import torch


def limit_threads(limit):
    """Let torch compute with at most `limit` threads.

    Parameters
    ----------
    limit : int
        At least 1.

    Returns
    -------
    context manager
        Within it, no more are used.
    """
    return use_threads(min(limit, torch.get_num_threads()))


@contextmanager
def use_threads(n_threads):
    """Let torch compute with some number of threads.

    Parameters
    ----------
    n_threads : int
        At least 1.
    """
    before = torch.get_num_threads()
    if n_threads == before:
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
