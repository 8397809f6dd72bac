"""Errors about images that come with labels, as in torch datasets."""

from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from .columns import PATH_TYPES

READERS = (
    "CNNFeatureTransformer, FineTunedClassifier and FineTunedRegressor read image "
    "files; other estimators take one array of numbers."
)


def check_images_alone(X):
    """Raise a TypeError if X is a torch dataset, or a list of images with labels.

    Parameters
    ----------
    X : object
        Any object.

    Raises
    ------
    TypeError
        If X is a torch data loader or dataset, or a list with a sample that is a tuple
        or list of an image or path and another object.

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
    """Return the error for a dataset that reads a folder of images."""
    folder = str(X.root)
    return TypeError(
        f"X is a dataset of torch ({type(X).__name__}), expected images or their "
        "paths. Read the folder with scikit-learn:\n"
        f"    files = sklearn.datasets.load_files({folder!r}, load_content=False)\n"
        "    estimator.fit(files.filenames, files.target)\n"
        f"{READERS}"
    )


def _advice_for_dataset(X):
    """Return advice on how to get the images of a dataset."""
    if isinstance(X, (DataLoader, IterableDataset)):
        return "the images alone, in a list"
    return "the images alone, [image for image, _ in X]"


def _is_labelled(sample):
    """Return whether a sample holds a file, or an image beside another object."""
    if not isinstance(sample, (tuple, list)):
        return False
    parts = sample[:2]  # checking all parts of lists of numbers would take long
    if any(isinstance(part, (*PATH_TYPES, bytes)) for part in parts):
        return True
    are_images = [_is_image(part) for part in parts]
    are_lists = [isinstance(part, (tuple, list)) for part in parts]
    return any(are_images) and not all(map(max, are_images, are_lists))


def _is_image(part):
    """Return whether a part is a PIL image, or an array other than a scalar."""
    return isinstance(part, Image.Image) or bool(getattr(part, "shape", ()))


def _advice_for_row(sample):
    """Return advice on how to get the images of samples like this one."""
    if len(sample) == 2 and isinstance(sample[0], PATH_TYPES):
        return "the paths alone, [path for path, _ in X]"
    if len(sample) == 2 and (_is_image(sample[0]) or isinstance(sample[0], bytes)):
        return "the images alone, [image for image, _ in X]"
    return "the images alone, in a list"
