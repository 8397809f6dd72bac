"""Occlusion maps: drops of the score when patches of an image are covered."""

from itertools import product

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator

from ..data import as_image_list, check_image_array, find_layout, is_image_files
from ..data.image_decoding import decode_image
from ..modules.convnet import per_axis
from .chosen_classes import choose_classes

PATCHES_PER_SIDE = 6
MAX_COPIES = 64  # covered copies of an image that are predicted together


class ArrayImages:
    """Images of an array, copied in its shape and dtype.

    Parameters
    ----------
    X : array-like
        Images; flattened images need `image_shape`.

    image_shape, channel_axis
        See `CNNClassifier`.
    """

    def __init__(self, X, image_shape=None, channel_axis="auto"):
        self.pixels = check_image_array(BaseEstimator(), X)
        shape = self.pixels.shape[1:]
        self.layout = find_layout(shape, image_shape, channel_axis, images_only=True)

    def __len__(self):
        return len(self.pixels)

    def copies(self, row, n_copies):
        """Return copies of an image, channels first, and a function to restore X."""
        copies = np.repeat(self.pixels[row : row + 1], n_copies, axis=0)
        return self.layout.channels_first(copies), lambda: copies


class FileImages:
    """Image files, copied as PIL images.

    Parameters
    ----------
    X : sequence of image files
        Images of any size.
    """

    def __init__(self, X):
        self.images = [decode_image(source) for source in as_image_list(X)]

    def __len__(self):
        return len(self.images)

    def copies(self, row, n_copies):
        """Return copies of an image, channels first, and a function to restore X."""
        pixels = np.repeat(np.asarray(self.images[row])[None], n_copies, axis=0)
        return np.moveaxis(pixels, -1, 1), lambda: list(map(Image.fromarray, pixels))


def occlude(estimator, X, classes, y, *, patch_size, stride, fill, **reading):
    """Compute occlusion maps of chosen scores.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted classifier or regressor of any kind.

    X : array-like or sequence of image files
        Images.

    classes, y
        See `choose_classes`.

    patch_size, stride : int, tuple of int or None
        Size of the patches and step between them, see `OcclusionDisplay`.

    fill : float or "mean"
        Value of covered pixels.

    **reading : dict
        `image_shape` and `channel_axis` of arrays.

    Returns
    -------
    drops : list of ndarray of shape (n_chosen, *spatial_shape)
        Mean drop of the score over the patches that cover a position.

    scores : ndarray of shape (n_samples, n_chosen)
        Scores of the whole images.
    """
    images = FileImages(X) if is_image_files(X) else ArrayImages(X, **reading)
    whole = scores_of(estimator, X)
    chosen = choose_classes(estimator, whole.shape[1], X, classes, y)
    columns = chosen.of(whole)
    drops = [
        _drops_of_image(
            estimator, images, row, columns[row], whole[row], patch_size, stride, fill
        )
        for row in range(len(images))
    ]
    return drops, np.take_along_axis(whole, columns, axis=1)


def scores_of(estimator, X):
    """Return probabilities, decision values or predictions, (n_samples, n_scores)."""
    methods = ("predict_proba", "decision_function", "predict")
    method = next(name for name in methods if hasattr(estimator, name))
    if method == "predict" and hasattr(estimator, "classes_"):
        raise TypeError(
            f"{type(estimator).__name__} has neither predict_proba nor "
            "decision_function, expected one of them."
        )
    scores = np.asarray(getattr(estimator, method)(X), dtype=np.float64)
    if scores.ndim == 1 and method == "decision_function":
        return np.stack([-scores, scores], axis=1)
    return scores.reshape(len(scores), -1)


def _drops_of_image(estimator, images, row, columns, whole, size, stride, fill):
    """Return the mean drop of chosen scores at each position of an image."""
    spatial_shape = images.copies(row, 1)[0].shape[2:]
    patches = list_patches(spatial_shape, size, stride)
    total = np.zeros((len(columns), *spatial_shape))
    n_covered = np.zeros(spatial_shape)
    for start in range(0, len(patches), MAX_COPIES):
        part = patches[start : start + MAX_COPIES]
        covered = _covered(images, row, part, fill)
        drops = (whole - scores_of(estimator, covered))[:, columns]
        for patch, drop in zip(part, drops, strict=True):
            total[(slice(None), *patch)] += drop.reshape(-1, *(1 for _ in patch))
            n_covered[patch] += 1
    return total / n_covered


def _covered(images, row, patches, fill):
    """Return copies of an image, each with one patch covered, in the form of X."""
    copies, give_back = images.copies(row, len(patches))  # (n, c, *spatial_shape)
    spatial_axes = tuple(range(1, copies.ndim - 1))
    if isinstance(fill, str):
        fill = copies[0].mean(axis=spatial_axes, keepdims=True)
    for copy, patch in zip(copies, patches, strict=True):
        copy[(slice(None), *patch)] = fill
    return give_back()


def list_patches(spatial_shape, patch_size=None, stride=None):
    """Return the patches that cover an image.

    Parameters
    ----------
    spatial_shape : tuple of int
        Shape of the image.

    patch_size, stride : int, tuple of int or None, default=None
        Size of a patch and step between patches, see `OcclusionDisplay`.

    Returns
    -------
    list of tuple of slice
        Patches, the last of which end at the borders.

    Examples
    --------
    >>> from skcnn.inspection.occlusion import list_patches
    >>> [patch[0] for patch in list_patches((10,), 4, 4)]
    [slice(0, 4, None), slice(4, 8, None), slice(6, 10, None)]
    """
    n_axes = len(spatial_shape)
    if patch_size is None:
        patch_size = [max(1, round(n / PATCHES_PER_SIDE)) for n in spatial_shape]
    sizes = per_axis("patch_size", patch_size, n_axes)
    sizes = [min(pair) for pair in zip(sizes, spatial_shape, strict=True)]
    if stride is None:
        stride = [max(1, size // 2) for size in sizes]
    steps = per_axis("stride", stride, n_axes)
    if any(step > size for step, size in zip(steps, sizes, strict=True)):
        raise ValueError(
            f"stride={stride!r} is larger than patch_size={patch_size!r}, so positions "
            "between patches are never covered. Use a smaller stride."
        )
    axes = []
    for length, size, step in zip(spatial_shape, sizes, steps, strict=True):
        starts = [*range(0, length - size, step), length - size]
        axes.append([slice(start, start + size) for start in starts])
    return list(product(*axes))
