"""Input of pretrained networks: arrays of images, or image files."""

import numpy as np
import torch
from sklearn.utils.validation import _check_feature_names

from ..data import (
    ImageFiles,
    as_image_list,
    check_same_shape,
    decode_files,
    find_layout,
    is_image_files,
)
from ..data.image_files import DecodedImages
from ..features import PublishedScaling
from . import array_input
from .backbone_parameter import (
    backbone_to_learn,
    check_uses,
    draw_seed,
    needs_fit,
    no_preprocessing,
    ready_backbone,
)
from .checked_samples import check_targets
from .shared_parameters import is_fitted_estimator

COPIES_ROWS = True


def check_X_y(estimator, X, y, is_first):
    """Validate X and y, and decode files; the first call finds the backbone."""
    if is_image_files(X):
        return _check_files(estimator, X, y, is_first)
    checks = estimator._Targets.checks(y)
    X, y = array_input.validate(estimator, X, y, is_first, **checks)
    if is_first:
        array_input.set_layout(estimator, X)
        estimator._backbone = _find_backbone(estimator, X)
        if estimator._backbone.scaler is None:
            estimator._backbone.check_layout(estimator._layout)
            return X, y
        estimator._layout = estimator._backbone.scaler.layout
    _check_shape(estimator, X)
    return X, y


def _check_files(estimator, X, y, is_first):
    """Return the pixels of image files, and the validated y."""
    _check_feature_names(estimator, X, reset=is_first)
    sources = as_image_list(X)
    y = check_targets(estimator, sources, y)
    if is_first:
        estimator._layout = None  # files may have any size
        estimator._backbone = _find_backbone(estimator, sources)
    files = image_files(estimator._backbone, sources)
    return decode_files(files, _file_shape(estimator._backbone)), y


def _check_shape(estimator, X):
    """Raise an error if images have another shape than in fit, or an unsuitable one."""
    if estimator._layout is not None:
        check_same_shape(estimator, X, estimator._layout.sample_shape)
    else:
        estimator._backbone.check_layout(_find_layout(estimator, X))


def _find_backbone(estimator, X):
    """Return the backbone of an estimator, whose network may be shared."""
    check_uses(estimator)
    if not needs_fit(estimator):
        backbone = ready_backbone(estimator, estimator.weights)
        return backbone if estimator._crops_images else backbone.without_crop()
    if not isinstance(estimator.backbone, (str, torch.nn.Module)):
        raise TypeError(
            f"backbone is a {type(estimator.backbone).__name__}, expected the name of "
            "a network, a torch.nn.Module, or a fitted estimator of skcnn."
        )
    return backbone_to_learn(estimator, X, draw_seed(estimator))


def image_files(backbone, sources):
    """Return image files that are resized to the input size of the network."""
    published = backbone.preprocessing
    if published is None:
        raise no_preprocessing(backbone.name, sources)
    return ImageFiles(
        sources,
        published.resize_image,
        short_side=published.short_side,
        mode="L" if published.n_channels == 1 else "RGB",
    )


def _file_shape(backbone):
    """Return the shape of a decoded file, channels last."""
    return *backbone.preprocessing.crop_size, backbone.preprocessing.n_channels


def _find_layout(estimator, X):
    image_shape, channel_axis = estimator.image_shape, estimator.channel_axis
    return find_layout(X.shape[1:], image_shape, channel_axis, images_only=True)


def check_parts(estimator, X):
    """Validate X and yield it in parts; files are decoded batch by batch."""
    if not is_image_files(X):
        X = array_input.validate(estimator, X)
        _check_shape(estimator, X)
        yield X
        return
    _check_feature_names(estimator, X, reset=False)
    files = image_files(estimator._backbone, as_image_list(X))
    size = estimator._predict_batch_size
    starts = range(0, len(files), size)
    chunks = (np.arange(i, min(i + size, len(files))) for i in starts)
    for _, batch in files.batches(chunks):
        yield batch.numpy().view(DecodedImages)


def learn(estimator, samples):
    """Set the scaler of the pixels, unless preprocessing is published."""
    backbone = estimator._backbone
    if backbone.preprocessing is not None:
        return
    if is_fitted_estimator(estimator.backbone):
        estimator.scaler_ = backbone.scaler
    else:
        array_input.learn(estimator, samples)


def input_shape(estimator):
    """Return the shape of one input of the network, channels first."""
    return estimator._backbone.input_shape


def blank_sample(estimator, samples):
    """Return a batch of one blank image for a dry run of the network."""
    return torch.zeros(1, *input_shape(estimator))


def images(estimator, X, device, once=False):
    """Return the images of X, or their features if these suffice."""
    uses = "_predicts_from_features" if once else "_trains_on_features"
    if getattr(estimator, uses):
        return estimator._features.rows(estimator, X, device, once)
    return network_input(estimator, X, device, once)


def network_input(estimator, X, device, once=True):
    """Return the preprocessed images of X in batches."""
    scaler = find_scaling(estimator, X)
    return array_input.scaled_images(estimator, X, scaler, device, once)


def find_scaling(estimator, X):
    """Return the scaling of the images of X, published or learnt."""
    published = estimator._backbone.preprocessing
    if published is None:
        return estimator.scaler_
    if isinstance(X, DecodedImages):
        published = published.with_image_size(published.crop_size)  # already resized
        layout = find_layout(_file_shape(estimator._backbone), channel_axis=-1)
    else:
        layout = estimator._layout or _find_layout(estimator, X)
    return PublishedScaling(published, layout, X.dtype)
