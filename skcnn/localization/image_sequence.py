"""Images of any size, read one at a time."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator

from ..data import as_image_list, check_image_array, find_layout, is_image_files
from ..data.image_decoding import (
    as_pil_image,
    decode_image,
    errors_naming,
    get_orientation,
    open_source,
)


class ImageSequence(Sequence):
    """Images of X, channels last, decoded on access.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator named in error messages.

    X : array-like of shape (n, H, W[, C]) or sequence of image files
        Images; files and arrays in a list may have any size.

    channel_axis : int, None or "auto", default="auto"
        Axis of an array X that holds the channels.
    """

    def __init__(self, estimator, X, channel_axis="auto"):
        self.is_files = is_image_files(X)
        if self.is_files:
            self.X = as_image_list(X)
            return
        self.X = check_image_array(estimator, X)
        self.layout = find_layout(
            self.X.shape[1:], None, channel_axis, images_only=True
        )
        if len(self.layout.spatial_shape) != 2:
            raise ValueError(
                f"X has samples of shape {self.X.shape[1:]}, expected images: (n, H, "
                "W) or (n, H, W, C), or a list of image files."
            )

    def __len__(self):
        return len(self.X)

    def __getitem__(self, row):
        if not self.is_files:
            image = self.layout.channels_first(self.X[row : row + 1])[0]
            return np.moveaxis(image, 0, -1)
        source = self.X[row]
        if hasattr(source, "shape"):
            with errors_naming(source):
                return np.asarray(as_pil_image(source).convert("RGB"))
        return np.asarray(decode_image(source, "RGB"))


def size_of(image):
    """Return the width and height of an image.

    Parameters
    ----------
    image : ndarray of shape (H, W, C)
        The image.

    Returns
    -------
    tuple of int
    """
    return image.shape[1], image.shape[0]


def image_sizes(X, channel_axis="auto"):
    """Return the widths and heights of images, without decoding files.

    Parameters
    ----------
    X : array-like or sequence of image files
        Images.

    channel_axis : int, None or "auto", default="auto"
        Axis of an array X that holds the channels.

    Returns
    -------
    ndarray of shape (n_images, 2)
        Widths and heights in pixels.
    """
    images = ImageSequence(BaseEstimator(), X, channel_axis)
    if not images.is_files:
        return np.tile(images.layout.spatial_shape[::-1], (len(images), 1))
    return np.array([_size_of_source(source) for source in images.X])


def _size_of_source(source):
    """Return the upright width and height of a file, a PIL image or an array."""
    with errors_naming(source):
        if hasattr(source, "shape"):
            return as_pil_image(source).size
        if isinstance(source, Image.Image):
            return _upright(source)
        with open_source(source) as file, Image.open(file) as image:
            return _upright(image)


def _upright(image):
    """Return the width and height of an image after its EXIF orientation is applied."""
    return image.size[:: -1 if get_orientation(image) >= 5 else 1]
