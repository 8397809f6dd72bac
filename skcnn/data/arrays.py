"""Validation of arrays of images, with scikit-learn's messages if there are any."""

from collections.abc import Iterator, Mapping, Set

import numpy as np
import torch
from PIL import Image
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from .columns import (
    PATH_TYPES,
    as_list,
    is_frame,
    is_image_files,
    is_missing,
    only_column,
)
from .images_with_labels import check_images_alone

MAX_AXES = 5
CONVERTED = (torch.Tensor, np.ma.MaskedArray)  # by `as_array`


def as_array(X, name="X"):
    """Convert tensors and masked arrays for scikit-learn's validation.

    Parameters
    ----------
    X : array-like or torch.Tensor
        Data. Tensors, also in a list, become arrays, which share the memory of CPU
        tensors; bfloat16 becomes float32, as NumPy lacks it. Masked arrays without
        masked values become plain arrays.

    name : str, default="X"
        Name of `X` in messages.

    Returns
    -------
    array-like
        `X` itself if there is nothing to convert.

    Raises
    ------
    ValueError
        If an array has masked values, or a list or column of objects has missing ones.

    TypeError
        If a tensor is sparse.
    """
    if isinstance(X, np.ma.MaskedArray):
        return _without_mask(X, name)
    if isinstance(X, torch.Tensor):
        return _as_numpy(X, name)
    entries = as_list(X)
    row = next((row for row, x in enumerate(entries or ()) if is_missing(x)), None)
    if row is not None:
        raise ValueError(
            f"Input {name} contains NaN or a missing value ({entries[row]!r}) in row "
            f"{row}. Drop the row, or impute the value."
        )
    if isinstance(X, (list, tuple)) and any(isinstance(x, CONVERTED) for x in X):
        return [as_array(x, f"{name}[{row}]") for row, x in enumerate(X)]
    return X


def _without_mask(X, name):
    """Return the data of a masked array without masked values."""
    n_masked = np.ma.count_masked(X)
    if n_masked:
        raise ValueError(
            f"{name} is a masked array with {n_masked} masked values, expected none. "
            f"Pass {name}.filled(value)."
        )
    return X.data


def _as_numpy(tensor, name):
    """Convert a dense tensor to an array."""
    if tensor.layout is not torch.strided:
        raise TypeError(
            f"{name} is a sparse tensor, expected a dense one. Pass {name}.to_dense()."
        )
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def first_sample(X):
    """Return the first sample of a dask array, or zeros of its shape and dtype.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples, ...)
        Array, whose number of samples may be unknown.

    Returns
    -------
    ndarray of shape (1, ...)
        Zeros if the number of samples is unknown.
    """
    if np.isnan(X.shape[0]):
        return np.zeros((1, *X.shape[1:]), X.dtype)
    return X[:1].compute()


def check_image_array(
    estimator, X, y="no_validation", *, sample_shape=None, **check_params
):
    """Validate X, and y if it is given, for `estimator`.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator named in error messages. Its ``feature_names_in_`` is set, or compared
        with X.

    X : array-like
        Samples: numbers or booleans of two to five axes, or a column of such samples,
        all of one shape.

    y : array-like, default="no_validation"
        Targets.

    sample_shape : tuple of int or None, default=None
        Shape of a sample in fit. If it has several axes, scikit-learn's check of the
        number of features is left out, as `check_same_shape` has a clearer message.

    **check_params : dict
        Arguments of :func:`sklearn.utils.validation.validate_data`.

    Returns
    -------
    X : ndarray
        Samples in their own dtype, not copied if they were an array.

    y : ndarray
        Targets, if `y` was given.

    Raises
    ------
    ValueError, TypeError
        If scikit-learn's validation fails, or X has more than five axes or an axis of
        length 0, or holds paths, text, PIL images or images with their labels.
    """
    name = type(estimator).__name__
    _check_is_ordered(X)
    X = as_array(_unpacked(X))
    _check_holds_arrays(X, name)
    if isinstance(X, (list, tuple)):
        X = np.asarray(X)
    # with ensure_2d scikit-learn counts features on axis 1, correct only for rows
    n_axes = getattr(X, "ndim", 2)
    is_rows = n_axes < 2 or (n_axes == 2 and len(sample_shape or ()) < 2)
    result = validate_data(
        estimator, X, y, allow_nd=True, ensure_2d=is_rows, **check_params
    )
    _check_axes(result if isinstance(y, str) else result[0], name)
    return result


