"""Devices, threads, private random numbers and memory errors; imports only torch."""

from .allocation import memory_keeper
from .devices import DTYPES, autocast, check_device, count_gpus, leased_gpu
from .memory import explain_large_network, explain_out_of_memory, halve_until_it_fits
from .processes import (
    check_same_in_processes,
    count_processes,
    process_index,
    training_together,
    value_of_first_process,
)
from .randomness import PrivateRandomness, draw_privately, make_generator
from .settings import SharedSetting, fixed_kernels, usual_torch
from .threads import is_small_batch, map_in_threads, use_threads, use_threads_for
from .trusted import LIBRARIES, is_of
from .warnings_of_callers import warn

__all__ = [
    "DTYPES",
    "LIBRARIES",
    "PrivateRandomness",
    "SharedSetting",
    "autocast",
    "check_device",
    "check_same_in_processes",
    "count_gpus",
    "count_processes",
    "draw_privately",
    "explain_large_network",
    "explain_out_of_memory",
    "fixed_kernels",
    "halve_until_it_fits",
    "is_of",
    "is_small_batch",
    "leased_gpu",
    "make_generator",
    "map_in_threads",
    "memory_keeper",
    "process_index",
    "training_together",
    "use_threads",
    "use_threads_for",
    "usual_torch",
    "value_of_first_process",
    "warn",
]
