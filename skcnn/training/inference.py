"""Outputs of a trained network."""

from math import inf

import numpy as np
import torch

from ..runtime import autocast, use_threads_for

ROWS = 4


def predict_batches(module, images, batch_size, precision, flops=inf):
    """Compute the outputs of `module`, in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        The network. It is left in evaluation mode.

    images : Images
        The samples.

    batch_size : int
        Number of samples of one forward pass.

    precision : str
        A key of `skcnn.runtime.DTYPES`.

    flops : float, default=inf
        Floating-point operations of the forward pass of one sample. Small batches
        are computed with one thread.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        Outputs in double precision.

    Raises
    ------
    ValueError
        If an output is not finite.
    """
    with use_threads_for(flops * min(batch_size, len(images)), images.device):
        outputs = compute_outputs(module, images, batch_size, precision)
    if not np.isfinite(outputs).all():
        raise ValueError(
            "The network returned NaN or infinity. X holds values far outside the "
            "range of the images in fit: scale them alike."
        )
    return outputs


def compute_outputs(module, images, batch_size, precision):
    """Compute what `predict_batches` does, whether it is finite or not.

    Samples that are cheaper among their like have a `reading_order`.
    """
    order = getattr(images, "reading_order", None)
    starts = range(0, len(images), batch_size)
    # a GPU has other kernels for each size
    is_cut = images.device.type == "cuda" and len(starts) > 1
    multiple = batch_size if is_cut else ROWS
    indices = [
        _filled_up(start, min(start + batch_size, len(images)), multiple)
        for start in starts
    ]
    if order is not None:
        indices = [order[index] for index in indices]
    module.eval()
    outputs = []
    with torch.inference_mode(), autocast(images.device, precision):
        # no comprehension, which would keep what reads ahead where a batch fails
        for _, batch in images.batches(indices):
            n_left = len(images) - batch_size * len(outputs)
            outputs.append(module(batch)[: min(batch_size, n_left)])
        outputs = torch.cat(outputs).to("cpu", torch.float64).numpy()
    return outputs if order is None else outputs[order.argsort().numpy()]


def _filled_up(start, stop, multiple):
    """Return an index of samples, the last one repeated up to a multiple of samples.

    torch's kernels treat a lone small image, and rows beyond a multiple of four,
    in another way than the rest: so a sample's outputs would depend on the others.
    """
    missing = (start - stop) % multiple
    if not missing:
        return slice(start, stop)
    return torch.arange(start, stop + missing).clamp_(max=stop - 1)
