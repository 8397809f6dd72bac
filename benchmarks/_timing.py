"""Timing of alternatives in one run: interleaved, medians, ratios."""

import gc
import platform
from statistics import median
from time import perf_counter

import sklearn
import skorch
import torch


def describe_machine():
    """Print what the figures were taken on."""
    capability = torch.backends.cpu.get_cpu_capability()
    print(
        f"{platform.machine()}, {capability}, {torch.get_num_threads()} threads; "
        f"torch {torch.__version__}, skorch {skorch.__version__}, "
        f"scikit-learn {sklearn.__version__}"
    )
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())


def synchronize():
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleave(alternatives, repeats):
    """Time functions in turns.

    Parameters
    ----------
    alternatives : dict
        From a name to a function without arguments.

    repeats : int
        Number of rounds. Each round runs every function once, after one round
        that is not timed.

    Returns
    -------
    dict
        From a name to its list of seconds.
    """
    seconds = {name: [] for name in alternatives}
    for round_ in range(repeats + 1):
        for name, function in alternatives.items():
            gc.collect()
            synchronize()
            start = perf_counter()
            function()
            synchronize()
            if round_:
                seconds[name].append(perf_counter() - start)
    return seconds


def median_ratio(numerator, denominator):
    """Return the median of the ratios of paired rounds."""
    return median(a / b for a, b in zip(numerator, denominator, strict=True))
