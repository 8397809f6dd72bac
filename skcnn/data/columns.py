"""Columns of images or texts: lists, arrays, Series and data frames of objects."""

from collections.abc import Iterator
from io import IOBase
from os import PathLike

import numpy as np
from PIL import Image

PATH_TYPES = (str, PathLike)
SOURCE_TYPES = (*PATH_TYPES, bytes, Image.Image)
NEAR_TYPES = (bytearray, IOBase)
OBJECT_KINDS = "OSTU"  # NumPy's letters for objects, bytes and text
NO_SAMPLES = (
    "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required."
)


def is_image_files(X):
    """Return whether X is a collection of image files or of images of unequal sizes.

    Parameters
    ----------
    X : object
        Any object.

    Returns
    -------
    bool
        True for a list, tuple, array, Series or column with a path, PIL image or
        encoded image among its entries, or with arrays of unequal shapes. Also True
        for invalid input about which :func:`as_image_list` has the clearer error: a
        single file, an iterator, open files, a data frame with further columns, and
        columns of objects or text that are empty or entirely missing.

    Examples
    --------
    >>> from skcnn.data import is_image_files
    >>> is_image_files(["ant.jpg", "bee.jpg"])
    True
    >>> is_image_files([[0.0, 0.5], [1.0, 0.5]])
    False
    """
    if isinstance(X, (*SOURCE_TYPES, Iterator)):
        return True
    if is_frame(X) and X.shape[1] > 1:
        return any(map(_holds_source, _object_columns(X).values()))
    entries = only_column(X, "image files")
    return entries is not None and (
        _is_void(entries) or _holds_source(entries) or are_unequal_arrays(entries)
    )


def as_image_list(X):
    """Convert X to a list of images for :class:`ImageFiles`.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or one-column frame
        Paths (str or PathLike), PIL images and encoded images (bytes), or images of
        unequal sizes as arrays. The shape of X is (n_samples,) or (n_samples, 1).
        Series and frames are from pandas or polars.

    Returns
    -------
    list
        The images, one for each sample. Missing values are kept, and reported or
        skipped by :class:`ImageFiles`.

    Raises
    ------
    ValueError
        If X is a single file, or has no samples or several columns.

    TypeError
        If X holds anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.data import as_image_list
    >>> as_image_list(np.array([["ant.jpg"], ["bee.jpg"]]))
    ['ant.jpg', 'bee.jpg']
    """
    if isinstance(X, SOURCE_TYPES):
        kind = "path" if isinstance(X, PATH_TYPES) else "image"
        raise ValueError(f"X is a single {kind}. Pass a list: [X].")
    sources = only_column(X, "image files")
    if sources is None:
        raise TypeError(
            f"X is a {type(X).__name__}, expected a list of paths, PIL images or "
            "encoded images (bytes)."
        )
    if not sources:
        raise ValueError(NO_SAMPLES)
    if are_unequal_arrays(sources):
        return sources
    for row, source in enumerate(sources):
        if isinstance(source, NEAR_TYPES):
            raise TypeError(
                f"X holds a {type(source).__name__} in row {row}, expected a path, a "
                "PIL image or bytes. Pass bytes(data), or file.read()."
            )
        if not (isinstance(source, SOURCE_TYPES) or is_missing(source)):
            raise TypeError(
                f"X mixes image files with other objects: row {row} is a "
                f"{type(source).__name__}. Pass paths, PIL images and encoded images "
                "(bytes) only, or arrays only."
            )
    return sources


