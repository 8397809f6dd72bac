"""Where a network computes, and in which precision."""

import threading
from contextlib import contextmanager, nullcontext

import torch

from .leases import lease

# The dtype of weights and batches; "bfloat16" computes in it by autocast.
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.float32,
    "float64": torch.float64,
}

_leased = threading.local()


def count_gpus():
    """Return the number of CUDA devices, without a context on any of them."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def identify_gpu(index):
    """Return what a CUDA device is called in all processes of the machine."""
    return str(torch.cuda.get_device_properties(index).uuid)


def available_devices():
    """Return the names of the devices that this machine has."""
    names = ["cpu", *(f"cuda:{index}" for index in range(count_gpus()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def check_device(device):
    """Return `device` as one that is there.

    Parameters
    ----------
    device : str or torch.device
        "auto" is the GPU that is leased, the first one if none is, and the
        CPU if there is no GPU; or "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    torch.device
        The device, with its index if it is a CUDA device.

    Raises
    ------
    ValueError
        If the device is not there; the message lists those that are.
    """
    if device == "auto":
        gpu = getattr(_leased, "gpu", "cuda")
        device = gpu if count_gpus() else "cpu"
    available = available_devices()
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        wanted = None
    if wanted is not None and wanted.type == "cuda" and wanted.index is None:
        wanted = torch.device("cuda", 0)
    if wanted is not None and wanted.type == "cpu":
        wanted = torch.device("cpu")
    if wanted is None or str(wanted) not in available:
        raise ValueError(
            f"device={str(device)!r} is not there. This machine has "
            f"{', '.join(available)}; device='auto' takes a GPU if there is one."
        )
    return wanted


@contextmanager
def leased_gpu(device):
    """Within this context, "auto" is the GPU on which the fewest have a lease.

    For the thread that enters it. A lease within a lease is the same one.

    Parameters
    ----------
    device : str or torch.device
        Of an estimator. Nothing is leased unless it is "auto", and unless there
        are several GPUs.
    """
    n_gpus = count_gpus() if device == "auto" else 0
    if n_gpus < 2 or hasattr(_leased, "gpu"):
        yield
        return
    with lease([identify_gpu(index) for index in range(n_gpus)]) as index:
        _leased.gpu = f"cuda:{index}"
        try:
            yield
        finally:
            del _leased.gpu


def autocast(device, precision):
    """Return the context in which a network computes in `precision`."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
