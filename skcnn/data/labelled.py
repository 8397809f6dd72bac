"""Images that come with their labels, as the datasets of torch hold them."""

from collections.abc import Mapping

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .sources import OBJECT_KINDS, PATH_TYPES, SOURCE_TYPES

READERS = (
    "CNNFeatureTransformer, FineTunedClassifier and FineTunedRegressor read image "
    "files; others take numbers, of one shape in one array."
)


def check_images_alone(X):
    """Raise an error where X holds labels beside its images, or a table of paths.

    Parameters
    ----------
    X : object
        Anything.

    Raises
    ------
    TypeError
        If X is a data loader or a dataset of torch whose items are no arrays, or
        holds tuples or lists of an image or its file and something else.

    ValueError
        If X is a table of paths or text.

    Examples
    --------
    >>> from skcnn.data.labelled import check_images_alone
    >>> check_images_alone([("ant.jpg", 0), ("bee.jpg", 1)])
    Traceback (most recent call last):
        ...
    TypeError: X holds a tuple in row 0, of a str and a int, expected ...
    """
    if isinstance(X, (DataLoader, Dataset)):
        _check_dataset(X)
    elif isinstance(X, (list, tuple)):
        _check_rows(X)
    elif isinstance(X, np.ndarray) and _is_table_of_text(X):
        raise ValueError(
            f"X holds paths or text in shape {X.shape}, expected one path for each "
            f"sample, in shape (n_samples,). Pass X.ravel(), or one column. {READERS}"
        )


def _check_dataset(X):
    """Raise an error where a dataset gives anything but arrays, or gives batches."""
    if hasattr(X, "__array__"):
        return
    is_stream = isinstance(X, (DataLoader, IterableDataset))
    item = None if is_stream else next(iter(X), None)
    if is_stream:
        advice = "the images alone, in a list"
    elif isinstance(item, SOURCE_TYPES):
        advice = "list(X)"
    elif isinstance(item, (tuple, Mapping)) or _is_labelled(item):
        advice = _advice_for_dataset(X, item)
    else:
        return
    raise TypeError(
        f"X is a {type(X).__name__}, expected images without labels, in a list or an "
        f"array. Pass {advice}. {READERS}"
    )


def _advice_for_dataset(X, item):
    """Say how to get what a dataset holds beside its labels."""
    if _has_paths(X):
        return "the paths alone, [path for path, _ in X.samples]"
    if hasattr(X, "indices") and _has_paths(getattr(X, "dataset", None)):
        return "the paths alone, [X.dataset.samples[i][0] for i in X.indices]"
    return _advice_for_row(item)


def _has_paths(dataset):
    """Return whether a dataset lists pairs of a path and a label, as ImageFolder."""
    samples = getattr(dataset, "samples", None)
    first = samples[0] if isinstance(samples, list) and samples else None
    return _is_pair(first) and isinstance(first[0], PATH_TYPES)


def _check_rows(X):
    """Raise an error where a sample of a list is an image and something else."""
    for row, sample in enumerate(X):
        if not _is_labelled(sample):
            continue
        if all(isinstance(part, PATH_TYPES) for part in sample):
            raise ValueError(
                f"X holds paths or text, {len(sample)} in row {row}, expected one path "
                f"for each sample. Pass them in one list. {READERS}"
            )
        kinds = " and ".join(f"a {type(part).__name__}" for part in sample[:2])
        raise TypeError(
            f"X holds a {type(sample).__name__} in row {row}, of {kinds}, expected one "
            f"image for each sample. Pass {_advice_for_row(sample)}. {READERS}"
        )


def _is_labelled(sample):
    """Return whether a sample begins with a file, or an image beside what is none."""
    if not isinstance(sample, (tuple, list)):
        return False
    parts = sample[:2]  # all would take long where samples are lists of numbers
    if any(isinstance(part, (*PATH_TYPES, bytes)) for part in parts):
        return True
    are_images = [_is_image(part) for part in parts]
    are_lists = [isinstance(part, (tuple, list)) for part in parts]
    return any(are_images) and not all(map(max, are_images, are_lists))


def _is_image(part):
    """Return whether it is an image of PIL or an array, and no number."""
    return isinstance(part, Image.Image) or bool(getattr(part, "shape", ()))


def _is_pair(sample):
    return isinstance(sample, (tuple, list)) and len(sample) == 2


def _advice_for_row(sample):
    """Say how to get the images where samples are like this one."""
    first = sample[0] if _is_pair(sample) else None
    if isinstance(first, PATH_TYPES):
        return "the paths alone, [path for path, _ in X]"
    if _is_image(first) or isinstance(first, bytes):
        return "the images alone, [image for image, _ in X]"
    return "the images alone, in a list"


def _is_table_of_text(X):
    """Return whether an array holds text or paths in other than one column."""
    if X.ndim == 1 or X.shape[1:] == (1,) or X.dtype.kind not in OBJECT_KINDS:
        return False
    return X.dtype.kind != "O" or any(map(_is_file, X[:1].flat if X.ndim else X.flat))


def _is_file(entry):
    """Return whether it is a path, an image or text that is no number."""
    if not isinstance(entry, SOURCE_TYPES):
        return False
    try:
        float(entry)  # as NumPy converts text among objects
    except (TypeError, ValueError):
        return True
    return False
