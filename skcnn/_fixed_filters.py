"""Fixed filters: edge detection, sharpening and blurring."""

from collections.abc import Mapping
from math import prod

import numpy as np
from scipy import ndimage
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from ._base.parameter_constraints import IMAGES
from ._base.row_hints import hint_at_rows
from .data import check_image_array, check_same_shape, find_layout

FILTERS = {
    "identity": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "edges_diagonal": np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
    "edges_4": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "edges_8": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "box_blur": np.ones((3, 3)) / 9,
    "gaussian_blur": np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
}
MODES = ("reflect", "constant", "nearest", "mirror", "wrap")


class FixedFilterTransformer(TransformerMixin, BaseEstimator):
    """Transformer that applies fixed filters to images.

    Each filter slides over each channel and computes a weighted sum of the pixels
    under it, like a convolution layer (see :func:`scipy.ndimage.correlate`). The named
    filters are:

    ==================  =======================================================
    name                output
    ==================  =======================================================
    "identity"          the image itself
    "edges_diagonal"    corners and diagonal edges
    "edges_4"           edges, by the four neighbours of a pixel (Laplacian)
    "edges_8"           edges, by all eight neighbours
    "sharpen"           the image plus its edges
    "box_blur"          the mean of 3×3 pixels
    "gaussian_blur"     the mean weighted by binomial coefficients
    ==================  =======================================================

    Parameters
    ----------
    filters : "all", str, array-like, list or dict, default="all"
        Filters: "all", those of the table; a name; an array of shape (height, width); a
        list of names and arrays; or a dict of arrays by name. With one name or array,
        images keep their shape.
    mode : {"reflect", "constant", "nearest", "mirror", "wrap"}, default="reflect"
        Padding mode, see :func:`scipy.ndimage.correlate`: "reflect" mirrors the image,
        "constant" pads with zeros, as networks do.
    image_shape : tuple of int or None, default=None
        Shape of one image, ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)``, if X holds
        flattened images.
    channel_axis : int, None or "auto", default="auto"
        Axis of X that holds the channels: -1 for channels last, 1 for channels first,
        None if there is none. "auto" finds it, or raises an error if it is ambiguous.

    Attributes
    ----------
    filters_ : dict of str to ndarray of shape (height, width)
        Filters by name.
    image_shape_ : tuple of int
        Shape of one image seen in `fit`.
    n_features_in_ : int
        Number of values of one image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X is a data frame whose column names are
        all strings.

    See Also
    --------
    CNNFeatureTransformer : Features that a trained network computes.

    Notes
    -----
    Signals are filtered as images of height 1, volumes and clips slice by slice.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import FixedFilterTransformer
    >>> X = np.array([[[0.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]])
    >>> FixedFilterTransformer("edges_4").fit_transform(X)[0]
    array([[ 0.,  0.,  1.,  0.],
           [ 0.,  1., -4.,  1.],
           [ 0.,  0.,  1.,  0.]])
    >>> FixedFilterTransformer().fit_transform(X).shape
    (1, 3, 4, 7)

    Flattened images stay flattened, for any other estimator:

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> filters = FixedFilterTransformer(["edges_8", "box_blur"], image_shape=(8, 8))
    >>> filters.fit_transform(X).shape
    (1797, 128)
    >>> filters.get_feature_names_out()[[0, 127]]
    array(['edges_8_x0', 'box_blur_x63'], dtype=object)
    """

    _parameter_constraints = {
        "filters": [str, "array-like", Mapping],
        "mode": [StrOptions(set(MODES))],
        **IMAGES,
    }

    def __init__(
        self, filters="all", *, mode="reflect", image_shape=None, channel_axis="auto"
    ):
        self.filters = filters
        self.mode = mode
        self.image_shape = image_shape
        self.channel_axis = channel_axis

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the filters and find the axes of X.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Images, or flattened images if `image_shape` is set.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError
            If X or a parameter is not valid.
        """
        X = check_image_array(self, X, reset=True)
        self.filters_ = named_filters(self.filters)
        self._layout = find_layout(X.shape[1:], self.image_shape, self.channel_axis)
        hint_at_rows(X, self.image_shape)
        self.image_shape_ = self._layout.image_shape
        self.n_features_in_ = prod(self.image_shape_)
        return self

    def transform(self, X):
        """Filter images.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Images of the shape seen in `fit`.

        Returns
        -------
        ndarray
            Filtered images. Flattened images get the shape ``(n_samples, n_filters *
            n_features)``; other images get the channels of all filters, on their
            channel axis or a new last axis. A single filter keeps the shape of X. The
            dtype is float64 if X holds float64 or integers of more than 16 bits,
            otherwise float32.

        Raises
        ------
        ValueError, TypeError
            If X is not valid.
        """
        check_is_fitted(self)
        sample_shape = self._layout.sample_shape
        X = check_image_array(self, X, sample_shape=sample_shape, reset=False)
        check_same_shape(self, X, sample_shape)
        batch = self._layout.channels_first(X)
        batch = batch.astype(np.result_type(X.dtype, np.float32), copy=False)
        filtered = [self._filter(batch, weights) for weights in self.filters_.values()]
        return self._arrange(np.stack(filtered, axis=1))

    def _filter(self, batch, weights):
        """Apply a filter to images of shape (n, c, ..., h, w)."""
        flat = batch[:, :, None] if batch.ndim == 3 else batch
        weights = weights.reshape((1,) * (flat.ndim - 2) + weights.shape)
        return ndimage.correlate(flat, weights, mode=self.mode).reshape(batch.shape)

    def _arrange(self, filtered):
        """Return filtered images, (n, f, c, ...), with the axes of X."""
        n_samples, layout = len(filtered), self._layout
        axis = layout.channel_axis
        is_alone = _is_alone(self.filters)
        if len(layout.sample_shape) == 1 or is_alone:  # filter by filter
            filtered = np.moveaxis(filtered, 2, -1 if axis is None else axis + 2)
            shape = layout.sample_shape if is_alone else (-1,)
            return filtered.reshape(n_samples, *shape)
        filtered = filtered.reshape(n_samples, -1, *filtered.shape[3:])
        return np.moveaxis(filtered, 1, -1 if axis is None else axis + 1)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features of flattened images. None is `feature_names_in_` or,
            if it is not defined, "x0", "x1", ...

        Returns
        -------
        ndarray of str objects
            Filter and input feature, such as "box_blur_x0", for flattened images.
            Otherwise one name for each output channel, such as "box_blur" for grey
            images and "box_blur_channel0" for others.
        """
        check_is_fitted(self)
        if len(self._layout.sample_shape) == 1:
            parts = [f"_{x}" for x in _check_feature_names_in(self, input_features)]
        elif self._layout.channel_axis is None:
            parts = [""]
        else:
            parts = [f"_channel{i}" for i in range(self._layout.n_channels)]
        names = [f"{name}{part}" for name in self.filters_ for part in parts]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def named_filters(filters):
    """Return filters by name.

    Parameters
    ----------
    filters : "all", str, array-like, list or dict
        Filters, see :class:`FixedFilterTransformer`.

    Returns
    -------
    dict of str to ndarray of shape (height, width)
        Filters in double precision.

    Raises
    ------
    ValueError
        If a name is unknown, or a filter is not a finite two-dimensional array.
    """
    if isinstance(filters, str):
        filters = list(FILTERS) if filters == "all" else [filters]
    elif _is_alone(filters):
        filters = [filters]
    if not isinstance(filters, Mapping):
        filters = dict(_with_name(i, given) for i, given in enumerate(filters))
    if not filters:
        raise ValueError("filters is empty, expected at least one filter.")
    return {str(name): _check_filter(given) for name, given in filters.items()}


def _is_alone(filters):
    """Return whether `filters` is a single filter, not a list or a dict."""
    if isinstance(filters, str):
        return filters != "all"
    if isinstance(filters, Mapping) or not len(filters):
        return False
    return not any(isinstance(one, str) or np.ndim(one) > 1 for one in filters)


def _with_name(position, given):
    """Return the name of a filter of a list, and the filter."""
    if not isinstance(given, str):
        return f"filter{position}", given
    if given not in FILTERS:
        raise ValueError(
            f"Unknown filter {given!r}. Use 'all', {', '.join(map(repr, FILTERS))}, or "
            "an array of shape (height, width)."
        )
    return given, FILTERS[given]


def _check_filter(given):
    """Return a filter as an array in double precision."""
    weights = np.asarray(given, dtype=np.float64)
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all():
        raise ValueError(
            f"A filter has shape {weights.shape}, expected finite numbers of shape "
            "(height, width). Pass several filters as a list or a dict."
        )
    return weights
