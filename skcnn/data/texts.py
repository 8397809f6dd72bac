"""Lists, arrays, Series and columns of sentences."""

import numpy as np

from .sources import as_list, is_frame, is_missing

EXPECTED = "a sequence of strings, one for each sample"


def as_texts(X):
    """Return the sentences of X.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or one-column frame of str
        Arrays have shape (n_samples,) or (n_samples, 1); Series and frames are those
        of pandas or polars.

    Returns
    -------
    ndarray of shape (n_samples,), of object
        The sentences.

    Raises
    ------
    ValueError
        If X is one string, has no samples, missing values or several columns.

    TypeError
        If X holds anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.data import as_texts
    >>> as_texts(np.array([["Who ?"], ["It is me ."]]))
    array(['Who ?', 'It is me .'], dtype=object)
    """
    if isinstance(X, str):  # in scikit-learn's words
        raise ValueError(
            "Iterable over raw text documents expected, string object received."
        )
    texts = as_list(_only_column(X) if is_frame(X) else X)
    if texts is None:
        shape = getattr(X, "shape", ())
        if len(shape) > 1 and shape[1:] != (1,):
            raise ValueError(
                f"X has shape {tuple(shape)}, expected {EXPECTED}: shape (n_samples,). "
                "Choose one column."
            )
        dtype = f" of dtype {X.dtype}" if hasattr(X, "dtype") else ""
        raise TypeError(f"X is a {type(X).__name__}{dtype}, expected {EXPECTED}.")
    if not texts:
        raise ValueError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is "
            "required."
        )
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            _refuse(row, text)
    sentences = np.empty(len(texts), dtype=object)
    sentences[:] = texts
    return sentences


def _only_column(frame):
    """Return the column of a frame that has one."""
    names = list(frame.columns)
    if len(names) == 1:
        return frame[names[0]]
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    raise ValueError(
        f"X has {len(names)} columns ({shown}), expected one column of sentences. "
        "Choose it, as in X['text'], or name it in a ColumnTransformer."
    )


def _refuse(row, text):
    """Raise an error about what is no string."""
    if is_missing(text):
        raise ValueError(
            f"X has a missing value ({text!r}) in row {row}, expected a string. Drop "
            "the row, or put an empty string there."
        )
    hint = " Decode it." if isinstance(text, bytes) else ""
    raise TypeError(
        f"X holds a {type(text).__name__} in row {row}, expected a string.{hint}"
    )
