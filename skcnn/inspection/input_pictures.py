"""Pictures of what a network takes, and of images that maps are laid over."""

import numpy as np
import torch
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._base.backbone_parameter import known_backbone
from ..data import is_image_files
from .pictures import as_pictures


def first_rows(X, n_rows):
    """Return the first samples of X."""
    return _safe_indexing(X, np.arange(min(n_rows, _num_samples(X))))


def pictures_of(found, X):
    """Return pictures in the shape of the maps of `class_activation_maps`.

    Parameters
    ----------
    found : FoundNetwork
        Estimator that predicts X.

    X : array-like or sequence of image files
        Samples.

    Returns
    -------
    list of ndarray
        Pictures; of signals, arrays of shape (length, n_channels).
    """
    X = found.prepared(X)
    if found.preprocessing is None or is_image_files(X):
        inner = type(found)(found.estimator)
        return input_pictures(inner, torch.cat(list(inner.batches(X))))
    reading = {n: getattr(found.estimator, n) for n in ("image_shape", "channel_axis")}
    return as_pictures(X, **reading)


def input_pictures(found, batch):
    """Return pictures of what a network takes, with the scale of the pixels undone.

    Parameters
    ----------
    found : FoundNetwork
        Estimator of the network.

    batch : torch.Tensor of shape (n, *input_shape)
        What it takes.

    Returns
    -------
    list of ndarray
        Pictures; of signals, arrays of shape (length, n_channels).
    """
    batch = batch.detach().cpu().double().numpy()
    mean, scale = _mean_and_scale(found)
    shape = (-1, *(1 for _ in batch.shape[2:]))
    pixels = batch * np.reshape(scale, shape) + np.reshape(mean, shape)
    if batch.ndim == 3:
        return list(np.moveaxis(pixels, 1, -1))
    if found.preprocessing is not None:
        pixels = pixels.clip(0, 1)
    return as_pictures(pixels, channel_axis=1)


def _mean_and_scale(found):
    """Return mean and scale of the channels of a network's input."""
    if found.preprocessing is not None:
        return found.preprocessing.mean, found.preprocessing.std
    if found.is_transformer:
        scaler = known_backbone(found.estimator).scaler
    else:
        scaler = found.estimator.scaler_
    return scaler.mean_, scaler.scale_
