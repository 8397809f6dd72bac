"""Processes that train one network together."""

import atexit
import os
from contextlib import contextmanager
from contextvars import ContextVar

from torch import distributed

from .devices import count_gpus, using_gpu

_trains_together = ContextVar("trains_together", default=False)


@contextmanager
def training_together():
    """Context in which the processes of a launcher such as ``torchrun`` share fits.

    Without a launcher, which sets WORLD_SIZE, the context has no effect.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) < 2:
        yield
        return
    if not distributed.is_initialized():  # once in a process: to do it again may hang
        has_gpu = count_gpus() > 0
        distributed.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo")
        atexit.register(distributed.destroy_process_group)
    token = _trains_together.set(True)
    try:
        with using_gpu(int(os.environ.get("LOCAL_RANK", 0))):
            yield
    finally:
        _trains_together.reset(token)


def count_processes():
    """Return the number of processes that train a network together."""
    return distributed.get_world_size() if _trains_together.get() else 1


def process_index():
    """Return the rank of this process among those that train together."""
    return distributed.get_rank() if _trains_together.get() else 0


def value_of_first_process(value):
    """Return the value that the process of rank 0 passes."""
    if count_processes() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def check_same_in_processes(name, value):
    """Check that processes that train together have the same value.

    Parameters
    ----------
    name : str
        Name of the value, for the message.

    value : object
        Value of this process.

    Raises
    ------
    ValueError
        If the values differ.
    """
    values = [None] * count_processes()
    distributed.all_gather_object(values, value)
    if any(other != value for other in values):
        raise ValueError(
            f"The processes of data_parallel() differ in {name}: {values}. Pass the "
            "same data and parameters to fit in each process."
        )