def check_same_shape(estimator, X, sample_shape):
    """Raise a ValueError if samples differ in shape from those of fit.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted estimator, named in the message.

    X : ndarray
        Samples.

    sample_shape : tuple of int
        Shape of a sample in fit.
    """
    if X.shape[1:] == tuple(sample_shape):
        return
    name = type(estimator).__name__
    if X.ndim == 2 and len(sample_shape) == 1:
        raise ValueError(
            f"X has {X.shape[1]} features, but {name} is expecting "
            f"{sample_shape[0]} features as input."
        )
    if X.shape == tuple(sample_shape):
        raise ValueError(
            f"X is a single image of shape {X.shape}. Pass an array of images: X[None]."
        )
    raise ValueError(
        f"X has images of shape {X.shape[1:]}, but {name} was fitted on "
        f"{tuple(sample_shape)}. Resize the images or fit again."
        + _hint_for_signals({X.shape[1:], tuple(sample_shape)})
    )


def _check_is_ordered(X):
    """Raise a TypeError if X is None, or not a sequence."""
    is_unordered = X is None or isinstance(X, (Mapping, Set, Iterator))
    if is_unordered and not (hasattr(X, "__array__") or issparse(X)):
        raise TypeError(
            f"X is {X if X is None else 'a ' + type(X).__name__}, expected an array or "
            "a list of images."
        )


def _column(X):
    """Return the entries of a column of objects, None for any other X."""
    return None if is_frame(X) and X.shape[1] != 1 else only_column(X, "images")


def _unpacked(X):
    """Return a column of arrays or lists as a list, and any other X as it is."""
    if isinstance(X, (list, tuple)):
        return X
    samples = _column(X)
    first = samples[0] if samples else None
    is_sample = isinstance(first, (list, tuple)) or getattr(first, "shape", ())
    return samples if is_sample else X


def _check_holds_arrays(X, name):
    """Raise an error if X holds anything but arrays of one shape."""
    check_images_alone(X)
    if _is_list(X) and len({isinstance(image, PATH_TYPES) for image in X}) > 1:
        raise TypeError(
            "X mixes paths and arrays. Pass one array of images of the same shape."
        )
    check_one_shape(X)
    if isinstance(X, PATH_TYPES) or (is_image_files(X) and _holds(X, PATH_TYPES)):
        raise ValueError(
            f"X holds paths or text, but {name} takes arrays of images. Use "
            "FineTunedClassifier or FineTunedRegressor for image files, "
            "TextCNNClassifier for sentences."
        )
    if isinstance(X, Image.Image) or _holds(X, Image.Image):
        raise TypeError(
            f"X holds PIL images, but {name} takes arrays of images. Pass "
            "np.stack([image.convert('RGB') for image in X]). FineTunedClassifier, "
            "FineTunedRegressor and CNNFeatureTransformer take PIL images of any mode."
        )


def _holds(X, types):
    """Return whether a column has an entry of one of the types."""
    return any(isinstance(entry, types) for entry in _column(X) or [])


def check_one_shape(X):
    """Raise a ValueError if images have different shapes.

    Parameters
    ----------
    X : object
        List, tuple or array of images; other objects are accepted.
    """
    shapes = set(map(_shape_of, X)) if _is_list(X) else ()
    if len(shapes) > 1 and None not in shapes:
        first, second = sorted(shapes, key=str)[:2]
        raise ValueError(
            f"X holds images of unequal shapes, such as {first} and {second}. Resize "
            "them to one shape and stack them in one array." + _hint_for_signals(shapes)
        )


def _is_list(X):
    """Return whether X is a list, a tuple or an array of objects."""
    is_object = isinstance(X, np.ndarray) and X.dtype.hasobject
    return is_object or isinstance(X, (list, tuple))


def _shape_of(image):
    """Return the shape of an array or a PIL image, None for anything else."""
    if isinstance(image, Image.Image):
        return image.height, image.width, len(image.getbands())
    return getattr(image, "shape", None)


def _hint_for_signals(shapes):
    """Return a hint if shapes are ``(length,)`` or ``(n_channels, length)``."""
    but_length = {shape[:-1] for shape in shapes}
    if len(but_length) == 1 and len(but_length.pop()) <= 1:
        return " For signals of unequal lengths, use skcnn.data.pad_signals(X)."
    return ""


def _check_axes(X, name):
    """Raise an error if an array is not numeric, or has too many or empty axes."""
    if X.dtype.kind not in "biuf":
        raise TypeError(
            f"X has dtype {X.dtype}, expected numbers or booleans. Convert it."
        )
    if X.ndim > MAX_AXES:
        raise ValueError(
            f"Found array with dim {X.ndim}, while dim <= {MAX_AXES} is required by "
            f"{name}: samples, at most three spatial axes, and channels."
        )
    if 0 in X.shape[1:]:
        raise ValueError(
            f"X holds samples of shape {X.shape[1:]}, but {name} needs every axis to "
            "have a length of at least 1 (0 feature(s) found)."
        )
