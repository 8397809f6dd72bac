"""Outputs of a trained network."""

from itertools import accumulate
from math import inf

import numpy as np
import torch

from ..runtime import autocast, use_threads_for

ROWS = 4


def predict_batches(module, images, batch_size, precision, flops=None):
    """Compute the outputs of a network in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        Network, which is left in evaluation mode.

    images : Images
        The samples.

    batch_size : int
        Number of samples in a forward pass.

    precision : str
        Key of `skcnn.runtime.DTYPES`.

    flops : float or None, default=None
        Floating-point operations in the forward pass of one sample. If given, small
        batches are computed on one thread.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
        Outputs in double precision.

    Raises
    ------
    ValueError
        If an output is not finite.
    """
    of_batch = inf if flops is None else flops * min(batch_size, len(images))
    with use_threads_for(of_batch, images.device):
        outputs = compute_outputs(module, images, batch_size, precision)
    if not np.isfinite(outputs).all():
        raise ValueError(
            "The network returned NaN or infinity. X holds values far outside the "
            "range of the images in fit. Scale X as in fit."
        )
    return outputs


def compute_outputs(module, images, batch_size, precision):
    """Compute the outputs, without checking that they are finite.

    Samples with a method `reading_batches` are read in the order of its batches.
    """
    order, n_samples = None, len(images)
    if hasattr(images, "reading_batches"):
        batches = images.reading_batches(batch_size)
        order, sizes = torch.cat(batches), [len(batch) for batch in batches]
    else:
        starts = range(0, n_samples, batch_size)
        sizes = [min(batch_size, n_samples - start) for start in starts]
    # on a GPU, each batch size has other kernels
    is_cut = order is None and images.device.type == "cuda" and len(sizes) > 1
    multiple = batch_size if is_cut else ROWS
    stops = accumulate(sizes)
    indices = [
        _filled_up(stop - size, stop, multiple)
        for size, stop in zip(sizes, stops, strict=True)
    ]
    if order is not None:
        indices = [order[index] for index in indices]
    module.eval()
    outputs = []
    with torch.inference_mode(), autocast(images.device, precision):
        # a comprehension would keep the prefetching iterator if a batch fails
        for size, (_, batch) in zip(sizes, images.batches(indices), strict=True):
            outputs.append(module(batch)[:size])
        outputs = torch.cat(outputs).to("cpu", torch.float64).numpy()
    return outputs if order is None else outputs[order.argsort().numpy()]


def _filled_up(start, stop, multiple):
    """Return the index of a batch, its last sample repeated up to a multiple.

    torch has other kernels for a single small image, and for rows beyond a multiple of
    four. Without filling up, the outputs of a sample would depend on its batch.
    """
    missing = (start - stop) % multiple
    if not missing:
        return slice(start, stop)
    return torch.arange(start, stop + missing).clamp_(max=stop - 1)
