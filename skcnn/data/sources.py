"""Lists, arrays, Series and columns of image files."""

from collections import deque
from collections.abc import Iterator, Mapping, Set, ValuesView
from io import IOBase
from os import PathLike

import numpy as np
from PIL import Image

PATH_TYPES = (str, PathLike)
SOURCE_TYPES = (*PATH_TYPES, bytes, Image.Image)
NEAR_TYPES = (bytearray, IOBase)
UNORDERED_TYPES = (Set, Mapping, ValuesView)  # or of which it is not plain what counts
OBJECT_KINDS = "OSTU"  # NumPy's letters for objects, bytes and text
EXPECTED = "a list of paths, PIL images or encoded bytes"


def is_image_files(X):
    """Return whether X holds image files, by the types of its entries.

    Parameters
    ----------
    X : object
        Anything.

    Returns
    -------
    bool
        True for a list, tuple, deque, array, Series or column with a path, PIL image
        or encoded image among its entries, and for what :func:`as_image_list` refuses
        with better words than the validation of arrays: a file alone, an iterator, a
        set or dict of files, a list of open files, such a column among others, and
        objects or text of which there are none or all are missing.

    Examples
    --------
    >>> from skcnn.data.sources import is_image_files
    >>> is_image_files(["ant.jpg", "bee.jpg"])
    True
    >>> is_image_files([[0.0, 0.5], [1.0, 0.5]])
    False
    """
    if isinstance(X, (*SOURCE_TYPES, Iterator)):
        return True
    if isinstance(X, UNORDERED_TYPES):
        return _holds_source(X)
    if is_frame(X):
        columns = list(_object_columns(X).values())
        is_alone = len(columns) == X.shape[1] == 1
        return any(map(_holds_source, columns)) or (is_alone and _is_void(columns[0]))
    entries = as_list(X)
    return entries is not None and (_is_void(entries) or _holds_source(entries))


def as_image_list(X):
    """Return the image files of X as a list.

    Parameters
    ----------
    X : list, tuple, deque, ndarray, Series or one-column frame
        Paths (str or PathLike), PIL images and encoded images (bytes). Arrays
        have shape (n_samples,) or (n_samples, 1); Series and frames are those of
        pandas or polars.

    Returns
    -------
    list
        The files, one for each sample.

    Raises
    ------
    ValueError
        If X is a file alone, has no samples, missing values or several columns.

    TypeError
        If X holds anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.data.sources import as_image_list
    >>> as_image_list(np.array([["ant.jpg"], ["bee.jpg"]]))
    ['ant.jpg', 'bee.jpg']
    """
    if isinstance(X, SOURCE_TYPES):
        raise ValueError(
            f"X is one {type(X).__name__}, expected {EXPECTED}. Pass [X] for one image."
        )
    if isinstance(X, np.ndarray) and X.dtype.kind == "S":
        raise TypeError(
            f"X has dtype {X.dtype}, which drops zero bytes at the end of an encoded "
            f"image. Pass {EXPECTED}."
        )
    sources = _only_column(X) if is_frame(X) else as_list(X)
    if sources is None:
        raise TypeError(f"X is a {type(X).__name__}, expected {EXPECTED}.")
    if len(sources) == 0:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is "
            "required."
        )
    for row, source in enumerate(sources):
        if not isinstance(source, SOURCE_TYPES):
            _refuse_entry(row, source)
    return sources


def is_frame(X):
    """Return whether X is a table of pandas or polars."""
    kind = type(X)  # a LazyFrame, which has no shape, warns where it is asked itself
    return all(hasattr(kind, name) for name in ("dtypes", "columns", "shape"))


def column_of_objects(X):
    """Return the entries of a column that are no numbers, None where X is no such.

    Parameters
    ----------
    X : object
        Anything.

    Returns
    -------
    list or None
        Of a list, an array, a Series or a frame of one column.
    """
    if not is_frame(X):
        return as_list(X)
    return next(iter(_object_columns(X).values()), None) if X.shape[1] == 1 else None


def _object_columns(frame):
    """Return the names of the columns that are no numbers, with their entries."""
    return {
        name: list(frame[name])
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
        if _holds_objects(dtype)
    }


def _only_column(frame):
    """Return the entries of the column of a frame that has one."""
    names = list(frame.columns)
    columns = _object_columns(frame)
    if len(names) == 1:
        return columns.get(names[0])
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    name = next((name for name in columns if _holds_source(columns[name])), names[0])
    raise ValueError(
        f"X has {len(names)} columns ({shown}), expected one column of image files. "
        f"Choose it: X[{name!r}], or name it in a ColumnTransformer."
    )


def as_list(X):
    """Return the entries of a container of objects, None where X is no such thing."""
    if isinstance(X, (list, tuple, deque)):
        return list(X)
    if isinstance(X, np.ndarray):
        is_column = X.ndim == 1 or X.shape[1:] == (1,)
        return X.ravel().tolist() if is_column and _holds_objects(X.dtype) else None
    # A Series of pandas or polars, or what is in one.
    to_list = getattr(X, "to_list", None) or getattr(X, "tolist", None)
    holds_objects = to_list is not None and _holds_objects(getattr(X, "dtype", None))
    return to_list() if holds_objects else None


def _holds_objects(dtype):
    """Return whether a dtype of NumPy, pandas or polars may hold image files."""
    if hasattr(dtype, "kind"):
        return dtype.kind in OBJECT_KINDS
    return hasattr(dtype, "is_numeric") and not dtype.is_numeric()


def _is_void(entries):
    """Return whether nothing is there that says what it is."""
    return all(map(is_missing, entries))


def _holds_source(entries):
    return any(isinstance(x, (*SOURCE_TYPES, *NEAR_TYPES)) for x in entries)


def _refuse_entry(row, entry):
    """Raise an error about an entry that is no image file."""
    if is_missing(entry):
        raise ValueError(
            f"X has a missing value ({entry!r}) in row {row}, expected an image file. "
            "Drop the row or name its file."
        )
    if isinstance(entry, NEAR_TYPES):
        raise TypeError(
            f"X holds a {type(entry).__name__} in row {row}, expected a path, a PIL "
            "image or encoded bytes. Pass bytes(data), or file.read()."
        )
    raise TypeError(
        f"X mixes image files with other objects: row {row} is a "
        f"{type(entry).__name__}. Pass paths, PIL images and encoded bytes only, or "
        "arrays only, of one shape in one array."
    )


def is_missing(entry):
    """Return whether it is None, NaN or the missing value of pandas."""
    is_nan = isinstance(entry, (float, np.floating)) and entry != entry
    return entry is None or is_nan or type(entry).__name__ in ("NAType", "NaTType")
