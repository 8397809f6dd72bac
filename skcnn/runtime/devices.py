"""Device and precision of the computation."""

import threading
from contextlib import contextmanager, nullcontext

import torch

from .leases import lease

# Dtype of weights and batches; "bfloat16" uses autocast.
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.float32,
    "float64": torch.float64,
}

_leased = threading.local()


def count_gpus():
    """Return the number of CUDA devices, without creating a context."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def identify_gpu(index):
    """Return the identifier of a CUDA device, the same in all processes."""
    return str(torch.cuda.get_device_properties(index).uuid)


def available_devices():
    """Return the names of the available devices."""
    names = ["cpu", *(f"cuda:{index}" for index in range(count_gpus()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def check_device(device):
    """Return `device` as a torch device, or raise an error if it is not available.

    Parameters
    ----------
    device : str or torch.device
        "auto", "cpu", "cuda", "cuda:1" or "mps". "auto" is the leased GPU, or the
        first GPU if none is leased, or the CPU if there is no GPU.

    Returns
    -------
    torch.device
        The device, with its index if it is a CUDA device.

    Raises
    ------
    ValueError
        If the device is not available; the message lists the available devices.
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
            f"device={str(device)!r} is not available. Available devices: "
            f"{', '.join(available)}. Use device='auto' to choose one automatically."
        )
    return wanted


@contextmanager
def leased_gpu(device):
    """Lease the GPU with the fewest leases as "auto" within this context.

    The lease holds for the thread that enters the context. Nested contexts share it.

    Parameters
    ----------
    device : str or torch.device
        Parameter of an estimator. Nothing is leased unless it is "auto" and there are
        several GPUs.
    """
    n_gpus = count_gpus() if device == "auto" else 0
    if n_gpus < 2 or hasattr(_leased, "gpu"):
        yield
        return
    names = [identify_gpu(index) for index in range(n_gpus)]
    with lease(names) as index, using_gpu(index):
        yield


@contextmanager
def using_gpu(index):
    """Context in which "auto" is this GPU, for the thread that enters it."""
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
