"""Array input: images, signals or volumes, scaled by channel."""

from math import prod

import torch

from ..data import (
    ChannelScaler,
    Images,
    ScaledImages,
    check_image_array,
    check_same_shape,
    find_layout,
)
from ..runtime import DTYPES
from .row_hints import hint_at_rows

COPIES_ROWS = False  # to drop samples of weight 0


def check_X_y(estimator, X, y, is_first):
    """Validate X and y; the first call sets the layout of X."""
    X, y = validate(estimator, X, y, is_first, **estimator._Targets.checks(y))
    if is_first:
        set_layout(estimator, X)
        hint_at_rows(X, estimator.image_shape)
    else:
        check_same_shape(estimator, X, estimator._layout.sample_shape)
    return X, y


def validate(estimator, X, y="no_validation", is_first=False, **checks):
    """Validate X, and y if it is given, with scikit-learn."""
    layout = None if is_first else estimator._layout
    shape = None if layout is None else layout.sample_shape
    return check_image_array(
        estimator, X, y, sample_shape=shape, reset=is_first, **checks
    )


def set_layout(estimator, X):
    """Set the layout of X and the attributes of its shape."""
    layout = find_layout(X.shape[1:], estimator.image_shape, estimator.channel_axis)
    estimator._layout = layout
    estimator.image_shape_ = layout.image_shape
    estimator.n_features_in_ = prod(layout.image_shape)


def check_parts(estimator, X):
    """Validate X and yield it as a single part."""
    X = validate(estimator, X)
    check_same_shape(estimator, X, estimator._layout.sample_shape)
    yield X


def learn(estimator, samples):
    """Fit the scaler of the pixels to the training samples."""
    scaler = ChannelScaler(estimator._layout)
    estimator.scaler_ = scaler.fit(samples.X, samples.weights, samples.rows)


def input_shape(estimator):
    """Return the shape of one input of the network, channels first."""
    return estimator._layout.input_shape


def blank_sample(estimator, samples):
    """Return a batch of one blank sample for a dry run of the network."""
    return torch.zeros(1, *input_shape(estimator))


def images(estimator, X, device, once=False):
    """Return the scaled images of X in batches; `once` for predictions."""
    return scaled_images(estimator, X, estimator.scaler_, device, once)


def network_input(estimator, X, device):
    """Return the scaled images of X in batches that are read once."""
    return images(estimator, X, device, once=True)


def scaled_images(estimator, X, scaler, device, once):
    """Return the images of X, scaled in advance if all fit in memory."""
    found = Images(X, scaler, device, DTYPES[estimator._precision], once)
    return ScaledImages(found) if ScaledImages.is_worthwhile(found) else found
