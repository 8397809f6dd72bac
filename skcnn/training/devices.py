"""Where a network computes, and in which precision."""

from contextlib import nullcontext

import torch

# The dtype of weights and batches; "bfloat16" computes in it by autocast.
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.float32,
    "float64": torch.float64,
}


def available_devices():
    """Return the names of the devices that this machine has."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def check_device(device):
    """Return `device` as one that is there.

    Parameters
    ----------
    device : str or torch.device
        "auto" is the first GPU where there is one and the CPU otherwise; or
        "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    torch.device
        The device, with its index where it is a CUDA device.

    Raises
    ------
    ValueError
        If the device is not there; the message lists those that are.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
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
            f"{', '.join(available)}; device='auto' takes a GPU where there is one."
        )
    return wanted


def autocast(device, precision):
    """Return the context in which a network computes in `precision`."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
