"""Images that become tensors when their batch comes."""

import copy

import numpy as np
import torch

from .memory_formats import MEMORY_FORMATS
from .reading import BatchReader
from .transfer import send, send_ahead

# NumPy dtypes that torch indexes and converts as they are.
NATIVE_DTYPES = {
    np.dtype(name)
    for name in (
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "float32",
        "float64",
    )
}
# Where another dtype goes, batch by batch.
WIDER_DTYPES = {"u": np.int32, "f": np.float64, "i": np.int64}
# Of a GPU's free memory; images that take more are sent batch by batch.
DEVICE_MEMORY_SHARE = 0.5
# Size in bytes of images that are worth one copy even if each is read once.
SMALL = 2**26
CHUNK_SIZE = 2**26  # bytes that are moved together
CHUNK_ROWS = 256  # images that are looked at together


class Images(BatchReader):
    """A validated array of images, read batch by batch.

    On a CPU, the array is shared, not copied. On a GPU it is moved there once
    where it takes no more than half of the free memory; otherwise batches are
    sent while the GPU works on those before them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, *sample_shape)
        Numbers or booleans.

    scaler : ChannelScaler or PublishedScaling
        Knows the layout of X, checks pixels and scales them.

    device : torch.device
        Where the batches are wanted.

    dtype : torch.dtype
        Of the batches.

    once : bool, default=False
        Whether each image is read once. Then only a small array is moved as a
        whole: the first batch of a large one would wait for the last.
    """

    def __init__(self, X, scaler, device, dtype, once=False):
        self.scaler = scaler
        self.device = device
        self.dtype = dtype
        self.rows = None
        is_moved = device.type == "cuda" and _fits(X, device, once)
        self.source = self._moved(X) if is_moved else _as_source(X)

    def _moved(self, X):
        """Return an array as a tensor on the GPU, moved in chunks."""
        dtype = _native_dtype(X.dtype)
        source = torch.empty(X.shape, dtype=_convert(X[:0]).dtype, device=self.device)
        step = max(1, CHUNK_SIZE // (X[0].size * dtype.itemsize))
        for start in range(0, len(X), step):
            chunk = _convert(X[start : start + step])
            self.scaler.check(chunk)
            source[start : start + step] = send(chunk, self.device)
        return source

    def __len__(self):
        return self.source.shape[0] if self.rows is None else len(self.rows)

    @property
    def index_device(self):
        """Device on which nothing waits for what chooses samples."""
        is_tensor = isinstance(self.source, torch.Tensor)
        return self.source.device if is_tensor else torch.device("cpu")

    @property
    def is_resident(self):
        """Whether the images are where the batches are wanted."""
        return self.index_device == self.device

    def subset(self, rows):
        """Return the images of some rows, which share the array.

        Parameters
        ----------
        rows : ndarray of shape (n,) or None
            Positions in the array, None for all.

        Returns
        -------
        Images
            The chosen images.
        """
        view = copy.copy(self)
        view.rows = None
        if rows is not None:
            view.rows = torch.as_tensor(rows, device=self.index_device)
        return view

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : slice, torch.Tensor or ndarray
            Which samples.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images on the device, their channels last in memory.
        """
        return self._scaled(send(self._read(index), self.device))

    def batches(self, indices):
        """Yield batches, read and sent ahead of time where that is of use.

        Parameters
        ----------
        indices : iterable of slice, torch.Tensor or ndarray
            Which samples, batch by batch.

        Yields
        ------
        index : slice, torch.Tensor or ndarray
            Which samples.

        batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
            As of `take`.
        """
        if self.is_resident:
            yield from super().batches(indices)
            return
        for index, batch in send_ahead(indices, self.device, self._read):
            yield index, self._scaled(batch)

    def _read(self, index):
        """Return a batch as it stands in the array, where that is."""
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
        if batch.device.type == "cpu":  # the others were checked when they were moved
            self.scaler.check(batch)
        return batch

    def _scaled(self, batch):
        """Return a batch as the network takes it."""
        batch = self.scaler.layout.channels_first(batch)
        batch = self.scaler.transform(batch, self.dtype)
        memory_format = MEMORY_FORMATS.get(batch.ndim, torch.contiguous_format)
        return batch.contiguous(memory_format=memory_format)


def find_farthest_value(images):
    """Find the value that is farthest from the mean of its channel.

    Parameters
    ----------
    images : Images
        Images, or what else is trained on.

    Returns
    -------
    row : int
        Position of its sample in the array.

    value : float
        The value, in the units of the array.

    distance : float
        Its distance from the mean, in standard deviations; 0 if the scale of the
        values was not learnt.
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
    """Return a tensor that shares the memory of X, or X where torch cannot."""
    size = X.dtype.itemsize
    strided = all(stride >= 0 and stride % size == 0 for stride in X.strides)
    native = X.dtype in NATIVE_DTYPES and X.dtype.isnative
    return torch.from_numpy(X) if native and strided and X.flags.writeable else X


def _convert(batch):
    """Return a NumPy batch as a tensor, in a dtype that torch computes with."""
    batch = np.array(batch, order="C")
    return torch.from_numpy(batch.astype(_native_dtype(batch.dtype), copy=False))


def _native_dtype(dtype):
    """Return the NumPy dtype in which torch computes with values of another one."""
    dtype = dtype.newbyteorder("=")
    if dtype in NATIVE_DTYPES:
        return dtype
    wide = dtype.kind == "u" and dtype.itemsize > 2
    return np.dtype(np.float64 if wide else WIDER_DTYPES[dtype.kind])


def _as_index(index):
    """Return rows as torch takes them, in the form that copies least."""
    if not isinstance(index, np.ndarray):
        return index
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return torch.from_numpy(index)


def _fits(X, device, once):
    """Return whether all of X may live on a GPU."""
    n_bytes = X.size * _native_dtype(X.dtype).itemsize
    if once:
        return n_bytes <= SMALL
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes <= DEVICE_MEMORY_SHARE * (free + kept)
