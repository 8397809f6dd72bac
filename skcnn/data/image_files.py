"""Image files, and other images of any size, decoded in threads ahead of use."""

import hashlib
import os
import tempfile
import threading
from functools import partial
from itertools import chain

import joblib
import numpy as np
import torch
import xxhash
from PIL import Image

from ..runtime import warn
from .columns import is_missing
from .device_transfer import ahead, thread_pool
from .image_decoding import (
    ImageFileError,
    as_pil_image,
    decode_image,
    errors_naming,
    get_orientation,
    is_sixteen_bit,
    name_of,
    open_source,
)

DIGESTS_A_TASK = 32
SHOWN_FAILURES = 3
MEMORY_LIMIT = 2**30  # bytes of decoded files
CHUNK_SIZE = 32


class ImageFiles:
    """Image files, decoded to batches of pixels.

    Parameters
    ----------
    sources : list of str, PathLike, bytes, PIL.Image.Image or ndarray
        Paths, encoded images, PIL images, and arrays as for :func:`as_pil_image`. The
        current frame of a PIL image is read. A missing value counts as a file that
        cannot be read.

    resize : callable
        Function from a PIL image to one of a fixed size. It raises an OverflowError if
        an image would become too large.

    short_side : int or None, default=None
        Short side, in pixels, of the images that `resize` returns. Much larger JPEGs
        are decoded at a reduced size, see :func:`decode_image`.

    mode : "RGB" or "L", default="RGB"
        Mode of the pixels.

    on_error : "raise" or "skip", default="raise"
        Whether a file that cannot be read raises an error, or is skipped with a
        warning.

    n_threads : int or None, default=None
        Number of threads that read and decode. None is the number of cores available
        to the process.

    Attributes
    ----------
    failed : dict of int to str
        Error message of each skipped row.

    Raises
    ------
    ImageFileError
        If a source is missing and `on_error` is "raise".
    """

    def __init__(
        self,
        sources,
        resize,
        *,
        short_side=None,
        mode="RGB",
        on_error="raise",
        n_threads=None,
    ):
        self.sources = sources
        self.resize = resize
        self.short_side = short_side
        self.mode = mode
        self.on_error = on_error
        self.n_threads = n_threads
        self.failed = {}
        self._animated = set()
        self._hashed = {}
        self._warned_of = set()
        for row in (row for row, source in enumerate(sources) if is_missing(source)):
            self._fail(
                row,
                f"X has a missing value ({sources[row]!r}) in row {row}, expected an "
                "image file. Drop the row.",
            )

    def __len__(self):
        return len(self.sources)

    def digests(self, rows):
        """Return digests of the contents of files.

        Files are hashed as encoded bytes, PIL images by their pixels and the metadata
        that affect decoding.

        Parameters
        ----------
        rows : iterable of int
            Rows of the files.

        Returns
        -------
        list of bytes or None
            XXH3 digests of 16 bytes; None for a file that cannot be read, which
            :meth:`batches` skips with a warning.

        Raises
        ------
        ImageFileError
            If a file cannot be read and `on_error` is "raise".
        """
        rows = [int(row) for row in rows]
        starts = range(0, len(rows), DIGESTS_A_TASK)
        tasks = [rows[start : start + DIGESTS_A_TASK] for start in starts]
        attempt = partial(self._attempt, self._digest, threading.Lock())
        with self._threads() as pool:
            found = pool.map(lambda task: [attempt(row) for row in task], tasks)
            return list(chain.from_iterable(found))

    def batches(self, row_arrays):
        """Decode batches in threads, at most two batches ahead of use.

        The threads end with the iterator: when it is exhausted, closed, or raises.

        Parameters
        ----------
        row_arrays : iterable of ndarray of shape (n,), dtype int
            Rows of each batch, taken one array at a time.

        Yields
        ------
        rows : ndarray of shape (k,)
            Rows of the batch in their order, without those that failed. A batch of
            which all rows failed is not yielded.

        pixels : torch.Tensor of shape (k, height, width, n_channels), dtype uint8
            Their pixels, in 0–255.

        Raises
        ------
        ImageFileError
            If a file cannot be read and `on_error` is "raise".

        Warns
        -----
        UserWarning
            At the end, if files were skipped, or have several frames, of which the
            first is read.
        """
        decode = partial(self._attempt, self._decode, threading.Lock())
        try:
            with self._threads() as pool:

                def submit(rows):
                    return [pool.submit(decode, int(row)) for row in rows]

                for rows, futures in ahead(row_arrays, submit):
                    yield from _stack(rows, futures)
        except GeneratorExit:  # closed early: warn about the files read so far
            pass
        self._warn()

    def _threads(self):
        return thread_pool(self.n_threads or joblib.cpu_count(), "skcnn-decode")

    def _attempt(self, step, lock, row):
        """Return the result of a step for a row, None if the row is skipped."""
        if row in self.failed:
            return None
        try:
            return step(self._get_source(row, lock), row)
        except ImageFileError as error:
            return self._fail(row, f"Row {row} of X: {error}", error)

    def _fail(self, row, message, cause=None):
        """Skip a row, or raise an error."""
        if self.on_error == "raise":
            raise ImageFileError(message) from cause
        self.failed[row] = message

    def _get_source(self, row, lock):
        """Return the source of a row; arrays become PIL images.

        PIL images are loaded by one thread at a time, as rows may share an image.
        """
        source = self.sources[row]
        if hasattr(source, "shape"):
            with errors_naming(source):
                return as_pil_image(source)
        if isinstance(source, Image.Image):
            with lock, errors_naming(source):
                source.load()
                get_orientation(source)
        return source

    def _digest(self, source, row):
        if isinstance(source, Image.Image):
            return _digest_image(source)
        with errors_naming(source), open_source(source) as file:
            if not isinstance(source, bytes):
                self._hashed[row] = _version(os.fstat(file.fileno()))
            return hashlib.file_digest(file, xxhash.xxh3_128).digest()

    def _decode(self, source, row):
        image = decode_image(source, self.mode, self.short_side)
        if image.info["is_animated"]:
            self._animated.add(row)
        try:
            pixels = np.asarray(self.resize(image))
        except OverflowError as error:
            raise ImageFileError(f"{name_of(source)} {error}") from None
        if row in self._hashed and _version(os.stat(source)) != self._hashed[row]:
            raise ImageFileError(
                f"{name_of(source)} was changed while it was read. Try again when "
                "the file is complete."
            )
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def _warn(self):
        """Warn about failures and animations, once for each file."""
        failed = sorted(self.failed.keys() - self._warned_of)
        animated = sorted(self._animated - self._warned_of)
        self._warned_of.update(failed, animated)
        if animated:
            first = animated[0]
            warn(
                f"{len(animated)} of {len(self)} images have several frames or pages, "
                f"of which only the first is read. The first such image is in row "
                f"{first}: {name_of(self.sources[first])}.",
            )
        if failed:
            shown = [self.failed[row] for row in failed[:SHOWN_FAILURES]]
            warn(
                f"{len(failed)} of {len(self)} images cannot be read and are skipped. "
                + "\n".join(shown + ["..."] * (len(failed) > SHOWN_FAILURES)),
            )


