import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch
from PIL import Image
from sklearn.base import BaseEstimator
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
)
from torchvision.datasets import FakeData, ImageFolder

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    FineTunedClassifier,
    FineTunedRegressor,
)
from skcnn.data import check_image_array, is_image_files
from skcnn.data.images_with_labels import check_images_alone

PICTURE = Image.new("RGB", (4, 3))
PIXELS = np.zeros((3, 4, 3))


def column(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.fixture
def folder(tmp_path):
    """Return a dataset of images in the folders of their classes."""
    for row, name in enumerate(["ant/0.png", "ant/1.png", "bee/2.png"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 8 + row)).save(path)
    return ImageFolder(tmp_path)


def followed(error, X):
    """Return what the code in an error's message makes of X."""
    (code,) = re.findall(r"Pass .*?(\[.*\]|list\(X\))\. CNNFeature", str(error.value))
    return eval(code, {"X": X})


def follow_two_lines(error):
    """Return X and y of the call of `fit` in an error's message."""
    code = [line[4:] for line in str(error.value).splitlines() if line[:4] == " " * 4]
    assert len(code) == 2
    estimator = Mock()
    exec("\n".join(code), {"sklearn": sklearn, "estimator": estimator})
    return estimator.fit.call_args.args


class Items(Dataset):
    """A dataset of what it is given."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Stream(IterableDataset):
    """A dataset that is read once."""

    def __iter__(self):
        raise AssertionError("an item was read")


@pytest.mark.parametrize("make", [str, Path])
def test_a_folder_of_images_is_refused_with_the_code_for_its_files(folder, make):
    folder.root = make(folder.root)
    words = r"X is a dataset of torch \(ImageFolder\), expected images or their paths"
    with pytest.raises(TypeError, match=words) as caught:
        check_images_alone(folder)
    paths, labels = follow_two_lines(caught)
    assert sorted(zip(paths, labels, strict=True)) == folder.samples
    assert is_image_files(paths)


@pytest.mark.parametrize("samples", [list, tuple, lambda pairs: column(*pairs)])
@pytest.mark.parametrize("pair", [tuple, list])
def test_paths_with_labels_are_refused_with_the_code_for_the_paths(
    folder, samples, pair
):
    X = samples([pair(sample) for sample in folder.samples])
    words = f"X holds a {pair.__name__} in row 0, of a str and a int"
    with pytest.raises(TypeError, match=words) as caught:
        check_image_array(BaseEstimator(), X, reset=True)
    assert followed(caught, X) == [path for path, _ in folder.samples]


@pytest.mark.parametrize(
    "image",
    [PICTURE, b"\x89PNG", PIXELS, torch.zeros(3, 4), Path("a.jpg"), "a.jpg"],
    ids=lambda image: type(image).__name__,
)
@pytest.mark.parametrize("label", [1, 0.5, "ant", None, torch.tensor(1), np.int64(1)])
def test_images_with_labels_are_refused_with_the_code_for_the_images(image, label):
    X = [(image, label)] * 3
    with pytest.raises(TypeError, match=r"X holds .* in row 0") as caught:
        check_images_alone(X)
    assert followed(caught, X)[2] is image


def test_the_row_that_has_a_label_is_named():
    with pytest.raises(TypeError, match="a tuple in row 1"):
        check_images_alone([PIXELS, (PIXELS, 1)])


@pytest.mark.parametrize(
    "X",
    [
        FakeData(2, (3, 8, 8)),
        ConcatDataset([FakeData(2, (3, 8, 8)), FakeData(1, (3, 8, 8))]),
        TensorDataset(torch.zeros(3, 8, 8), torch.zeros(3)),
        Items((b"\x89PNG", "ant")),
    ],
    ids=lambda X: type(X).__name__,
)
def test_a_dataset_of_images_is_refused_with_the_code_for_the_images(X):
    with pytest.raises(TypeError, match=f"X is a {type(X).__name__}, ") as caught:
        check_images_alone(X)
    images = followed(caught, X)
    assert len(images) == len(X)
    check_images_alone(images)


@pytest.mark.parametrize(
    "X",
    [
        Stream(),
        DataLoader(Items((PIXELS, 1))),
    ],
    ids=lambda X: type(X).__name__,
)
def test_another_dataset_is_refused_in_words(X):
    words = f"X is a {type(X).__name__}, .* Pass the images alone, in a list"
    with pytest.raises(TypeError, match=words):
        check_images_alone(X)


@pytest.mark.parametrize(
    "X",
    [
        PIXELS,
        torch.zeros(3, 4),
        list(PIXELS),
        PIXELS.tolist(),
        [(0.0, 1.0), (1.0, 0.0)],
        [[np.zeros(4), np.ones(4)], [np.zeros(4), [0, 1, 2, 3]]],
        [[PICTURE, PICTURE], [PICTURE, PICTURE]],
        [[torch.tensor(1.0), torch.tensor(2.0)]],
        np.array([["1", "2"], ["3", "4"]], object),
        pd.DataFrame(PIXELS[0]),
        pd.Series(list(PIXELS)),
    ],
    ids=lambda X: type(X).__name__,
)
def test_images_alone_are_still_taken(X):
    check_images_alone(X)
    assert len(check_image_array(BaseEstimator(), X, reset=True)) == len(X)


@pytest.mark.parametrize(
    "X", [[], (), [[]], [()], None, 3, {}, "a.jpg", np.empty((0, 2), object)]
)
def test_what_is_empty_or_no_container_is_left_to_other_checks(X):
    check_images_alone(X)


def make_module():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3)
    )


ESTIMATORS = {
    "ready": lambda: CNNFeatureTransformer(make_module(), preprocessing="resnet20"),
    "learning": lambda: CNNFeatureTransformer("convnet", weights=None),
    "classifier": lambda: FineTunedClassifier("resnet20", weights=None),
    "regressor": lambda: FineTunedRegressor("resnet20", weights=None),
    "trained": lambda: CNNClassifier(),
}


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_every_estimator_of_images_says_so(folder, make):
    for X, words in ((folder, "load_files"), (folder.samples, "the paths alone")):
        with pytest.raises(TypeError, match=words):
            make().fit(X, np.arange(len(X)))


def test_a_transformer_takes_what_it_asked_for(folder):
    transformer = CNNFeatureTransformer(
        make_module(), preprocessing="resnet20", image_size=16
    )
    with pytest.raises(TypeError, match="load_files") as caught:
        transformer.transform(folder)
    assert len(transformer.transform(follow_two_lines(caught)[0])) == len(folder)
    X = folder.samples
    with pytest.raises(TypeError, match="the paths alone") as caught:
        transformer.transform(X)
    assert len(transformer.transform(followed(caught, X))) == len(X)
