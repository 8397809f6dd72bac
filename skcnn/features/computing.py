"""Features of all images of a source, each computed once."""

from collections import deque
from hashlib import blake2b
from itertools import chain, islice

import numpy as np

from ..data import receive
from ..data.device_transfer import BATCHES_AHEAD
from ..runtime import warn
from .backbone_input import FileSource

# Increased when the features of the same images and network change, so that those
# cached by earlier versions are recomputed.
REVISION = 5
DIGEST_SIZE = 16
LOOKUP_SIZE = 1024
PATIENCE = 600  # seconds to wait for another worker to store something


class WidthError(ValueError):
    """Error for features of one layer with different widths."""


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
        Number of images in a forward pass.

    Returns
    -------
    list of ndarray of shape (n_samples, n_features) or None
        Features of each layer; rows of files that cannot be read are NaN. None if no
        file can be read.
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
    """Return features as arrays; raise an error if they are not finite."""
    features = wait()
    if not all(np.isfinite(part).all() for part in features):
        if not extractor.has_finite_weights():
            raise ValueError(
                "The weights of the network hold NaN or infinity. Train or load the "
                "network again."
            )
        raise ValueError(
            "The network returned NaN or infinity as features: X is far outside the "
            "range of the training data. Scale X like the training data."
        )
    return rows, features


class CachedFeatures:
    """Features of a source, looked up in a cache or computed.

    Each image is computed once, even if it is repeated or requested by several
    processes. A worker locks free stripes of the cache and computes their images,
    taking another stripe whenever its batch has room, so that batches are full and
    workers share the images. It waits for other workers only while it holds no lock,
    which prevents deadlocks.

    Parameters
    ----------
    source, extractor, batch_size
        See `compute_features`.

    cache : FeatureCache
        Cache of the features.

    context : str
        Text of everything that features depend on besides the image and the layer.

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
        """Return the same features as `compute_features`."""
        try:
            self._fill_table()
        except WidthError as error:  # damage that no checksum shows
            self.cache.clear()
            warn(
                f"The feature cache in {self.cache.folder} held features of other "
                f"widths ({error}) and was emptied. Features are recomputed.",
            )
            self.table = FeatureTable(len(self.source))
            self._fill_table()
        deque(self.source.batches([]), maxlen=0)  # warns of files in no batch
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
        """Fill in cached features; return the digests of the other images."""
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
        """Wait for the stripe of an image; return whether it became free in time."""
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
        """Lock free stripes one by one, and yield the digests that are missing."""
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
        """Yield the other rows of the digests whose first row cannot be read.

        They are named in the warning if they cannot be read, either. They may be
        readable: the first file may have been removed or changed since it was hashed.
        """
        several = [rows for d in digests if len(rows := self.rows_of[d]) > 1]
        if not (several and isinstance(self.source, FileSource)):
            return
        for _ in range(BATCHES_AHEAD):  # so that all earlier rows are decoded
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
            # If it is not the first row, the others failed or are still to come.
            self.table.fill(equal if row == equal[0] else [row], parts)
            keys = [digest + suffix for suffix in self.suffixes]
            stored.update(zip(keys, parts, strict=True))
        self.cache.store(stored)


def _short_digest(text):
    return blake2b(text.encode(), digest_size=DIGEST_SIZE).digest()
