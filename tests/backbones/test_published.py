"""Published weights through our preprocessing: the accuracy that is known of them."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from skcnn.backbones import load_backbone

FEW = 16


@pytest.fixture(scope="module")
def imagenet(data_dir):
    """Files, classes and the five best classes that torchvision finds for each."""
    folder = data_dir / "images" / "imagenet200"
    with open(folder / "expected_squeezenet1_0.csv") as file:
        rows = list(csv.DictReader(file))
    classes = np.array([int(row["class_index"]) for row in rows])
    best = np.array([[int(row[f"top{i}"]) for i in range(1, 6)] for row in rows])
    return [folder / row["file"] for row in rows], classes, best


@pytest.fixture(scope="module")
def cifar10(data_dir):
    folder = data_dir / "images" / "cifar10"
    mosaic = np.asarray(Image.open(folder / "test.png")).reshape(25, 32, 40, 32, 3)
    tiles = np.ascontiguousarray(mosaic.transpose(0, 2, 4, 1, 3)).reshape(-1, 3, 32, 32)
    return torch.from_numpy(tiles), np.load(folder / "labels.npz")["test"][:1000]


@pytest.fixture(scope="module")
def squeezenet(data_dir):
    def load(precision):
        name = f"squeezenet1_0_imagenet.{precision}.safetensors"
        return load_backbone("squeezenet1_0", data_dir / "weights" / name)

    return load


def as_batch(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def five_best(loaded, files, as_tensor=False):
    """Return the five best classes of each file, resized by PIL or as a tensor."""
    preprocessing = loaded.preprocessing
    found = []
    for file in files:
        image = Image.open(file).convert("RGB")
        if as_tensor:
            batch = preprocessing.resize_batch(as_batch(image))
        else:
            batch = as_batch(preprocessing.resize_image(image))
        with torch.inference_mode():
            scores = loaded.module(preprocessing.normalize(batch))
        found.append(scores.topk(5).indices[0].numpy())
    return np.array(found)


def accuracy(loaded, images, classes):
    preprocessing = loaded.preprocessing
    with torch.inference_mode():
        scores = [
            loaded.module(preprocessing.normalize(preprocessing.resize_batch(batch)))
            for batch in images.split(100)
        ]
    return (torch.cat(scores).argmax(1).numpy() == classes).mean()


def test_some_photographs_get_the_classes_that_torchvision_finds(squeezenet, imagenet):
    files, _, best = imagenet
    found = five_best(squeezenet("fp32"), files[::FEW])
    assert np.array_equal(found, best[::FEW])


@pytest.mark.slow
@pytest.mark.parametrize("as_tensor", [False, True], ids=["PIL", "tensor"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_squeezenet_has_its_accuracy(squeezenet, imagenet, precision, as_tensor):
    files, classes, best = imagenet
    found = five_best(squeezenet(precision), files, as_tensor)
    top1 = (found[:, 0] == classes).mean()
    top5 = (found == classes[:, None]).any(1).mean()
    assert top1 == pytest.approx(0.640, abs=0.005)
    assert top5 == pytest.approx(0.845, abs=0.005)
    if precision == "fp32" and not as_tensor:
        assert np.array_equal(found, best)
    else:
        assert (found[:, 0] == best[:, 0]).mean() >= 0.98


def test_resnet20_has_its_accuracy(data_dir, cifar10):
    path = data_dir / "weights" / "resnet20_cifar10.safetensors"
    assert accuracy(load_backbone("resnet20", path), *cifar10) == pytest.approx(0.915)


@pytest.mark.slow
def test_resnet56_has_its_accuracy(data_dir, cifar10):
    path = data_dir / "weights" / "resnet56_cifar10.safetensors"
    assert accuracy(load_backbone("resnet56", path), *cifar10) == pytest.approx(0.926)
