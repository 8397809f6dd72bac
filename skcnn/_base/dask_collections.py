"""Dask collections: arrays of images, and bags, Series and frames of image files."""

from functools import partial

import numpy as np

from ..data import first_sample


def is_dask(X):
    """Return whether X is a dask collection."""
    return hasattr(X, "__dask_graph__")


def sample_of(X):
    """Return a stand-in for X: one sample, or a placeholder for image files."""
    if hasattr(X, "rechunk"):
        return first_sample(X)
    return getattr(X, "_meta_nonempty", ["an image file"])


def transform_lazily(X, transform, n_features, dtype):
    """Return a dask array of the features of a collection."""
    empty = np.empty((0, n_features), dtype)
    work = partial(_transform_part, transform, empty)
    if not hasattr(X, "rechunk"):
        return _transform_files(X, work, empty)
    X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
    return X.map_blocks(
        work,
        dtype=dtype,
        drop_axis=list(range(1, X.ndim)),
        new_axis=[1],
        chunks=(X.chunks[0], (n_features,)),
        meta=empty,
    )


def _transform_part(transform, empty, part):
    """Return the features of a chunk, which may be empty, or a partition of a bag."""
    part = part if hasattr(part, "__len__") else list(part)
    return transform(part) if len(part) else empty


def _transform_files(X, work, empty):
    """Return a dask array with a chunk, of unknown length, for each partition."""
    import dask
    import dask.array as da

    work = dask.delayed(work, pure=False)  # sent to each worker once
    shape = np.nan, empty.shape[1]
    parts = [da.from_delayed(work(p), shape, empty.dtype) for p in X.to_delayed()]
    return da.concatenate(parts)