def as_texts(X):
    """Convert X to an array of sentences.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or one-column frame of str
        Sentences. The shape of X is (n_samples,) or (n_samples, 1). Series and frames
        are from pandas or polars.

    Returns
    -------
    ndarray of shape (n_samples,), of object
        The sentences.

    Raises
    ------
    ValueError
        If X is a single string, or has no samples, missing values or several columns.

    TypeError
        If X holds anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.data import as_texts
    >>> as_texts(np.array([["Who ?"], ["It is me ."]]))
    array(['Who ?', 'It is me .'], dtype=object)
    """
    if isinstance(X, str):  # scikit-learn's message
        raise ValueError(
            "Iterable over raw text documents expected, string object received."
        )
    texts = only_column(X, "sentences")
    if texts is None:
        raise _no_texts(X)
    if not texts:
        raise ValueError(NO_SAMPLES)
    for row, text in enumerate(texts):
        if is_missing(text):
            raise ValueError(
                f"X has a missing value ({text!r}) in row {row}, expected a string. "
                "Drop the row, or use an empty string."
            )
        if not isinstance(text, str):
            hint = " Decode it." if isinstance(text, bytes) else ""
            raise TypeError(
                f"X holds a {type(text).__name__} in row {row}, expected a string."
                f"{hint}"
            )
    sentences = np.empty(len(texts), dtype=object)
    sentences[:] = texts
    return sentences


def _no_texts(X):
    """Return the error for X that is not a column of strings."""
    expected = "a sequence of strings, one for each sample"
    shape = getattr(X, "shape", ())
    if len(shape) > 1 and shape[1:] != (1,):
        return ValueError(
            f"X has shape {tuple(shape)}, expected {expected}: shape (n_samples,). "
            "Choose one column."
        )
    dtype = f" of dtype {X.dtype}" if hasattr(X, "dtype") else ""
    return TypeError(f"X is a {type(X).__name__}{dtype}, expected {expected}.")


def only_column(X, content):
    """Return the entries of a column of objects, None if X is not one.

    For a data frame with several columns, a ValueError suggests one of them.
    """
    if not is_frame(X):
        return as_list(X)
    names = list(X.columns)
    columns = _object_columns(X)
    if len(names) <= 1:
        return next(iter(columns.values()), None)
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    name = next((name for name in columns if _holds_source(columns[name])), names[0])
    raise ValueError(
        f"X has {len(names)} columns ({shown}), expected one column of {content}. "
        f"Choose one: X[{name!r}], or name it in a ColumnTransformer."
    )


def is_frame(X):
    """Return whether X is a data frame of pandas or polars."""
    kind = type(X)  # a LazyFrame has no shape; asking the instance would warn
    return all(hasattr(kind, name) for name in ("dtypes", "columns", "shape"))


def as_list(X):
    """Return the entries of a container of objects, None if X is not one."""
    if isinstance(X, (list, tuple)):
        return list(X)
    if isinstance(X, np.ndarray):
        is_column = X.ndim == 1 or X.shape[1:] == (1,)
        return X.ravel().tolist() if is_column and _holds_objects(X.dtype) else None
    # a Series of pandas or polars, or its array
    to_list = getattr(X, "to_list", None) or getattr(X, "tolist", None)
    holds_objects = to_list is not None and _holds_objects(getattr(X, "dtype", None))
    return to_list() if holds_objects else None


def is_missing(entry):
    """Return whether an entry is None, NaN or the missing value of pandas."""
    is_nan = isinstance(entry, (float, np.floating)) and entry != entry
    return entry is None or is_nan or type(entry).__name__ in ("NAType", "NaTType")


def _object_columns(frame):
    """Return the entries of the non-numeric columns, by name."""
    return {
        name: list(frame[name])
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
        if _holds_objects(dtype)
    }


def _holds_objects(dtype):
    """Return whether a dtype of NumPy, pandas or polars may hold image files."""
    if hasattr(dtype, "kind"):
        return dtype.kind in OBJECT_KINDS
    return hasattr(dtype, "is_numeric") and not dtype.is_numeric()


def are_unequal_arrays(entries):
    """Return whether entries are arrays of two or three axes, of different shapes."""
    shapes = {getattr(entry, "shape", ()) for entry in entries}
    return len(shapes) > 1 and all(len(shape) in (2, 3) for shape in shapes)


def _is_void(entries):
    """Return whether there are no entries, or all are missing."""
    return all(map(is_missing, entries))


def _holds_source(entries):
    return any(isinstance(x, (*SOURCE_TYPES, *NEAR_TYPES)) for x in entries)
