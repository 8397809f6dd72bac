"""What features of real images, from real weights, are good for."""

import csv
import gzip

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer

pytestmark = pytest.mark.slow


def read_csv(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def outputs(backbone, path, X, **parameters):
    """Return what the whole network returns."""
    transformer = CNNFeatureTransformer(backbone, weights=path, **parameters)
    return transformer.set_params(layer=transformer.layer_names()[-1]).transform(X)


@pytest.fixture(scope="module")
def squeezenet(data_dir):
    return data_dir / "weights" / "squeezenet1_0_imagenet.fp32.safetensors"


def test_squeezenet_classifies_imagenet_as_published(data_dir, squeezenet):
    folder = data_dir / "images" / "imagenet200"
    rows = read_csv(folder / "index.csv")
    expected = read_csv(folder / "expected_squeezenet1_0.csv")
    assert [row["file"] for row in rows] == [row["file"] for row in expected]
    logits = outputs(
        "squeezenet1_0", squeezenet, [folder / row["file"] for row in rows]
    )
    assert logits.shape == (200, 1000)
    ranking = np.argsort(-logits, axis=1)[:, :5]
    y = np.array([int(row["class_index"]) for row in rows])
    assert (ranking[:, 0] == y).mean() == pytest.approx(0.640, abs=0.005)
    assert (ranking == y[:, None]).any(axis=1).mean() == pytest.approx(0.845, abs=0.005)
    top_5 = np.array([[int(row[f"top{k}"]) for k in range(1, 6)] for row in expected])
    np.testing.assert_array_equal(ranking[:, 0], top_5[:, 0])
    assert (ranking == top_5).mean() > 0.99
    highest = [float(row["top1_logit"]) for row in expected]
    np.testing.assert_allclose(logits.max(axis=1), highest, rtol=1e-3)


@pytest.mark.parametrize(("depth", "accuracy"), [(20, 0.915), (56, 0.926)])
def test_residual_networks_classify_cifar10_as_published(data_dir, depth, accuracy):
    folder = data_dir / "images" / "cifar10"
    with Image.open(folder / "test.png") as mosaic:
        tiles = np.asarray(mosaic).reshape(25, 32, 40, 32, 3)
    X = tiles.transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    y = np.load(folder / "labels.npz")["test"]
    path = data_dir / "weights" / f"resnet{depth}_cifar10.safetensors"
    logits = outputs(f"resnet{depth}", path, X)
    assert (logits.argmax(axis=1) == y).mean() == pytest.approx(accuracy, abs=0.0011)


def photographs(folder):
    """Return paths of ants and bees, and which of the two they show."""
    paths = sorted(folder.glob("*/*.jpg"))
    return paths, np.array([path.parent.name == "bees" for path in paths])


def small_pixels(paths):
    images = [Image.open(path).convert("RGB").resize((32, 32)) for path in paths]
    return np.stack([np.asarray(image).ravel() for image in images])


def test_features_tell_ants_from_bees_and_pixels_do_not(data_dir, squeezenet):
    folder = data_dir / "images" / "hymenoptera"
    X, y = photographs(folder / "train")
    X_val, y_val = photographs(folder / "val")
    assert (len(X), len(X_val)) == (244, 153)
    cnn = CNNFeatureTransformer("squeezenet1_0", weights=squeezenet)
    head = LogisticRegression(max_iter=1000)
    features = make_pipeline(cnn, StandardScaler(), head).fit(X, y)
    pixels = make_pipeline(StandardScaler(), PCA(50, random_state=0), SVC())
    pixels.fit(small_pixels(X), y)
    accuracy = features.score(X_val, y_val)
    accuracy_of_pixels = pixels.score(small_pixels(X_val), y_val)
    print(f"features {accuracy:.3f}, pixels {accuracy_of_pixels:.3f}")
    assert accuracy >= 0.88
    assert accuracy > accuracy_of_pixels + 0.15


def read_idx(path, header):
    """Return the bytes of a gzipped idx file behind its header."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def test_features_of_a_network_trained_here_are_as_good_as_its_head(data_dir):
    folder = data_dir / "images" / "mnist"
    X, X_test = (
        read_idx(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        for part in ("train6000", "t10k")
    )
    y, y_test = (
        read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8)
        for part in ("train6000", "t10k")
    )
    network = CNNClassifier(random_state=0).fit(X, y)
    pipeline = make_pipeline(CNNFeatureTransformer(network), StandardScaler(), SVC())
    accuracy = pipeline.fit(X, y).score(X_test, y_test)
    accuracy_of_head = network.score(X_test, y_test)
    print(f"features + SVC {accuracy:.4f}, head {accuracy_of_head:.4f}")
    assert accuracy >= accuracy_of_head >= 0.985
