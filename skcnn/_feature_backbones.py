"""What a backbone is to the feature transformer: a network and its preprocessing."""

from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from math import log2, prod
from numbers import Integral

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from ._base import BaseCNN
from .backbones import (
    Preprocessing,
    check_channels,
    copy_network,
    find_backbone,
    load_backbone,
    module_identity,
)
from .data import ChannelScaler, check_one_shape, find_layout
from .features import (
    CachedFeatures,
    FeatureCache,
    PublishedScaling,
    explain_refused_shape,
    find_cache_folder,
)
from .modules import build_module
from .runtime import PrivateRandomness, explain_out_of_memory, make_generator

N_UNUSED_OUTPUTS = 10
# A batch of this many pixels is worth its overhead, and what a layer returns for it
# still fits into the processor's cache; a GPU wants more.
BATCH_PIXELS = {"cpu": 8 * 224 * 224, "cuda": 128 * 224 * 224, "mps": 32 * 224 * 224}


@dataclass(frozen=True, eq=False)
class FeatureBackbone:
    """A network, and how images get the values that it takes.

    Parameters
    ----------
    name : str
        For messages and the names of features.

    module : torch.nn.Module
        The network.

    preprocessing : Preprocessing or None, default=None
        What was published with the weights; images of any size are resized to
        its size.

    scaler : ChannelScaler or None, default=None
        The scale that was learnt, where nothing was published. Images have the
        layout of those that it was learnt from.

    digest : str or None, default=None
        Of the weights, where it is known already.

    trained_side : int or None, default=None
        Height and width, in pixels, of the images that it was trained on.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing | None = None
    scaler: ChannelScaler | None = None
    digest: str | None = None
    trained_side: int | None = None

    def __getstate__(self):
        """Hold the network on the CPU, to be loaded where there is no GPU, too."""
        module = self.module
        if module is not None:
            tensors = chain(module.parameters(), module.buffers())
            if any(tensor.is_cuda for tensor in tensors):
                module = copy_network(module).cpu()
        return {**vars(self), "module": module}

    @property
    def input_shape(self):
        """Shape of one sample as the network takes it, channels first."""
        if self.preprocessing is None:
            return self.scaler.layout.input_shape
        return (self.preprocessing.n_channels, *self.preprocessing.crop_size)

    @property
    def layout(self):
        """The layout that images must have, or None where any will do."""
        return None if self.scaler is None else self.scaler.layout

    def scaling(self, X, image_shape, channel_axis):
        """Return what turns the images of an array into the network's input."""
        if self.scaler is not None:
            self._check_reading(X, image_shape, channel_axis)
            return self.scaler
        layout = find_layout(X.shape[1:], image_shape, channel_axis, images_only=True)
        self.check_layout(layout)
        return PublishedScaling(self.preprocessing, layout, X.dtype)

    def _check_reading(self, X, image_shape, channel_axis):
        """Raise an error where X is to be read otherwise than what was learnt from."""
        is_told = image_shape is not None or not isinstance(channel_axis, str)
        if not is_told or X.shape[1:] != self.layout.sample_shape:
            return
        asked = find_layout(X.shape[1:], image_shape, channel_axis)
        if asked != self.layout:
            raise ValueError(
                f"image_shape={image_shape} and channel_axis={channel_axis!r} read X "
                f"as {asked.input_shape} (channels first), and {self.name} learnt from "
                f"{self.layout.input_shape}. Leave them out: how it reads X is known."
            )

    def check_layout(self, layout):
        """Raise an error where a pretrained network cannot take such images."""
        if len(layout.spatial_shape) != 2:
            rows = len(layout.sample_shape) == 1
            raise ValueError(
                f"X has samples of shape {layout.sample_shape}, but {self.name} takes "
                "images with two spatial axes. "
                + (
                    "Say what image a row holds: image_shape=(height, width), with the "
                    "channels behind where there are some."
                    if rows
                    else "Say which axis holds the channels: channel_axis."
                )
            )
        check_channels(layout.n_channels, self.preprocessing.n_channels, self.name)

    def batch_size(self, device):
        """Return the number of images of a forward pass that suits a device."""
        n_pixels = prod(self.input_shape[1:])
        return int(
            2 ** np.clip(round(log2(BATCH_PIXELS[device.type] / n_pixels)), 2, 8)
        )

    def context(self):
        """Return all that features depend on besides image, layer and pooling."""
        scaling = repr(self.preprocessing)
        if self.scaler is not None:
            values = np.concatenate([self.scaler.mean_, self.scaler.scale_])
            scaling = blake2b(values.tobytes()).hexdigest()
        return f"{self.digest or module_identity(self.module)} {scaling}"


