"""Networks of estimators, from raw input to results."""

import numpy as np
import torch
from torch import nn

from .._base import BaseCNN, ValueTargets
from .._base.backbone_features import asked_layers
from .._base.backbone_parameter import known_backbone
from ..backbones import copy_network, cut_network
from ..data import find_layout
from ..modules import TextCNN
from .raw_input import Codes, Exported, LearntScale, PublishedScale, ResizedScale
from .results import AsTheyAre, Classes, Features, Indicators, Values
from .sentences import SentenceFeatures


def is_transformer(estimator):
    """Return whether an estimator is a `CNNFeatureTransformer`."""
    return {"backbone", "layer", "pooling"} <= vars(estimator).keys()


def is_ours(estimator):
    """Return whether this package exports an estimator itself."""
    return isinstance(estimator, BaseCNN) or is_transformer(estimator)


def reads_text(estimator):
    """Return whether the input of an estimator is word codes."""
    return isinstance(getattr(estimator, "module_", None), TextCNN)


def exported_network(estimator, dtype, is_last, resize):
    """Build the network of an estimator from raw input to results.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted estimator of this package.

    dtype : numpy.dtype or None
        Dtype of X.

    is_last : bool
        Whether the results are predictions instead of features.

    resize : bool
        Whether to resize images of any size.

    Returns
    -------
    Exported
        Network on the CPU.

    Raises
    ------
    ValueError
        If `resize` is True and the network has no published preprocessing.
    """
    if is_transformer(estimator):
        return _features_of_images(estimator, dtype, resize)
    module = copy_network(estimator.module_).cpu().eval()
    output = next(module.parameters()).dtype
    if reads_text(estimator):
        scale = Codes()
        module.features = SentenceFeatures(module.features)
    else:
        scaler = getattr(estimator, "scaler_", None)
        published = None if scaler else estimator.preprocessing_
        scale = _scale(estimator, scaler, published, dtype, output, resize)
    if not is_last:
        return Exported(scale, module.features, AsTheyAre())
    return Exported(scale, module, _results(estimator._targets))


def _results(targets):
    """Return the layer from the outputs of a network to predictions."""
    if isinstance(targets, ValueTargets):
        return Values(targets)
    return Classes() if hasattr(targets, "classes") else Indicators()


def _scale(estimator, scaler, preprocessing, dtype, output, resize):
    """Return the layer that scales the images of an estimator."""
    if preprocessing is None:
        if resize:
            raise ValueError(
                "resize=True needs a network with published preprocessing, but this "
                "one only takes images of the size seen in fit. Use resize=False."
            )
        return LearntScale(scaler, dtype, output)
    kind = ResizedScale if resize else PublishedScale
    layout = _published_layout(estimator, preprocessing, resize)
    return kind(preprocessing, layout, dtype, output)


def _features_of_images(transformer, dtype, resize):
    """Return the network of a transformer."""
    backbone = known_backbone(transformer)
    shape = backbone.input_shape
    network = cut_network(backbone.module, asked_layers(transformer), shape)
    axes = network.channel_axes
    network = network.cpu().float()
    published, output = backbone.preprocessing, torch.float32
    scale = _scale(transformer, backbone.scaler, published, dtype, output, resize)
    features = Features(transformer.pooling, len(shape) - 1, axes)
    return Exported(scale, network, features)


def _published_layout(estimator, preprocessing, resize):
    """Return the layout of the images that the model takes."""
    size, n_channels = preprocessing.crop_size, preprocessing.n_channels
    seen = getattr(estimator, "image_shape_", None)
    if seen is None:  # files, whose pixels have channels last
        if resize:  # an example that needs resizing
            size = [length * 4 // 3 + i for i, length in enumerate(size)]
        return find_layout((*size, n_channels), channel_axis=-1)
    layout = find_layout(seen, channel_axis=estimator.channel_axis, images_only=True)
    if resize:
        return layout
    shape = list(size)
    if layout.channel_axis is not None:
        shape.insert(layout.channel_axis, layout.n_channels)
    axis = None if layout.channel_axis is None else layout.channel_axis + 1
    return find_layout(tuple(shape), channel_axis=axis, images_only=True)


def example_input(network, dtype, n_samples=3):
    """Return random raw input.

    Parameters
    ----------
    network : Exported
        The network.

    dtype : numpy.dtype or None
        Dtype of X; None for word codes.

    n_samples : int, default=3
        Number of samples.

    Returns
    -------
    ndarray of shape (n_samples, ...)
        Samples.
    """
    rng = np.random.default_rng(0)
    shape = n_samples, *network.scale.sample_shape
    if isinstance(network.scale, Codes):
        layers = (m for m in network.modules() if isinstance(m, nn.Embedding))
        return rng.integers(1, next(layers).num_embeddings, shape)
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 256, shape).astype(dtype)
