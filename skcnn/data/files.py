"""Image files, decoded in threads ahead of the batch that is worked on."""

import hashlib
import os
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain

import joblib
import numpy as np
import torch
import xxhash
from PIL import Image

from .decoding import decode_image, get_orientation, is_sixteen_bit, open_source
from .file_errors import ImageFileError, errors_naming, name_of

BATCHES_AHEAD = 2
DIGESTS_A_TASK = 32
SHOWN_FAILURES = 3


class ImageFiles:
    """Image files that become batches of pixels.

    Parameters
    ----------
    sources : list of str, PathLike, bytes or PIL.Image.Image
        Paths, encoded images and images. A PIL image is taken at the frame that it
        shows.

    resize : callable
        From a PIL image to a PIL image, all of one size. An OverflowError says of an
        image that it would become too large.

    short_side : int or None, default=None
        Short side in pixels that `resize` works towards; much larger JPEGs are
        reduced while they are decoded, see :func:`decode_image`.

    mode : "RGB" or "L", default="RGB"
        Mode of the pixels.

    on_error : "raise" or "skip", default="raise"
        Whether a file that cannot be read is an error, or left out with a warning.

    n_threads : int or None, default=None
        Number of threads that read and decode; None stands for the number of
        cores that this process may use.

    Attributes
    ----------
    failed : dict of int to str
        What is wrong with each row that was left out.
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

    def __len__(self):
        return len(self.sources)

    def digests(self, rows):
        """Return what identifies the content of files.

        Files are hashed as they are encoded, PIL images by their pixels and what
        else decides how they are read.

        Parameters
        ----------
        rows : iterable of int
            Which files.

        Returns
        -------
        list of bytes or None
            XXH3 digests of 16 bytes; None for a file that cannot be read, which
            :meth:`batches` will leave out and warn of.

        Raises
        ------
        ImageFileError
            At the first file that cannot be read, if `on_error` is "raise".
        """
        rows = [int(row) for row in rows]
        tasks = [
            rows[start : start + DIGESTS_A_TASK]
            for start in range(0, len(rows), DIGESTS_A_TASK)
        ]
        attempt = partial(self._attempt, self._digest, threading.Lock())
        with self._threads() as pool:
            found = pool.map(lambda task: [attempt(row) for row in task], tasks)
            return list(chain.from_iterable(found))

    def batches(self, row_arrays):
        """Decode batches, at most two ahead of the one that is worked on.

        The threads end with the iterator: when it is exhausted, closed, or raises.

        Parameters
        ----------
        row_arrays : iterable of ndarray of shape (n,), dtype int
            Rows of each batch, taken one array at a time as they are needed.

        Yields
        ------
        rows : ndarray of shape (k,)
            Rows of the batch in their order, without those that failed. A batch of
            which nothing is left is not yielded.

        pixels : torch.Tensor of shape (k, height, width, n_channels), dtype uint8
            Their pixels, in 0–255.

        Raises
        ------
        ImageFileError
            At the first file that cannot be read, if `on_error` is "raise".

        Warns
        -----
        UserWarning
            At the end, of files that were left out, and of those that have further
            frames, of which the first is read.
        """
        decode = partial(self._attempt, self._decode, threading.Lock())
        try:
            with self._threads() as pool:
                yield from _decode_ahead(pool, decode, row_arrays)
        except GeneratorExit:  # closed early: warn of what was seen so far
            pass
        self._warn()

    @contextmanager
    def _threads(self):
        """Give a pool whose threads end with the context, also where that fails."""
        pool = ThreadPoolExecutor(self.n_threads or joblib.cpu_count(), "skcnn-decode")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)

    def _attempt(self, step, lock, row):
        """Return what `step` makes of a row, None where it fails and is left out."""
        if row in self.failed:
            return None
        try:
            return step(self._get_source(row, lock), row)
        except ImageFileError as error:
            message = f"Row {row} of X: {error}"
            if self.on_error == "raise":
                raise ImageFileError(message) from error
            self.failed[row] = message
            return None

    def _get_source(self, row, lock):
        """Return what a row names; PIL images are loaded, by one thread at a time."""
        source = self.sources[row]
        if isinstance(source, Image.Image):  # which may stand in several rows
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
                f"{name_of(source)} was changed while it was read. Call again, once it "
                "stays as it is."
            )
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def _warn(self):
        """Warn of what no warning has told yet."""
        failed = sorted(self.failed.keys() - self._warned_of)
        animated = sorted(self._animated - self._warned_of)
        self._warned_of.update(failed, animated)
        if animated:
            first = animated[0]
            warnings.warn(
                f"{len(animated)} of {len(self)} images have several frames or pages, "
                f"of which the first is read: row {first}, "
                f"{name_of(self.sources[first])}, is the first of them.",
                stacklevel=3,
            )
        if failed:
            shown = [self.failed[row] for row in failed[:SHOWN_FAILURES]]
            warnings.warn(
                f"{len(failed)} of {len(self)} images cannot be read and are left out. "
                + "\n".join(shown + ["..."] * (len(failed) > SHOWN_FAILURES)),
                stacklevel=3,
            )


def _decode_ahead(pool, decode, row_arrays):
    """Yield rows and pixels of batches, in order."""
    pending = deque()
    for rows in row_arrays:
        pending.append((rows, [pool.submit(decode, int(row)) for row in rows]))
        if len(pending) > BATCHES_AHEAD:
            yield from _stack(*pending.popleft())
    while pending:
        yield from _stack(*pending.popleft())


def _stack(rows, futures):
    """Yield a batch, if any image is left of it."""
    images = [future.result() for future in futures]
    kept = [index for index, image in enumerate(images) if image is not None]
    if kept:
        pixels = np.stack([images[index] for index in kept])
        yield np.asarray(rows)[kept], torch.from_numpy(pixels)


def _version(status):
    """Return what changes where a file is written to, or replaced."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest_image(image):
    """Return the digest of a loaded PIL image, by all that decides how it is read."""
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
