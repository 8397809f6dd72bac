"""Batches of the images of an array."""

from math import prod

import numpy as np
import torch

from .batch_readers import BatchReader
from .device_transfer import send, send_ahead
from .memory_formats import MEMORY_FORMATS, to_channels_last
from .scaling import ChannelScaler

# NumPy dtypes that torch supports, and the dtypes to which batches of others are
# converted.
NATIVE_DTYPES = {
    np.dtype(name) for name in ("?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
}
WIDER_DTYPES = {"u": np.int32, "f": np.float64, "i": np.int64}
# Fraction of free GPU memory that images may take; larger arrays are sent in batches.
DEVICE_MEMORY_SHARE = 0.5
# Maximum bytes of images that are moved as a whole if each is read only once.
SMALL = 2**26
CHUNK_SIZE = 2**26  # bytes that are moved together
SCALED_SIZE = 2**24  # maximum bytes of scaled images that are kept beside the array
CHUNK_ROWS = 256  # images that are searched together


class Images(BatchReader):
    """Validated array of images, read batch by batch.

    On a CPU, the array is shared, not copied. It is moved to a GPU once if it takes
    no more than half of the free memory; otherwise batches are sent while the GPU
    computes.

    Parameters
    ----------
    X : ndarray of shape (n_samples, *sample_shape)
        Images of numbers or booleans.

    scaler : ChannelScaler or PublishedScaling
        Scaler of the pixels, which also knows the layout of X.

    device : torch.device
        Device of the batches.

    dtype : torch.dtype
        Dtype of the batches.

    once : bool, default=False
        Whether each image is read only once. If so, only a small array is moved as a
        whole; with a large one, the first batch would have to wait.
    """

    def __init__(self, X, scaler, device, dtype, once=False):
        if isinstance(scaler, ChannelScaler):
            scaler.check_unit(X)
        self.scaler = scaler
        self.device = device
        self.dtype = dtype
        is_moved = device.type == "cuda" and _fits(X, device, once)
        self.source = self._moved(X) if is_moved else _as_source(X)
        if isinstance(self.source, torch.Tensor):
            self.index_device = self.source.device

    def _moved(self, X):
        """Move an array to the GPU in chunks, and return the tensor."""
        source = torch.empty(X.shape, dtype=_convert(X[:0]).dtype, device=self.device)
        step = max(1, CHUNK_SIZE // (X[0].size * source.itemsize))
        for start in range(0, len(X), step):
            chunk = _convert(X[start : start + step])
            self.scaler.check(chunk)
            source[start : start + step] = send(chunk, self.device)
        return source

    @property
    def n_samples(self):
        """Number of images of the array."""
        return self.source.shape[0]

    @property
    def is_resident(self):
        """Whether the images are on the device of the batches."""
        return self.index_device == self.device

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : slice, torch.Tensor or ndarray
            Positions of the samples.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images on the device, with channels last in memory.
        """
        return self._scaled(send(self._read(index), self.device))

    def batches(self, indices):
        """Yield batches, which are read and sent to a GPU ahead of time.

        Parameters
        ----------
        indices : iterable of slice, torch.Tensor or ndarray
            Positions of the samples of each batch.

        Yields
        ------
        index : slice, torch.Tensor or ndarray
            Positions of the samples.

        batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Batch of these samples, as from `take`.
        """
        if self.is_resident:
            yield from super().batches(indices)
            return
        for index, batch in send_ahead(indices, self.device, self._read):
            yield index, self._scaled(batch)

    def _read(self, index):
        """Return an unscaled batch on the device of the array."""
        index = _as_index(index)
        if isinstance(index, torch.Tensor):
            index = index.to(self.index_device)
        if self.rows is not None:
            index = self.rows[index]
        if isinstance(self.source, np.ndarray):
            is_slice = isinstance(index, slice)
            batch = _convert(self.source[index if is_slice else index.numpy()])
        elif isinstance(index, slice):
            batch = self.source[index]
        else:
            batch = self.source.index_select(0, index)
        if batch.device.type == "cpu":  # on a GPU, pixels have been checked before
            self.scaler.check(batch)
        return batch

    def _scaled(self, batch):
        """Return a scaled batch with channels first in shape, last in memory."""
        batch = self.scaler.layout.channels_first(batch)
        return to_channels_last(self.scaler.scale_batch(batch, self.dtype))


class ScaledImages(Images):
    """Images on the CPU that are scaled once and kept.

    Scaling a batch of small images costs more than reading it.

    Parameters
    ----------
    images : Images
        Images for which `is_worthwhile` returns True.
    """

    def __init__(self, images):
        vars(self).update(vars(images))
        batch = images.take(slice(None))
        self.source = batch.movedim(1, -1) if batch.ndim in MEMORY_FORMATS else batch

    @staticmethod
    def is_worthwhile(images):
        """Return whether images are on the CPU, few, small and of a learnt scale.

        Parameters
        ----------
        images : Images
            Images of a whole array.
        """
        size = prod(images.source.shape) * images.dtype.itemsize
        is_learnt = isinstance(images.scaler, ChannelScaler)
        return images.device.type == "cpu" and is_learnt and 0 < size <= SCALED_SIZE

    def _read(self, index):
        batch = super()._read(index)
        is_view = isinstance(index, slice) and self.rows is None
        return batch.clone() if is_view else batch

    def _scaled(self, batch):
        return batch.movedim(-1, 1) if batch.ndim in MEMORY_FORMATS else batch


def find_farthest_value(images):
    """Find the value that is farthest from the mean of its channel.

    Parameters
    ----------
    images : Images
        Images, or other training samples.

    Returns
    -------
    row : int
        Position of its sample in the array.

    value : float
        The value, in the units of the array.

    distance : float
        Its distance from the mean, in standard deviations; 0 if no scale was learnt.
    """
    scaler, farthest = getattr(images, "scaler", None), (0, np.nan, 0.0)
    if not hasattr(scaler, "mean_"):
        return farthest
    for start in range(0, len(images), CHUNK_ROWS):
        batch = images.take(slice(start, min(start + CHUNK_ROWS, len(images))))
        distance, place = batch.abs().flatten().max(0)
        if distance.item() > farthest[2]:
            row, channel, *_ = np.unravel_index(place.item(), batch.shape)
            scaled = batch.flatten()[place].item()
            value = scaled * scaler.scale_[channel] + scaler.mean_[channel]
            rows = images.rows
            row = int(start + row if rows is None else rows[start + row])
            farthest = row, float(value), distance.item()
    return farthest


def _as_source(X):
    """Return a tensor that shares the memory of X, or X if torch cannot share it."""
    size = X.dtype.itemsize
    strided = all(stride >= 0 and stride % size == 0 for stride in X.strides)
    native = X.dtype in NATIVE_DTYPES and X.dtype.isnative
    return torch.from_numpy(X) if native and strided and X.flags.writeable else X


def _convert(batch):
    """Copy a NumPy batch to a tensor of a dtype that torch supports."""
    dtype = _native_dtype(batch.dtype)
    return torch.from_numpy(np.array(batch, order="C").astype(dtype, copy=False))


def _native_dtype(dtype):
    """Return the supported dtype that replaces a NumPy dtype."""
    dtype = dtype.newbyteorder("=")
    if dtype in NATIVE_DTYPES:
        return dtype
    wide = dtype.kind == "u" and dtype.itemsize > 2
    return np.dtype(np.float64 if wide else WIDER_DTYPES[dtype.kind])


def _as_index(index):
    """Return positions as an index for torch, a slice if they are consecutive."""
    if not isinstance(index, np.ndarray):
        return index
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return torch.from_numpy(index)


def _fits(X, device, once):
    """Return whether all of X may be moved to a GPU."""
    n_bytes = X.size * _native_dtype(X.dtype).itemsize
    if once:
        return n_bytes <= SMALL
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes <= DEVICE_MEMORY_SHARE * (free + kept)
