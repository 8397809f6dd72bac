"""Interleaved timing of alternatives, with medians and ratios."""

import gc
import os
import platform
from pathlib import Path
from statistics import median
from time import perf_counter

import sklearn
import skorch
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


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
    describe_load()


def describe_load():
    """Print how many processes wanted a core, which says what figures are worth."""
    one, five, _ = os.getloadavg()
    print(f"load of the last minute {one:.1f}, of the last five {five:.1f}")


def has_native_bfloat16():
    """Return whether the processor multiplies matrices in bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return any("bf16" in name and has for name, has in capabilities.items())


def data_folder():
    """Return the folder of the real data, or end with a sentence if there is none.

    Returns
    -------
    Path
        What the environment variable ``SKCNN_DATA`` names, or ``shared/data``
        beside the repository.
    """
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("SKCNN_DATA", default))
    if not folder.is_dir():
        raise SystemExit(
            f"Skipped: no data at {folder}. Set SKCNN_DATA to the folder that has it."
        )
    return folder


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
