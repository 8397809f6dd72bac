"""Number of samples in a batch, batches that do not fit in memory, and epochs."""

from math import ceil, log2
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar

from ..runtime import explain_out_of_memory, halve_until_it_fits


def auto_batch_size(n_samples, smallest=8, largest=128):
    """Return the power of two near a fortieth of the samples, within limits."""
    return int(np.clip(2.0 ** round(log2(n_samples / 40)), smallest, largest))


def auto_max_epochs(n_samples, batch_size, fewest):
    """Return the number of epochs that take 600 training steps, or `fewest`."""
    return max(fewest, ceil(600 / ceil(n_samples / batch_size)))


def call_with_batch_size(function, batch_size, auto, may_shrink=True):
    """Return what a function of the batch size returns.

    If `batch_size` is "auto", it is called with `auto`, and if that does not fit in
    memory and may shrink, with half of it, and so on.
    """
    if batch_size != "auto":  # predict sees what set_params set after fit
        check_scalar(batch_size, "batch_size", Integral, min_val=1)
        auto, may_shrink = batch_size, False
    if may_shrink:
        return halve_until_it_fits(function, auto)
    with explain_out_of_memory(auto):
        return function(auto)
