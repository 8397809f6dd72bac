"""Backbone: a network that computes features, and its preprocessing."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from math import log2, prod
from numbers import Integral

import numpy as np
from torch import nn

from ..backbones import (
    Preprocessing,
    check_channels,
    module_identity,
    weights_digest,
)
from ..data import ChannelScaler, find_layout
from ..features import PublishedScaling
from .plain_state import with_built_networks, with_stored_networks

# Pixels in a batch: enough to amortise its overhead, and few enough for the output of a
# layer to fit in the processor's cache. GPUs need larger batches.
BATCH_PIXELS = {"cpu": 8 * 224 * 224, "cuda": 128 * 224 * 224, "mps": 32 * 224 * 224}


@dataclass(frozen=True, eq=False)
class FeatureBackbone:
    """Network that computes features, and its preprocessing.

    Parameters
    ----------
    name : str
        Name for messages and feature names.

    module : torch.nn.Module
        Network.

    preprocessing : Preprocessing or None, default=None
        Preprocessing published with the weights. Images of any size are resized to
        its size.

    scaler : ChannelScaler or None, default=None
        Learnt scale, if no preprocessing is published. Images must have the layout
        that they had in training.

    digest : str or None, default=None
        Digest of the weights, if it is known.

    trained_side : int or None, default=None
        Height and width, in pixels, of the images in training.

    class_names : tuple of str or None, default=None
        Names of the classes in training, if they are known.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing | None = None
    scaler: ChannelScaler | None = None
    digest: str | None = None
    trained_side: int | None = None
    class_names: tuple | None = None

    def __getstate__(self):
        """Return the state with the network as plain data."""
        return with_stored_networks(vars(self))

    def __setstate__(self, state):
        state = with_built_networks(state)
        if state["digest"] is not None and state["module"] is not None:
            state["digest"] = weights_digest(state["module"])  # of the stored weights
        vars(self).update(state)

    @property
    def input_shape(self):
        """Shape of one input of the network, channels first."""
        if self.preprocessing is None:
            return self.scaler.layout.input_shape
        return (self.preprocessing.n_channels, *self.preprocessing.crop_size)

    def scaling(self, X, image_shape, channel_axis):
        """Return the scaling of the images of an array, published or learnt."""
        if self.scaler is not None:
            self._check_reading(X, image_shape, channel_axis)
            return self.scaler
        layout = find_layout(X.shape[1:], image_shape, channel_axis, images_only=True)
        self.check_layout(layout)
        return PublishedScaling(self.preprocessing, layout, X.dtype)

    def _check_reading(self, X, image_shape, channel_axis):
        """Raise an error if the parameters change the layout that X had in training."""
        known = self.scaler.layout
        is_told = image_shape is not None or not isinstance(channel_axis, str)
        if not is_told or X.shape[1:] != known.sample_shape:
            return
        asked = find_layout(X.shape[1:], image_shape, channel_axis)
        if asked != known:
            raise ValueError(
                f"image_shape={image_shape} and channel_axis={channel_axis!r} read X "
                f"as {asked.input_shape} (channels first), but {self.name} was trained "
                f"on {known.input_shape}. Leave both out."
            )

    def check_layout(self, layout):
        """Raise an error if a pretrained network cannot take such images."""
        if len(layout.spatial_shape) != 2:
            is_row = len(layout.sample_shape) == 1
            advice = (
                "Set image_shape=(height, width), or (height, width, n_channels) for "
                "several channels."
            )
            raise ValueError(
                f"X has samples of shape {layout.sample_shape}, but {self.name} takes "
                "images with two spatial axes. "
                + (
                    advice
                    if is_row
                    else "Set channel_axis to the axis of the channels."
                )
            )
        check_channels(layout.n_channels, self.preprocessing.n_channels, self.name)

    def without_crop(self):
        """Return the backbone for images that are resized without cropping."""
        published = self.preprocessing
        if published is None:
            return self
        whole = replace(published, resize_size=published.crop_size)
        return replace(self, preprocessing=whole)

    def batch_size(self, device):
        """Return the batch size for forward passes on a device."""
        n_pixels = prod(self.input_shape[1:])
        power = round(log2(BATCH_PIXELS[device.type] / n_pixels))
        return int(2 ** np.clip(power, 2, 8))

    def context(self):
        """Return a text of what features depend on besides image, layer and pooling."""
        scaling = repr(self.preprocessing)
        if self.scaler is not None:
            values = np.concatenate([self.scaler.mean_, self.scaler.scale_])
            scaling = blake2b(values.tobytes()).hexdigest()
        return f"{self.identity()} {scaling}"

    def identity(self):
        """Return a digest that identifies the weights and the code of the network."""
        return self.digest or module_identity(self.module)


def pretrained_backbone(name, module, published, image_size, **known):
    """Return a backbone with published preprocessing, resized to `image_size`."""
    side = max(published.crop_size)
    resized = _resized(published, image_size)
    return FeatureBackbone(name, module, resized, trained_side=side, **known)


def _resized(preprocessing, image_size):
    """Return preprocessing for another image size, if one is given."""
    if image_size is None:
        return preprocessing
    sides = (image_size,) * 2 if isinstance(image_size, Integral) else image_size
    if len(sides) != 2 or not all(isinstance(s, Integral) and s > 0 for s in sides):
        raise ValueError(
            f"image_size={image_size!r}, expected a positive integer or a tuple "
            "(height, width)."
        )
    return preprocessing.with_image_size(tuple(map(int, sides)))
