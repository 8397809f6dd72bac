"""Errors about images that come with their labels, as in the datasets of torch."""

from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .columns import PATH_TYPES

READERS = (
    "CNNFeatureTransformer, FineTunedClassifier and FineTunedRegressor read image "
    "files; others take numbers, of one shape in one array."
)


def check_images_alone(X):
    """Raise a TypeError if X is a dataset of torch, or holds labels with its images.

    Parameters
    ----------
    X : object
        Anything.

    Raises
    ------
    TypeError
        If X is a data loader or dataset of torch, or if a sample of a list is a tuple
        or list of an image or path and something else.

    Examples
    --------
    >>> from skcnn.data.images_with_labels import check_images_alone
    >>> check_images_alone([("ant.jpg", 0), ("bee.jpg", 1)])
    Traceback (most recent call last):
        ...
    TypeError: X holds a tuple in row 0, of a str and a int, expected ...
    """
    if isinstance(X, (DataLoader, Dataset)) and not hasattr(X, "__array__"):
        if hasattr(X, "samples") and hasattr(X, "root"):  # as ImageFolder
            raise _take_the_files(X)
        raise TypeError(
            f"X is a {type(X).__name__}, expected images without labels, in a list or "
            f"an array. Pass {_advice_for_dataset(X)}. {READERS}"
        )
    if not isinstance(X, (list, tuple)):
        return
    for row, sample in enumerate(X):
        if _is_labelled(sample):
            kinds = " and ".join(f"a {type(part).__name__}" for part in sample[:2])
            raise TypeError(
                f"X holds a {type(sample).__name__} in row {row}, of {kinds}, expected "
                f"one image for each sample. Pass {_advice_for_row(sample)}. {READERS}"
            )


def _take_the_files(X):
    """Return the error that a dataset is a folder of images, with the code for it."""
    folder = str(X.root)
    return TypeError(
        f"X is a dataset of torch ({type(X).__name__}), expected images or their "
        "paths. Read the folder with scikit-learn:\n"
        f"    files = sklearn.datasets.load_files({folder!r}, load_content=False)\n"
        "    estimator.fit(files.filenames, files.target)\n"
        f"{READERS}"
    )


def _advice_for_dataset(X):
    """Say how to get the images of a dataset."""
    if isinstance(X, (DataLoader, IterableDataset)):
        return "the images alone, in a list"
    return "the images alone, [image for image, _ in X]"


def _is_labelled(sample):
    """Return whether a sample holds a file, or an image beside what is none."""
    if not isinstance(sample, (tuple, list)):
        return False
    parts = sample[:2]  # all would take long if samples are lists of numbers
    if any(isinstance(part, (*PATH_TYPES, bytes)) for part in parts):
        return True
    are_images = [_is_image(part) for part in parts]
    are_lists = [isinstance(part, (tuple, list)) for part in parts]
    return any(are_images) and not all(map(max, are_images, are_lists))


def _is_image(part):
    """Return whether it is an image of PIL or an array, and no number."""
    return isinstance(part, Image.Image) or bool(getattr(part, "shape", ()))


def _advice_for_row(sample):
    """Say how to get the images of samples like this one."""
    if len(sample) == 2 and isinstance(sample[0], PATH_TYPES):
        return "the paths alone, [path for path, _ in X]"
    if len(sample) == 2 and (_is_image(sample[0]) or isinstance(sample[0], bytes)):
        return "the images alone, [image for image, _ in X]"
    return "the images alone, in a list"
