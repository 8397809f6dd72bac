"""The features of all images of a source, each computed once."""

from collections import deque
from hashlib import blake2b
from itertools import islice

import numpy as np

from ..data import receive
from ..data.device_transfer import BATCHES_AHEAD
from .backbone_input import FileSource

# Raised whenever the same images get other features from the same network than
# before, so that what earlier versions kept is computed anew.
REVISION = 4
DIGEST_SIZE = 16
LOOKUP_SIZE = 1024


class FeatureTable:
    """Rows of features, one array for each layer, filled in any order.

    Rows that are never filled are NaN.
    """

    def __init__(self, n_samples):
        self.n_samples = n_samples
        self.n_filled = 0
        self.arrays = None

    def fill(self, rows, features):
        """Write one array of shape (len(rows), n_features) for each layer."""
        if self.arrays is None:
            self.arrays = [
                np.full((self.n_samples, part.shape[1]), np.nan, part.dtype)
                for part in features
            ]
        for array, part in zip(self.arrays, features, strict=True):
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
        where no file could be read.
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
    """The features of a source, looked up in a cache and computed where absent.

    An image goes through the network once, however often it occurs and however
    many processes ask for it at the same time: who claims an image computes it,
    the others wait.

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
            _short_digest(f"{REVISION} {context} {layer}") for layer in extractor.layers
        ]
        self.table = FeatureTable(len(source))
        self.n_computed = 0
        self.rows_of = {}
        for row, digest in enumerate(source.digests()):
            if digest is not None:
                self.rows_of.setdefault(digest, []).append(row)

    def compute(self):
        """Return what `compute_features` does."""
        missing = self._look_up(self.rows_of)
        with self.cache.claims() as claims:
            while missing:
                tried = self._compute_claimed(claims, missing)
                others = [d for key, d in missing.items() if key not in tried]
                if others and not tried:
                    self.cache.wait(list(missing))
                missing = self._look_up(others)
        deque(self.source.batches([]), maxlen=0)  # warns of files that no batch had
        return self.table.arrays

    def _look_up(self, digests):
        """Fill in what is cached; return the others, by the key of what is absent."""
        missing, digests = {}, iter(digests)
        while chunk := list(islice(digests, LOOKUP_SIZE)):
            found = self.cache.lookup([d + s for d in chunk for s in self.suffixes])
            rows, features = [], []
            for digest in chunk:
                parts = [found.get(digest + suffix) for suffix in self.suffixes]
                absent = [part is None for part in parts]
                if any(absent):
                    missing[digest + self.suffixes[absent.index(True)]] = digest
                    continue
                for row in self.rows_of[digest]:
                    rows.append(row)
                    features.append(parts)
            if rows:
                self.table.fill(rows, list(map(np.stack, zip(*features, strict=True))))
        return missing

    def _compute_claimed(self, claims, missing):
        """Compute those images that nobody else does; return their keys."""
        tried = set()
        batch_size = self.extractor.forward_size(self.batch_size, len(missing))
        n_images = batch_size * self.extractor.n_at_once

        def chunks():
            for keys in _claimed_chunks(claims, missing, n_images):
                tried.update(keys)
                yield np.array([self.rows_of[missing[key]][0] for key in keys])
            yield from self._chunks_unread([missing[k] for k in tried], n_images)

        digest_of = {row: d for d in missing.values() for row in self.rows_of[d]}
        for rows, features in _run(self.source, self.extractor, batch_size, chunks()):
            self.n_computed += len(rows)
            rows = rows.tolist()
            self._keep(rows, [digest_of[row] for row in rows], features)
        return tried

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

    def _keep(self, rows, digests, features):
        """Fill in features, and store them."""
        stored = {}
        for i, (row, digest) in enumerate(zip(rows, digests, strict=True)):
            equal = self.rows_of[digest]
            # Where it is not the first row, others of them failed, or come yet.
            filled = equal if row == equal[0] else [row]
            self.table.fill(filled, [part[i : i + 1] for part in features])
            for suffix, part in zip(self.suffixes, features, strict=True):
                stored[digest + suffix] = part[i]
        self.cache.store(stored)


def _short_digest(text):
    return blake2b(text.encode(), digest_size=DIGEST_SIZE).digest()


def _claimed_chunks(claims, keys, n_images):
    """Yield keys that are this worker's to compute, chunk by chunk."""
    keys, claimed = iter(keys), []
    while window := list(islice(keys, n_images - len(claimed))):
        claimed += claims.take(window, len(window))
        if len(claimed) == n_images:
            yield claimed
            claimed = []
    if claimed:
        yield claimed
