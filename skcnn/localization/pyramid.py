"""Feature maps of images at several scales."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import numpy as np
import torch

from .._base.backbone_features import extract_features, make_extractor
from ..backbones import layer_table
from ..data import find_layout
from ..features import ArraySource, PublishedScaling
from .image_sequence import size_of

STRIDE = 16  # maximum for layer="auto"
PROBE_SIDE = 256
CHUNK_PIXELS = 2**23  # maximum size of images that are computed together


def find_map_layer(backbone):
    """Find the layer with the largest receptive field and a stride of at most 16.

    Parameters
    ----------
    backbone : FeatureBackbone
        The network.

    Returns
    -------
    str
        Name of the layer, the first one in a tie.

    Raises
    ------
    ValueError
        If the network has no feature maps.
    """
    shape = (backbone.preprocessing.n_channels, PROBE_SIDE, PROBE_SIDE)
    rows = [
        row
        for row in layer_table(backbone.module, shape)
        if row.output_shape
        and len(row.output_shape) == 3
        and PROBE_SIDE // STRIDE <= row.output_shape[1] < PROBE_SIDE
    ]
    if not rows:
        raise ValueError(
            f"{backbone.name} has no layer whose output is a feature map. Choose a "
            "convolutional network, or set layer."
        )
    return max(rows, key=lambda row: row.receptive_field or (0, 0)).name


@dataclass
class FeaturePyramid:
    """Feature maps of a backbone at several scales of an image.

    Parameters
    ----------
    backbone : FeatureBackbone
        Network with published preprocessing.

    layer : str
        Layer whose feature map is returned.

    batch_size : int or "auto", default="auto"
        Number of images in a forward pass.

    device : str or torch.device
        Device of the backbone.

    precision : str
        Precision of the computation.

    memory : str, path-like, bool or None
        Folder of the feature cache.
    """

    backbone: object
    layer: str
    batch_size: object = "auto"
    device: object = "auto"
    precision: str = "float32"
    memory: object = None

    def __post_init__(self):
        self.extractor = make_extractor(
            self.backbone,
            (self.layer,),
            is_shared=self.backbone.digest is not None,
            device=self.device,
            pooling=None,
            precision=self.precision,
            compile=False,
        )
        side = self._map_shape((PROBE_SIDE, PROBE_SIDE))[-1]
        self.stride = round(PROBE_SIDE / side)

    def _map_shape(self, size):
        """Return the shape of the feature map of an image of size (height, width)."""
        shape = (self.backbone.preprocessing.n_channels, *size)
        return _output_shape(self.extractor, shape)

    def maps(self, images, scales):
        """Yield the feature maps of each image.

        Consecutive images of the same size are computed together.

        Parameters
        ----------
        images : ImageSequence
            The images.

        scales : sequence of float
            Factors by which the images are resized.

        Yields
        ------
        image_size : tuple of int
            Width and height of the image.

        maps : dict of float to torch.Tensor of shape (n_channels, height, width)
            Feature maps by scale.
        """
        sized = ((size_of(image), image) for image in images)
        for size, group in groupby(sized, key=lambda pair: pair[0]):
            n_images = max(1, CHUNK_PIXELS // (size[0] * size[1]))
            for chunk in _chunks((image for _, image in group), n_images):
                maps = {s: self._compute(chunk, s) for s in scales}
                for row in range(len(chunk)):
                    yield size, {s: maps[s][row] for s in scales}

    def _compute(self, images, scale):
        """Return the feature maps of images of the same size at one scale."""
        size = tuple(max(self.stride, round(n * scale)) for n in images[0].shape[:2])
        preprocessing = replace(
            self.backbone.preprocessing, crop_size=size, resize_size=size
        )
        backbone = replace(self.backbone, preprocessing=preprocessing)
        X = np.stack(images)
        layout = find_layout(X.shape[1:], channel_axis=-1)
        backbone.check_layout(layout)
        scaling = PublishedScaling(preprocessing, layout, X.dtype)
        device, dtype = self.extractor.device, self.extractor.input_dtype
        features, _ = extract_features(
            ArraySource(X, scaling, device, dtype),
            backbone,
            self.extractor,
            batch_size=self.batch_size,
            precision=self.precision,
            memory=self.memory,
        )
        return torch.as_tensor(features[0]).view(len(images), *self._map_shape(size))


@lru_cache(maxsize=256)  # a dry run of a large network takes a tenth of a second
def _output_shape(extractor, input_shape):
    """Return the shape of the feature map of a sample."""
    shape = tuple(extractor.dry_run()(input_shape)[0].shape[1:])
    if len(shape) != 3 or extractor.channel_axes[0] not in (None, (1,)):
        raise ValueError(
            f"layer={extractor.layers[0]!r} returns {shape} for an image, expected a "
            "feature map (n_channels, height, width). Choose a convolutional layer."
        )
    return shape


def _chunks(items, n_items):
    """Yield lists of at most `n_items` consecutive items."""
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == n_items:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
