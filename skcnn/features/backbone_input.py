"""Preprocessed input of a backbone, from an array or from image files."""

from contextlib import closing
from operator import itemgetter

import numpy as np
import torch
import xxhash

from ..backbones import check_pixel_range
from ..data import ImageFiles, Images, send_ahead

MAX_EXACT = 2**53  # largest integer up to which doubles are exact


class PublishedScaling:
    """Preprocessing of a pretrained network, with the interface of `ChannelScaler`.

    Parameters
    ----------
    preprocessing : Preprocessing
        Preprocessing that was published with the weights.

    layout : Layout
        Meaning of the axes of X.

    dtype : numpy.dtype
        Dtype of X, which determines the range of its pixels.
    """

    def __init__(self, preprocessing, layout, dtype):
        self.preprocessing = preprocessing
        self.layout = layout
        self.is_unsigned = dtype.kind == "u"
        self.is_16_bit = self.is_unsigned and dtype.itemsize == 2

    def check(self, batch):
        """Raise an error if pixels are outside the range of their dtype.

        Parameters
        ----------
        batch : torch.Tensor
            Pixels of X, not scaled. Unsigned integers of 16 bits or more have a wider
            dtype.

        Raises
        ------
        ValueError
            If a pixel is out of range, see `skcnn.backbones.check_pixel_range`.
        """
        if not self.is_16_bit:  # otherwise, any value is in range
            check_pixel_range(self._exact(batch))

    def scale_batch(self, batch, dtype):
        """Resize, crop and normalise pixels.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, c, height, width)
            Pixels that `check` has accepted.

        dtype : torch.dtype
            Dtype of the result.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, height, width)
            Input of the network.
        """
        # torch resizes images with channels last in memory three times as fast
        batch = self._exact(batch).contiguous(memory_format=torch.channels_last)
        batch = self.preprocessing.resize_batch(batch)
        return self.preprocessing.normalize(batch, dtype)

    def _exact(self, batch):
        """Convert pixels to a dtype that determines their range."""
        if self.is_16_bit:  # they come as wider integers
            return batch.to(torch.float32) / np.iinfo(np.uint16).max
        if self.is_unsigned and batch.is_floating_point():  # of 32 or 64 bits
            return batch.clamp(max=MAX_EXACT).to(torch.int64)
        return batch


class ArraySource:
    """Images of an array.

    Parameters
    ----------
    X : ndarray of shape (n_samples, *sample_shape)
        Validated images.

    scaler : ChannelScaler or PublishedScaling
        Scale of the pixels.

    device : torch.device
        Device of the batches.

    dtype : torch.dtype
        Dtype of the batches.
    """

    def __init__(self, X, scaler, device, dtype):
        self.X = X
        self.layout = scaler.layout
        self.images = Images(X, scaler, device, dtype, once=True)

    def __len__(self):
        return len(self.X)

    def digests(self):
        """Return a digest of each image as it is in X, before any conversion."""
        form = f"{self.X.dtype.str} {self.layout}".encode()
        seed = xxhash.xxh3_64_intdigest(form)
        return [
            xxhash.xxh3_128_digest(np.ascontiguousarray(image).data, seed)
            for image in self.X
        ]

    def batches(self, chunks):
        """Yield rows and their images.

        Parameters
        ----------
        chunks : iterable of ndarray of int
            Rows of each batch.

        Yields
        ------
        rows : ndarray of int
            Rows of the batch.

        batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images of these rows, on the device.
        """
        yield from self.images.batches(chunks)


class FileSource:
    """Image files, resized and cropped as they are read.

    Parameters
    ----------
    sources : list
        Paths, encoded images or PIL images.

    preprocessing : Preprocessing
        Preprocessing of the network.

    device, dtype
        Device and dtype of the batches.

    on_error : {"raise", "skip"}
        Whether a file that cannot be read raises an error, or is skipped with a
        warning.
    """

    def __init__(self, sources, preprocessing, device, dtype, on_error):
        self.preprocessing = preprocessing
        self.device = device
        self.dtype = dtype
        self.files = ImageFiles(
            sources,
            preprocessing.resize_image,
            short_side=preprocessing.short_side,
            mode="L" if preprocessing.n_channels == 1 else "RGB",
            on_error=on_error,
        )

    def __len__(self):
        return len(self.files)

    def digests(self):
        """Return a digest of each file, or None for one that cannot be read."""
        return self.files.digests(np.arange(len(self)))

    def batches(self, chunks):
        """Yield rows and images of the files that can be read.

        Parameters
        ----------
        chunks : iterable of ndarray of int
            Rows of each batch.

        Yields
        ------
        rows : ndarray of int
            Rows of the batch that can be read.

        batch : torch.Tensor of shape (n, n_channels, height, width)
            Normalised images of these rows, on the device.
        """
        with closing(self.files.batches(chunks)) as decoded:
            for (rows, _), batch in send_ahead(decoded, self.device, itemgetter(1)):
                batch = batch.permute(0, 3, 1, 2)  # (n, c, h, w)
                batch = self.preprocessing.normalize(batch, self.dtype)
                yield rows, batch.contiguous(memory_format=torch.channels_last)
