"""The patches of images that excite filters most."""

from typing import NamedTuple

import numpy as np

from .feature_maps import LayerReader, check_channel_numbers
from .input_pictures import input_pictures


class TopPatches(NamedTuple):
    """Patches that excite the filters of one layer most, the strongest first.

    Parameters
    ----------
    layer : str
        Name of the layer.

    channels : ndarray of shape (n_filters,)
        Numbers of the filters.

    responses : ndarray of shape (n_filters, n_patches)
        Largest response of each filter in an image.

    rows : ndarray of shape (n_filters, n_patches)
        Rows of the images.

    positions : ndarray of shape (n_filters, n_patches, 2)
        Where in the feature map these responses are.

    patches : ndarray of shape (n_filters, n_patches, height, width[, 3])
        Parts of the pictures that the responses depend on.
    """

    layer: str
    channels: np.ndarray
    responses: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    patches: np.ndarray


def find_top_patches(found, X, infos, channels, n_filters, n_patches):
    """Find the patches of images that excite filters most.

    Parameters
    ----------
    found : FoundNetwork
        Estimator of the network.

    X : array-like or sequence of image files
        Images.

    infos : list of skcnn.backbones.LayerInfo
        Layers.

    channels : array-like of int or None
        Filters. None is those that tell images apart most, see `_most_selective`.

    n_filters, n_patches : int
        Number of filters of each layer, if `channels` is None, and of their patches.

    Returns
    -------
    list of TopPatches
        One for each layer.
    """
    largest, places, pictures = _largest_responses(found, X, infos)
    tops = []
    for info, responses, position in zip(infos, largest, places, strict=True):
        chosen = _choose_filters(responses, channels, n_filters)
        rows = np.argsort(-responses[:, chosen], axis=0, kind="stable")[:n_patches].T
        where = position[rows, chosen[:, None]]
        cut = [
            [
                _cut_patch(pictures[row], info, place)
                for row, place in zip(*pair, strict=True)
            ]
            for pair in zip(rows, where, strict=True)
        ]
        found_responses = responses[rows, chosen[:, None]]
        tops.append(
            TopPatches(info.name, chosen, found_responses, rows, where, np.array(cut))
        )
    return tops


def _largest_responses(found, X, infos):
    """Return the largest response of each filter in each image, and where it is."""
    largest, places, pictures = [], [], []
    reader = LayerReader(found, [info.name for info in infos])
    for batch, maps in reader.batches(X):
        flat = [one.reshape(*one.shape[:2], -1) for one in maps]
        largest.append([one.max(axis=2) for one in flat])
        places.append(
            [
                np.stack(np.unravel_index(one.argmax(axis=2), part.shape[2:]), axis=-1)
                for one, part in zip(flat, maps, strict=True)
            ]
        )
        pictures += input_pictures(found, batch)
    joined = [
        [np.concatenate(p) for p in zip(*x, strict=True)] for x in (largest, places)
    ]
    return *joined, pictures


def _choose_filters(responses, channels, n_filters):
    """Return the filters that are shown.

    By default those whose largest response is the most standard deviations above the
    mean of all images.
    """
    if channels is not None:
        return check_channel_numbers(channels, responses.shape[1])
    deviation = responses.std(axis=0)
    excess = responses.max(axis=0) - responses.mean(axis=0)
    score = np.divide(excess, deviation, out=np.zeros_like(excess), where=deviation > 0)
    return np.sort(np.argsort(-score, kind="stable")[:n_filters])


def _cut_patch(picture, info, position):
    """Return the receptive field of a position, moved into the picture."""
    slices = []
    field = info.receptive_field or picture.shape[:2]
    for index, length, n_positions, size in zip(
        position, picture.shape, info.output_shape[1:], field, strict=False
    ):
        size = min(size, length)
        centre = (index + 0.5) * length / n_positions
        start = int(np.clip(round(centre - size / 2), 0, length - size))
        slices.append(slice(start, start + size))
    return picture[tuple(slices)]
