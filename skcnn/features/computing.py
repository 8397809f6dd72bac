"""Features of all images of a source, each computed once."""

from collections import deque
from hashlib import blake2b
from itertools import chain, islice

import numpy as np

from ..data import receive
from ..data.device_transfer import BATCHES_AHEAD
from ..runtime import warn
from .backbone_input import FileSource

# Raised whenever the same images get other features from the same network than
# before, so that what earlier versions kept is computed anew.
REVISION = 5
DIGEST_SIZE = 16
LOOKUP_SIZE = 1024
PATIENCE = 600  # seconds that other workers may take to store something


class WidthError(ValueError):
    """Features of one layer have different widths."""


class FeatureTable:
    """Rows of features, one array for each layer, filled in any order.

    Rows that are never filled are NaN.
    """

    def __init__(self, n_samples):
        self.n_samples = n_samples
        self.n_filled = 0
        self.arrays = None

    def fill(self, rows, features):
        """Write one array of shape ([len(rows),] n_features) for each layer."""
        if self.arrays is None:
            self.arrays = [
                np.full((self.n_samples, part.shape[-1]), np.nan, part.dtype)
                for part in features
            ]
        for array, part in zip(self.arrays, features, strict=True):
            if part.shape[-1] != array.shape[1]:
                raise WidthError(f"{part.shape[-1]} and {array.shape[1]} features")
            array[rows] = part
        self.n_filled += len(rows)


def compute_features(source, extractor, batch_size):
    """Compute the features of all images of a source.

    Parameters
    ----------
    source : ArraySource or FileSource
        The images.

    extractor : FeatureExtractor
        The network.

    batch_size : int
        Number of images of one forward pass.

    Returns
    -------
    list of ndarray of shape (n_samples, n_features) or None
        One for each layer; rows of files that could not be read are NaN. None
        if no file could be read.
    """
    table = FeatureTable(len(source))
    batch_size = extractor.forward_size(batch_size, len(source))
    n_images = batch_size * extractor.n_at_once
    starts = range(0, len(source), n_images)
    chunks = (np.arange(i, min(i + n_images, len(source))) for i in starts)
    for rows, features in _run(source, extractor, batch_size, chunks):
        table.fill(rows, features)
    return table.arrays


def _run(source, extractor, batch_size, chunks):
    """Yield rows and features, while the device works on the next batch."""
    previous = None
    for rows, batch in source.batches(chunks):
        current = rows, receive(extractor(batch, batch_size))
        if previous is not None:
            yield _received(*previous, extractor)
        previous = current
    if previous is not None:
        yield _received(*previous, extractor)


def _received(rows, wait, extractor):
    """Return features as arrays, if they are numbers."""
    features = wait()
    if not all(np.isfinite(part).all() for part in features):
        if not extractor.has_finite_weights():
            raise ValueError(
                "The weights of the network hold NaN or infinity, and so do the "
                "features. Train or load it anew."
            )
        raise ValueError(
            "The network returned NaN or infinity as features. X holds values far "
            "outside the range that it was trained on: scale them alike."
        )
    return rows, features


