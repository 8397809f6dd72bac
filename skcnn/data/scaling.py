"""Scaling of pixels to mean 0 and standard deviation 1, learnt in fit."""

from functools import lru_cache

import numpy as np
import torch

from ..runtime import warn

CHUNK_VALUES = 2**17  # a megabyte in double precision fits in the cache
UNIT_FACTOR = 10  # maximum ratio of values in the same unit


class ChannelScaler:
    """Mean and standard deviation of each channel, over samples and positions.

    Parameters
    ----------
    layout : Layout
        Meaning of the axes of X.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_channels,)
        Mean and standard deviation in the units of X. The scale of a constant channel
        is 1.

    dtype_ : dtype
        Dtype of X.

    largest_ : float
        Maximum absolute value of X.
    """

    def __init__(self, layout):
        self.layout = layout

    def __getstate__(self):
        """Store the dtype by name."""
        state = dict(vars(self))
        return state | {"dtype_": state["dtype_"].str} if "dtype_" in state else state

    def __setstate__(self, state):
        vars(self).update(state)
        if "dtype_" in state:
            self.dtype_ = np.dtype(state["dtype_"])

    def fit(self, X, sample_weight=None, rows=None):
        """Compute the mean and scale in two passes, in double precision.

        Parameters
        ----------
        X : ndarray of shape (n_samples, *sample_shape)
            Images.

        sample_weight : ndarray of shape (n_rows,) or None, default=None
            Non-negative weights, not all zero.

        rows : ndarray of shape (n_rows,) or None, default=None
            Rows of X to use; None for all.

        Returns
        -------
        ChannelScaler
            The fitted scaler.

        Raises
        ------
        ValueError
            If the values are too large to be squared in double precision.
        """
        n_rows = len(X) if rows is None else len(rows)
        weight = np.ones(n_rows) if sample_weight is None else sample_weight
        total = weight.sum() * np.prod(self.layout.spatial_shape)
        self.dtype_, self.largest_ = X.dtype, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            self.mean_ = self._weighted_sum(X, weight, rows) / total
            variance = self._weighted_sum(X, weight, rows, centre=self.mean_) / total
        self.scale_ = find_scale(self.mean_, variance, "X")
        return self

    def _weighted_sum(self, X, weight, rows, centre=None):
        """Return the sum of values, or of their squared distances from `centre`."""
        step = max(1, CHUNK_VALUES // max(1, X[0].size))
        total = np.zeros(self.layout.n_channels)
        for start in range(0, len(weight), step):
            part = slice(start, start + step)
            chunk = self.layout.channels_first(X[part if rows is None else rows[part]])
            chunk = chunk.astype(np.float64).reshape(*chunk.shape[:2], -1)  # (n, c, p)
            if centre is None:
                self.largest_ = max(self.largest_, _largest(chunk))
            else:
                chunk -= centre[:, None]
                np.square(chunk, out=chunk)
            total += weight[part] @ chunk.sum(axis=2)
        return total

    def check(self, batch):
        """Accept pixels in any range, as the scale is learnt.

        Parameters
        ----------
        batch : torch.Tensor
            Pixels as they are in X.
        """

    def check_unit(self, X):
        """Warn if X seems to have another unit than in fit, such as 0–1 for 0–255.

        Values are compared only if the kind of dtype (integer, float or boolean)
        differs from fit.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...)
            Images to be scaled.
        """
        is_alike = _kind(X.dtype) == _kind(self.dtype_)
        if is_alike or not (X.size and self.largest_):
            return
        largest = _largest(X)
        factor = largest / self.largest_
        if largest and not 1 / UNIT_FACTOR < factor < UNIT_FACTOR:
            warn(
                f"X has values up to {largest:.4g} ({X.dtype}), but in fit values up "
                f"to {self.largest_:.4g} ({self.dtype_}), so the unit seems to differ. "
                "Scale X as in fit."
            )

    def transform(self, X):
        """Standardise images as for the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Images in the units of fit.

        Returns
        -------
        ndarray of shape (n_samples, *sample_shape), of float64
            Standardised images, with the axes of X.

        Examples
        --------
        >>> import numpy as np
        >>> from skcnn.data import ChannelScaler, find_layout
        >>> X = np.array([[0, 2], [4, 2]])
        >>> ChannelScaler(find_layout((2,))).fit(X).transform(X)
        array([[-1.41421356,  0.        ],
               [ 1.41421356,  0.        ]])
        """
        X, axis = np.asarray(X), self.layout.channel_axis
        images = X.reshape(len(X), *self.layout.image_shape)
        shape = np.ones(images.ndim, dtype=int)
        if axis is not None:
            shape[axis + 1] = -1
        mean, scale = self.mean_.reshape(shape), self.scale_.reshape(shape)
        return ((images - mean) / scale).reshape(X.shape)

    def scale_batch(self, batch, dtype):
        """Scale a batch.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Images in the units of X, of any dtype.

        dtype : torch.dtype
            Dtype of the result.

        Returns
        -------
        torch.Tensor
            Scaled images, with mean 0 and standard deviation 1 over the training set.
        """
        # integers of more than 16 bits and doubles may exceed float32's precision
        wide = batch.dtype in (torch.float64, torch.int32, torch.int64)
        batch = batch.to(torch.float64 if wide else dtype)
        if self.layout.n_channels == 1:
            mean, scale = float(self.mean_[0]), float(1 / self.scale_[0])
            return (batch - mean).mul_(scale).to(dtype)
        values = tuple(self.mean_), tuple(1 / self.scale_)
        mean, scale = _broadcast(*values, batch.ndim - 2, batch.dtype, batch.device)
        return (batch - mean).mul_(scale).to(dtype)


def _largest(values):
    """Return the maximum absolute value."""
    return max(float(values.max()), -float(values.min()))


def _kind(dtype):
    """Return "b", "i" or "f" for a dtype of booleans, integers or floats."""
    return dtype.kind.replace("u", "i")


@lru_cache(maxsize=64)  # a new tensor in each call would make a GPU wait
def _broadcast(mean, scale, n_axes, dtype, device):
    """Return mean and scale, each (c, 1, ...), to broadcast over a batch."""
    with torch.inference_mode(False):
        values = torch.tensor([mean, scale], dtype=dtype, device=device)
        return values.reshape(2, -1, *(1 for _ in range(n_axes))).unbind()


def find_scale(mean, variance, name):
    """Return the standard deviation of values, 1 for constant ones.

    Parameters
    ----------
    mean, variance : ndarray of shape (n_columns,)
        Mean and variance of the values, in double precision.

    name : str
        Name of the values in error messages.

    Returns
    -------
    ndarray of shape (n_columns,)
        Scale of the values.

    Raises
    ------
    ValueError
        If a variance is not finite.
    """
    if not np.isfinite(variance).all():
        raise ValueError(
            f"{name} holds values too large to be scaled: their variance overflows. "
            f"Divide {name} by a constant first."
        )
    return np.where(is_constant(mean, variance), 1.0, np.sqrt(variance))


def is_constant(mean, variance):
    """Return which columns are constant up to rounding errors.

    Parameters
    ----------
    mean, variance : ndarray of shape (n_columns,)
        Mean and variance of values, in double precision.

    Returns
    -------
    ndarray of bool of shape (n_columns,)
        True for constant values.
    """
    return np.sqrt(variance) <= 10 * np.finfo(np.float64).eps * np.abs(mean)
