"""Image files decoded once, to be read many times."""

import tempfile

import numpy as np

MEMORY_LIMIT = 2**30
CHUNK_SIZE = 32


class DecodedImages(np.ndarray):
    """Pixels of image files in the size of a network, uint8, channels last."""


def decode_files(files, image_shape, memory_limit=MEMORY_LIMIT):
    """Decode image files into one array.

    Parameters
    ----------
    files : ImageFiles
        The files, of which none is left out.

    image_shape : tuple of int
        ``(height, width, n_channels)`` that each has after its resize.

    memory_limit : int, default=1073741824
        Size in bytes above which the array is a temporary file, which is gone
        with the array.

    Returns
    -------
    DecodedImages of shape (n_samples, height, width, n_channels)
        Their pixels, in 0–255.
    """
    pixels = _allocate((len(files), *image_shape), memory_limit)
    starts = range(0, len(files), CHUNK_SIZE)
    chunks = (np.arange(i, min(i + CHUNK_SIZE, len(files))) for i in starts)
    for rows, batch in files.batches(chunks):
        pixels[rows] = batch.numpy()
    return pixels.view(DecodedImages)


def _allocate(shape, memory_limit):
    if np.prod(shape, dtype=np.int64) <= memory_limit:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:  # the map outlives the file's name
        return np.memmap(file, np.uint8, "w+", shape=shape)
