"""Pictures of network inputs, and of the images below class activation maps."""

import numpy as np
import torch

from ..data import is_image_files
from .layer_outputs import seen_pixels
from .pictures import as_pictures


def pictures_of(found, X):
    """Return pictures in the shape of the maps of `class_activation_maps`.

    Parameters
    ----------
    found : FoundNetwork
        Network and its estimator.

    X : array-like or sequence of image files
        Samples.

    Returns
    -------
    list of ndarray
        Pictures; for signals, arrays of shape (length, n_channels).
    """
    X = found.prepared(X)
    if found.preprocessing is None or is_image_files(X):
        inner = type(found)(found.estimator)
        return input_pictures(inner, torch.cat(list(inner.batches(X))))
    reading = {n: getattr(found.estimator, n) for n in ("image_shape", "channel_axis")}
    return as_pictures(X, **reading)


def input_pictures(found, batch):
    """Return pictures of the input of a network, with pixel scaling undone.

    Parameters
    ----------
    found : FoundNetwork
        Network and its estimator.

    batch : torch.Tensor of shape (n, *input_shape)
        Input of the network.

    Returns
    -------
    list of ndarray
        Pictures; for signals, arrays of shape (length, n_channels).
    """
    pixels = seen_pixels(found, batch)
    if batch.ndim == 3:
        return list(np.moveaxis(pixels, 1, -1))
    return as_pictures(pixels, channel_axis=1)