def is_fitted_estimator(backbone):
    """Return whether a backbone is an estimator that is used as it is."""
    if isinstance(backbone, FrozenEstimator):
        backbone = backbone.estimator
    return isinstance(backbone, BaseCNN) and backbone.__sklearn_is_fitted__()


class SharedBackboneMixin:
    """An estimator whose `backbone`, where that is fitted, stays as it is.

    Warning: this class is not meant to be used, its subclasses are.
    """

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params : dict
            As of :meth:`sklearn.base.BaseEstimator.set_params`.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If they are parameters of a fitted backbone, which is used as it is.
        """
        nested = [name for name in params if name.startswith("backbone__")]
        if nested and is_fitted_estimator(params.get("backbone", self.backbone)):
            raise ValueError(
                f"{nested[0]} cannot be set: backbone is fitted and is used as it is. "
                "Pass sklearn.base.clone(backbone) to train it anew."
            )
        self._prepare_for_change()
        return super().set_params(**params)

    def _prepare_for_change(self):
        """Forget what follows from the parameters."""

    def __sklearn_clone__(self):
        copy = super().__sklearn_clone__()
        if is_fitted_estimator(self.backbone):
            copy.backbone = self.backbone
        return copy


def needs_fit(backbone, weights, preprocessing):
    """Return whether something is learnt before features can be computed."""
    if isinstance(backbone, str):
        return weights is None
    if isinstance(backbone, nn.Module):
        return preprocessing == "auto"
    return not is_fitted_estimator(backbone)


def is_own(name):
    """Return whether a name is that of one of the package's own networks."""
    return find_backbone(name).library == "skcnn"


def check_uses(backbone, weights, preprocessing, image_size):
    """Raise an error where a backbone has no use for a parameter.

    Parameters
    ----------
    backbone, weights, preprocessing, image_size
        As of the transformer.

    Raises
    ------
    ValueError
        If a parameter would be ignored.

    TypeError
        If the backbone is an estimator that reads no images.
    """
    if isinstance(backbone, torch.jit.ScriptModule):
        raise TypeError(
            "backbone is a TorchScript module, whose layers cannot be run one by one. "
            "Pass the torch.nn.Module that it was made of."
        )
    estimator = getattr(backbone, "estimator", backbone)  # of a FrozenEstimator
    if isinstance(estimator, BaseCNN) and estimator._reads_text:
        raise TypeError(
            f"backbone is a {type(estimator).__name__}, which reads sentences. Its own "
            "transform computes their features."
        )
    name, is_named = backbone_name(backbone), isinstance(backbone, str)
    if weights not in (None, "default") and not is_named:
        raise ValueError(
            f"weights={weights!r} is for a backbone that is named, and {name} has its "
            "own. Leave weights out."
        )
    if preprocessing != "auto" and not isinstance(backbone, nn.Module):
        raise ValueError(
            f"preprocessing={preprocessing!r} is for a torch.nn.Module; what {name} "
            "takes is known. Leave preprocessing out."
        )
    published = weights is not None or not is_own(backbone) if is_named else False
    if image_size is not None and not published and preprocessing == "auto":
        raise ValueError(
            f"image_size={image_size} is for a published preprocessing, and {name} "
            "takes the images of X as they are. Leave image_size out."
        )


def backbone_name(backbone):
    """Return the name that a backbone has in messages and names of features."""
    if isinstance(backbone, str):
        return backbone.rpartition("/")[2]
    if isinstance(backbone, FrozenEstimator):
        backbone = backbone.estimator
    return type(backbone).__name__.lower()


def ready_backbone(backbone, weights, preprocessing, image_size):
    """Return a backbone that learns nothing.

    Parameters
    ----------
    backbone, weights, preprocessing, image_size
        As of the transformer, where `needs_fit` is false.

    Returns
    -------
    FeatureBackbone
        With what was published, or what the estimator learnt.
    """
    name = backbone_name(backbone)
    if isinstance(backbone, nn.Module):
        published = find_backbone(preprocessing).preprocessing
        if published is None:
            raise ValueError(
                f"preprocessing={preprocessing!r} is a network that takes images as "
                "they are. Name one with published weights, or leave it out."
            )
        return _pretrained(name, backbone, published, image_size)
    if isinstance(backbone, str):
        loaded = load_backbone(backbone, weights)
        return _pretrained(
            name, loaded.module, loaded.preprocessing, image_size, loaded.digest
        )
    if isinstance(backbone, FrozenEstimator):
        backbone = backbone.estimator
    return FeatureBackbone(
        name,
        backbone.module_,
        getattr(backbone, "preprocessing_", None),
        getattr(backbone, "scaler_", None),
    )