def _stack(rows, futures):
    """Yield the rows and pixels of a batch, unless all its rows failed."""
    images = [future.result() for future in futures]
    kept = [index for index, image in enumerate(images) if image is not None]
    if kept:
        pixels = np.stack([images[index] for index in kept])
        yield np.asarray(rows)[kept], torch.from_numpy(pixels)


def _version(status):
    """Return values that change if a file is written to or replaced."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest_image(image):
    """Return the digest of a loaded PIL image and the metadata that affect decoding."""
    fields = (
        image.size,
        image.mode,
        is_sixteen_bit(image),
        image.getpalette(),
        image.info.get("transparency"),
        get_orientation(image),
    )
    digest = xxhash.xxh3_128(repr(fields).encode())
    digest.update(image.tobytes())
    return digest.digest()


class DecodedImages(np.ndarray):
    """Pixels of image files after resizing: uint8, channels last."""


def decode_files(files, image_shape, memory_limit=MEMORY_LIMIT):
    """Decode image files into one array.

    Parameters
    ----------
    files : ImageFiles
        Files with ``on_error="raise"``.

    image_shape : tuple of int
        ``(height, width, n_channels)`` of each image after resizing.

    memory_limit : int, default=1073741824
        Size, in bytes, above which the array is stored in a temporary file, which is
        deleted with the array.

    Returns
    -------
    DecodedImages of shape (n_samples, height, width, n_channels)
        Pixels of the files, in 0–255.
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
    with tempfile.TemporaryFile() as file:  # the memory map outlives the name
        return np.memmap(file, np.uint8, "w+", shape=shape)