class CachedFeatures:
    """Features of a source, looked up in a cache and computed if they are missing.

    An image goes through the network once, however often it occurs and however
    many processes ask for it at the same time. A worker computes the images of those
    stripes of the cache that it can lock at once, and begins with another stripe
    whenever its batch has room, so that batches are full and several workers share
    the images. It waits for others only while it holds no lock, so that there are no
    deadlocks.

    Parameters
    ----------
    source, extractor, batch_size
        As of `compute_features`.

    cache : FeatureCache
        Where features are kept.

    context : str
        All that features depend on besides the image and the layer.

    Attributes
    ----------
    n_computed : int
        Number of images that went through the network.
    """

    def __init__(self, source, extractor, batch_size, cache, context):
        self.source = source
        self.extractor = extractor
        self.batch_size = batch_size
        self.cache = cache
        self.suffixes = [
            _short_digest(f"{REVISION} {context} {layer}")
            for layer in extractor.canonical_layers
        ]
        self.table = FeatureTable(len(source))
        self.n_computed = 0
        self.digests = source.digests()
        self.rows_of = {}
        for row, digest in enumerate(self.digests):
            if digest is not None:
                self.rows_of.setdefault(digest, []).append(row)

    def compute(self):
        """Return what `compute_features` does."""
        try:
            self._fill_table()
        except WidthError as error:  # damage that no checksum shows
            self.cache.clear()
            warn(
                f"The feature cache in {self.cache.folder} held features of other "
                f"widths ({error}) and has been emptied. They are computed again.",
            )
            self.table = FeatureTable(len(self.source))
            self._fill_table()
        deque(self.source.batches([]), maxlen=0)  # warns of files that no batch had
        return self.table.arrays

    def _fill_table(self):
        missing = self._look_up(list(self.rows_of))
        while missing:
            left = self._compute_free(missing)
            hangs = len(left) == len(missing) and not self._wait(left[0])
            missing = self._look_up(left)
            if hangs and len(missing) == len(left):
                self.cache.give_up("another process has locked it and stores nothing")

    def _look_up(self, digests):
        """Fill in what is cached; return the digests of the other images."""
        missing = []
        for start in range(0, len(digests), LOOKUP_SIZE):
            chunk = digests[start : start + LOOKUP_SIZE]
            found = self.cache.lookup([d + s for d in chunk for s in self.suffixes])
            for digest in chunk:
                parts = [found.get(digest + suffix) for suffix in self.suffixes]
                if any(part is None for part in parts):
                    missing.append(digest)
                else:
                    self.table.fill(self.rows_of[digest], parts)
        return missing

    def _wait(self, digest):
        """Return whether the stripe of an image was free within some time."""
        lock = self.cache.lock(self.cache.stripe_of(digest), PATIENCE)
        if lock is not None:
            lock.release()
        return lock is not None

    def _compute_free(self, missing):
        """Compute the images of free stripes; return the digests of the others."""
        stripes, locks = {}, {}
        for digest in missing:
            stripes.setdefault(self.cache.stripe_of(digest), []).append(digest)
        batch_size = self.extractor.forward_size(self.batch_size, len(missing))
        chunks = self._chunks(stripes, locks, batch_size * self.extractor.n_at_once)
        try:
            for rows, features in _run(self.source, self.extractor, batch_size, chunks):
                self._keep(rows.tolist(), features)
                self._release_before(self.digests[rows[-1]], locks)
        finally:
            for lock in locks.values():
                lock.release()
        return list(chain.from_iterable(stripes.values()))

    def _chunks(self, stripes, locks, n_images):
        """Yield the rows to compute, batch by batch."""
        tried, digests = [], self._lock_free(stripes, locks)
        while chunk := list(islice(digests, n_images)):
            tried += chunk
            yield np.array([self.rows_of[digest][0] for digest in chunk])
        yield from self._chunks_unread(tried, n_images)

    def _lock_free(self, stripes, locks):
        """Move free stripes to the locks, one by one, and yield the missing digests."""
        for stripe in list(stripes):
            if (lock := self.cache.lock(stripe)) is not None:
                locks[stripe] = lock
                yield from self._look_up(stripes.pop(stripe))

    def _release_before(self, digest, locks):
        """Release the stripes that were locked before that of an image."""
        for stripe in list(locks):
            if stripe == self.cache.stripe_of(digest):
                break
            locks.pop(stripe).release()

    def _chunks_unread(self, digests, n_images):
        """Yield the other rows of those digests whose first row cannot be read.

        Each of these files is to be named, and may be one that can be read: the
        first may have been removed or changed since it was hashed.
        """
        several = [rows for d in digests if len(rows := self.rows_of[d]) > 1]
        if not (several and isinstance(self.source, FileSource)):
            return
        for _ in range(BATCHES_AHEAD):  # then all that came before is decoded
            yield np.array([], dtype=int)
        failed = self.source.files.failed
        unread = sorted(
            row for first, *rest in several if first in failed for row in rest
        )
        for start in range(0, len(unread), n_images):
            yield np.array(unread[start : start + n_images])

    def _keep(self, rows, features):
        """Fill in features, and store them."""
        self.n_computed += len(rows)
        stored = {}
        for i, row in enumerate(rows):
            digest, parts = self.digests[row], [part[i] for part in features]
            equal = self.rows_of[digest]
            # If it is not the first row, others of them failed, or come yet.
            self.table.fill(equal if row == equal[0] else [row], parts)
            keys = [digest + suffix for suffix in self.suffixes]
            stored.update(zip(keys, parts, strict=True))
        self.cache.store(stored)


def _short_digest(text):
    return blake2b(text.encode(), digest_size=DIGEST_SIZE).digest()