def untrained_backbone(name, image_size, seed):
    """Return a library's network with random weights, its preprocessing published."""
    with PrivateRandomness(make_generator(seed)):
        loaded = load_backbone(name, None)
    return _pretrained(
        backbone_name(name), loaded.module, loaded.preprocessing, image_size
    )


def scaled_backbone(backbone, X, image_shape, channel_axis, seed):
    """Return a network for which the scale of the pixels is learnt from X.

    Parameters
    ----------
    backbone : str or torch.nn.Module
        A network of the package, which gets random weights, or any other.

    X : ndarray of shape (n_samples, *sample_shape)
        Validated images.

    image_shape, channel_axis
        As of the transformer.

    seed : int or None
        Of the random weights of a network of the package.

    Returns
    -------
    FeatureBackbone
        With its scale.
    """
    layout = find_layout(X.shape[1:], image_shape, channel_axis)
    module = backbone
    if isinstance(backbone, str):
        with PrivateRandomness(make_generator(seed)):
            module = build_module(backbone, layout.input_shape, N_UNUSED_OUTPUTS)
    scaler = ChannelScaler(layout).fit(X)
    return FeatureBackbone(backbone_name(backbone), module, scaler=scaler)


def _pretrained(name, module, published, image_size, digest=None):
    """Return a network whose preprocessing is published."""
    return FeatureBackbone(
        name,
        module,
        _resized(published, image_size),
        digest=digest,
        trained_side=max(published.crop_size),
    )


def _resized(preprocessing, image_size):
    """Return a published preprocessing, for another image size where one is given."""
    if image_size is None:
        return preprocessing
    sides = (image_size,) * 2 if isinstance(image_size, Integral) else image_size
    if len(sides) != 2 or not all(isinstance(s, Integral) and s > 0 for s in sides):
        raise ValueError(
            f"image_size={image_size!r} is neither a positive integer nor a height and "
            "a width."
        )
    return preprocessing.with_image_size(tuple(map(int, sides)))


@contextmanager
def explain_failure(backbone, extractor, batch_size):
    """Say what to do where memory runs out, or the network refuses the images.

    Parameters
    ----------
    backbone : FeatureBackbone
        The network.

    extractor : FeatureExtractor
        What runs it.

    batch_size : int
        Named in the message.
    """
    shape, side = backbone.input_shape, backbone.trained_side
    with (
        explain_refused_shape(extractor, shape, backbone.name, side),
        explain_out_of_memory(batch_size),
    ):
        yield


def wants_cache(memory):
    """Return whether a `memory` is the folder of a cache, or True."""
    is_truth_value = isinstance(memory, bool | np.bool_)
    return bool(memory) if is_truth_value else memory is not None


def cached_features(
    source, backbone, extractor, batch_size, precision, memory, bytes_limit
):
    """Return the features of a source, which a cache has or gets.

    Parameters
    ----------
    source, extractor, batch_size
        As of `CachedFeatures`.

    backbone : FeatureBackbone
        The network.

    precision : str
        What the network computes in.

    memory : str, path-like or True
        Folder of the cache, True for the user's.

    bytes_limit : int
        Of the cache.

    Returns
    -------
    CachedFeatures
        Nothing is computed yet.
    """
    context = f"{backbone.context()} {extractor.pooling} {precision} {extractor.device}"
    cache = FeatureCache(find_cache_folder(memory), bytes_limit)
    return CachedFeatures(source, extractor, batch_size, cache, context)


def no_preprocessing(name, sources):
    """Return an error about image files that nobody says how to resize."""
    check_one_shape(sources)
    return ValueError(
        f"X holds image files, but nothing is published of {name} that says how to "
        "resize and scale them. Pass an array; or, for a torch.nn.Module, "
        "preprocessing='resnet18' or another name of a backbone."
    )


def feature_widths(backbone, extractor):
    """Return the number of features of each layer."""
    with explain_failure(backbone, extractor, 1):
        return extractor.widths(backbone.input_shape)
