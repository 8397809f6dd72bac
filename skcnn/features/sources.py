"""Where the images of an extraction come from: an array, or files."""

from contextlib import closing
from operator import itemgetter

import numpy as np
import torch
import xxhash

from ..backbones import check_pixel_range
from ..data import ImageFiles, Images, send_ahead

MAX_EXACT = 2**53  # of the integers that doubles hold


class PublishedScaling:
    """The preprocessing of a pretrained network, in the place of a learnt scale.

    Parameters
    ----------
    preprocessing : Preprocessing
        What was published with the weights.

    layout : Layout
        How the axes of X are read.

    dtype : numpy.dtype
        Of X, which says what range its pixels have.
    """

    def __init__(self, preprocessing, layout, dtype):
        self.preprocessing = preprocessing
        self.layout = layout
        self.is_unsigned = dtype.kind == "u"
        self.is_16_bit = self.is_unsigned and dtype.itemsize == 2

    def check(self, batch):
        """Raise an error where pixels lie outside of the range of their dtype.

        Parameters
        ----------
        batch : torch.Tensor
            Pixels as they stand in X; of 16 and more bits without a sign, in what
            torch computes with.

        Raises
        ------
        ValueError
            See `skcnn.backbones.check_pixel_range`.
        """
        if not self.is_16_bit:  # whose range is that of the dtype
            check_pixel_range(self._exact(batch))

    def transform(self, batch, dtype):
        """Return pixels of any dtype resized, cropped and normalised.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, c, height, width)
            Pixels that `check` has accepted.

        dtype : torch.dtype
            Of the result.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, height, width)
        """
        # torch resizes channels that are last in memory three times as fast
        batch = self._exact(batch).contiguous(memory_format=torch.channels_last)
        batch = self.preprocessing.resize_batch(batch)
        return self.preprocessing.normalize(batch, dtype)

    def _exact(self, batch):
        """Return pixels in a dtype whose range is theirs."""
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
        From pixels to what the network takes.

    device : torch.device
        Where the batches are wanted.

    dtype : torch.dtype
        Of the batches.
    """

    def __init__(self, X, scaler, device, dtype):
        self.X = X
        self.layout = scaler.layout
        self.images = Images(X, scaler, device, dtype, once=True)

    def __len__(self):
        return len(self.X)

    def digests(self):
        """Return a digest of each image as it stands in X, before any conversion."""
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
            Rows of X, batch by batch.

        Yields
        ------
        rows : ndarray of int
            Those of the batch.

        batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Their images, scaled, on the device.
        """
        yield from self.images.batches(chunks)


class FileSource:
    """Images of files, resized and cropped as they are read.

    Parameters
    ----------
    sources : list
        Paths, encoded bytes or images of PIL.

    preprocessing : Preprocessing
        What the network takes.

    device, dtype
        As of `ArraySource`.

    on_error : {"raise", "skip"}
        What is done about a file that cannot be read.
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
        """Return a digest of each file, None of one that could not be read."""
        return self.files.digests(np.arange(len(self)))

    def batches(self, chunks):
        """Yield the rows that could be read, and their images.

        Parameters
        ----------
        chunks : iterable of ndarray of int
            Rows, batch by batch.

        Yields
        ------
        rows : ndarray of int
            Those of the batch that could be read.

        batch : torch.Tensor of shape (n, n_channels, height, width)
            Their images, normalised, on the device.
        """
        with closing(self.files.batches(chunks)) as decoded:
            for (rows, _), batch in send_ahead(decoded, self.device, itemgetter(1)):
                batch = batch.permute(0, 3, 1, 2)  # (n, c, h, w)
                batch = self.preprocessing.normalize(batch, self.dtype)
                yield rows, batch.contiguous(memory_format=torch.channels_last)
