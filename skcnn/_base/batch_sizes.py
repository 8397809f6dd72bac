"""Automatic batch sizes and numbers of epochs."""

from math import ceil, log2
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar

from ..runtime import count_processes, explain_out_of_memory, halve_until_it_fits


def auto_batch_size(n_samples, smallest=8, largest=128):
    """Return the power of two near ``n_samples / 40``, within limits."""
    return int(np.clip(2.0 ** round(log2(n_samples / 40)), smallest, largest))


def auto_max_epochs(n_samples, batch_size, fewest):
    """Return the number of epochs in 600 training steps, and at least `fewest`."""
    return max(fewest, ceil(600 / ceil(n_samples / batch_size)))


def call_with_batch_size(function, batch_size, auto, may_shrink=True):
    """Call a function of the batch size, and return its result.

    If `batch_size` is "auto", `auto` is used. It is halved while a batch does not fit
    in memory, unless `may_shrink` is False.
    """
    if batch_size != "auto":  # set_params may have set it after fit
        check_scalar(batch_size, "batch_size", Integral, min_val=1)
        auto, may_shrink = batch_size, False
    if may_shrink and count_processes() == 1:
        return halve_until_it_fits(function, auto)
    with explain_out_of_memory(auto):
        return function(auto)
