"""Images that become tensors when their batch comes."""

import copy

import numpy as np
import torch

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
DEVICE_MEMORY_SHARE = 0.5
# By the number of axes of a batch; signals have no such format.
MEMORY_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class Images:
    """A validated array of images, read batch by batch.

    The array is shared, not copied. On a GPU it is moved there once where it
    takes no more than half of the free memory; otherwise each batch is moved
    when it comes.

    Parameters
    ----------
    X : ndarray of shape (n_samples, *sample_shape)
        Numbers or booleans.

    scaler : ChannelScaler
        Fitted scaler, which knows the layout of X.

    device : torch.device
        Where the batches are wanted.

    dtype : torch.dtype
        Of the batches.
    """

    def __init__(self, X, scaler, device, dtype):
        self.scaler = scaler
        self.device = device
        self.dtype = dtype
        self.rows = None
        self.source = _as_source(X)
        if isinstance(self.source, torch.Tensor) and _fits(self.source, device):
            self.source = self.source.to(device)

    def __len__(self):
        return self.source.shape[0] if self.rows is None else len(self.rows)

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
            view.rows = torch.as_tensor(rows, device=self.device)
        return view

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : slice or torch.Tensor
            Which samples.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images on the device, their channels last in memory.
        """
        if self.rows is not None:
            index = self.rows[index]
        if isinstance(self.source, np.ndarray):
            batch = _convert(self.source[_as_numpy_index(index)])
        elif isinstance(index, slice):
            batch = self.source[index]
        else:
            batch = self.source.index_select(0, index.to(self.source.device))
        if batch.device != self.device:
            batch = _send(batch, self.device)
        batch = self.scaler.layout.channels_first(batch)
        batch = self.scaler.transform(batch, self.dtype)
        memory_format = MEMORY_FORMATS.get(batch.ndim, torch.contiguous_format)
        return batch.contiguous(memory_format=memory_format)


def _as_source(X):
    """Return a tensor that shares the memory of X, or X where torch cannot."""
    size = X.dtype.itemsize
    strided = all(stride >= 0 and stride % size == 0 for stride in X.strides)
    native = X.dtype in NATIVE_DTYPES and X.dtype.isnative
    return torch.from_numpy(X) if native and strided and X.flags.writeable else X


def _convert(batch):
    """Return a NumPy batch as a tensor, in a dtype that torch computes with."""
    batch = np.array(batch, order="C")
    dtype = batch.dtype.newbyteorder("=")
    if dtype not in NATIVE_DTYPES:
        wide = dtype.kind == "u" and dtype.itemsize > 2
        dtype = np.float64 if wide else WIDER_DTYPES[dtype.kind]
    return torch.from_numpy(batch.astype(dtype, copy=False))


def _as_numpy_index(index):
    return index if isinstance(index, slice) else index.cpu().numpy()


def _fits(source, device):
    """Return whether all of `source` may live on `device`."""
    if device.type != "cuda":
        return device.type == "cpu"
    free, _ = torch.cuda.mem_get_info(device)
    return source.numel() * source.element_size() <= DEVICE_MEMORY_SHARE * free


def _send(batch, device):
    """Move a batch to `device` without waiting for it."""
    if device.type == "cuda":
        batch = batch.pin_memory()
    return batch.to(device, non_blocking=device.type == "cuda")
