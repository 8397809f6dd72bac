"""How many threads torch computes with, for a while."""

from contextlib import contextmanager

import torch


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
