"""Estimators as networks from raw input to results."""

import numpy as np
import torch
from torch import nn

from .._base import BaseCNN, ValueTargets
from .._base.backbone_features import asked_layers
from .._base.backbone_parameter import known_backbone
from ..backbones import copy_network, cut_network
from ..data import find_layout
from ..modules import TextCNN
from .raw_input import Exported, LearntScale, PublishedScale
from .results import AsTheyAre, Classes, Features, Indicators, Values
from .sentences import SentenceFeatures

LENGTH = 9  # of example sentences, in words


def is_transformer(estimator):
    """Return whether an estimator is a `CNNFeatureTransformer`."""
    return {"backbone", "layer", "pooling"} <= vars(estimator).keys()


def is_ours(estimator):
    """Return whether an estimator is one that this package exports itself."""
    return isinstance(estimator, BaseCNN) or is_transformer(estimator)


def reads_text(estimator):
    """Return whether the input of an estimator are codes of words."""
    return isinstance(getattr(estimator, "module_", None), TextCNN)


def exported_network(estimator, dtype, is_last):
    """Return the network of an estimator from raw input to results.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted estimator of this package.

    dtype : numpy.dtype or None
        Dtype of X.

    is_last : bool
        Whether predictions are its results, not features.

    Returns
    -------
    Exported
        Network on the CPU.
    """
    if is_transformer(estimator):
        return _features_of_images(estimator, dtype)
    module = copy_network(estimator.module_).cpu().eval()
    output = next(module.parameters()).dtype
    if reads_text(estimator):
        scale = nn.Identity()
        module.features = SentenceFeatures(module.features)
    else:
        scale = _scale(estimator, dtype, output)
    if not is_last:
        return Exported(scale, module.features, AsTheyAre())
    return Exported(scale, module, _results(estimator._targets))


def _results(targets):
    """Return the layer from the outputs of a network to predictions."""
    if isinstance(targets, ValueTargets):
        return Values(targets)
    return Classes() if hasattr(targets, "classes") else Indicators()


def _scale(estimator, dtype, output):
    """Return the layer that scales the images of a predictor."""
    if hasattr(estimator, "scaler_"):
        return LearntScale(estimator.scaler_, dtype, output)
    layout = _published_layout(estimator, estimator.preprocessing_)
    return PublishedScale(estimator.preprocessing_, layout, dtype, output)


def _features_of_images(transformer, dtype):
    """Return the network of a transformer."""
    backbone = known_backbone(transformer)
    shape = backbone.input_shape
    network = cut_network(backbone.module, asked_layers(transformer), shape)
    axes = network.channel_axes
    network = network.cpu().float()
    if backbone.scaler is not None:
        scale = LearntScale(backbone.scaler, dtype, torch.float32)
    else:
        layout = _published_layout(transformer, backbone.preprocessing)
        scale = PublishedScale(backbone.preprocessing, layout, dtype, torch.float32)
    features = Features(transformer.pooling, len(shape) - 1, axes)
    return Exported(scale, network, features)


def _published_layout(estimator, preprocessing):
    """Return the layout of images of the network's size, as those of fit."""
    size, n_channels = preprocessing.crop_size, preprocessing.n_channels
    seen = getattr(estimator, "image_shape_", None)
    if seen is None:  # files, whose pixels have channels last
        return find_layout((*size, n_channels), channel_axis=-1)
    layout = find_layout(seen, channel_axis=estimator.channel_axis, images_only=True)
    shape = list(size)
    if layout.channel_axis is not None:
        shape.insert(layout.channel_axis, layout.n_channels)
    axis = None if layout.channel_axis is None else layout.channel_axis + 1
    return find_layout(tuple(shape), channel_axis=axis, images_only=True)


def example_input(network, dtype, n_samples=3):
    """Return noise as raw input, (n_samples, ...), of one dtype.

    Parameters
    ----------
    network : Exported
        The network.

    dtype : numpy.dtype or None
        Dtype of X; None for codes of words.

    n_samples : int, default=3
        Number of samples.

    Returns
    -------
    ndarray
        Samples.
    """
    rng = np.random.default_rng(0)
    if isinstance(network.scale, nn.Identity):
        layers = (m for m in network.modules() if isinstance(m, nn.Embedding))
        return rng.integers(1, next(layers).num_embeddings, (n_samples, LENGTH))
    shape = n_samples, *network.scale.layout.sample_shape
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 256, shape).astype(dtype)
