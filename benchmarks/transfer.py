"""Classical models on features of trained networks.

    python benchmarks/transfer.py [--threads 4] [--seeds 3]

1. Ants and bees (hymenoptera, 244 training and 153 test photographs): features of
   SqueezeNet, trained on ImageNet, against pixels, both searched by cross-validation on
   the training photographs.
2. MNIST, 6,000 training and 10,000 test digits: a CNNClassifier's own head
   against a support vector machine on its features.
3. Check against published accuracies, through CNNFeatureTransformer: SqueezeNet on 200
   images of ImageNet, and two ResNets on 1,000 images of CIFAR-10.

The data are in the folder that SKCNN_DATA names, or in shared/data beside the
repository.
"""

import argparse
import csv
import gzip
import tempfile
from statistics import mean, stdev
from time import perf_counter

import numpy as np
import torch
from _timing import data_folder, describe_load, describe_machine
from PIL import Image, ImageOps
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer

SQUEEZENET = "squeezenet1_0_imagenet.fp32.safetensors"
LAYERS = ["features.7", "features.10", "penultimate"]
PIXEL_SIZE = (64, 64)
POOLINGS = ["avg", "max", "avgmax", "gem"]
STRENGTHS = np.logspace(-4, 2, 7)
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


def make_models():
    """Return what is put behind features, by name, and what is searched."""
    return {
        "logistic regression": (
            [StandardScaler(), LogisticRegression(max_iter=2000)],
            {"logisticregression__C": STRENGTHS},
        ),
        "SVC": (
            [StandardScaler(), SVC()],
            {"svc__C": np.logspace(-1, 3, 5), "svc__gamma": ["scale", 1e-4]},
        ),
        "nearest neighbours": (
            [Normalizer(), KNeighborsClassifier()],
            {"kneighborsclassifier__n_neighbors": [1, 3, 5, 9, 15]},
        ),
    }


def search(steps, grid, X, y):
    """Return a search over a pipeline, fitted."""
    return GridSearchCV(make_pipeline(*steps), grid, cv=FOLDS).fit(X, y)


def report(name, found, seconds, X, y):
    """Print a row of the table."""
    values = {k.rpartition("__")[2]: v for k, v in found.best_params_.items()}
    chosen = ", ".join(
        f"{name}={value}" if isinstance(value, str) else f"{name}={value:.4g}"
        for name, value in values.items()
    )
    print(
        f"{name:34} {found.best_score_:.3f}   {found.score(X, y):.3f}   "
        f"{seconds:5.0f} s   {chosen}"
    )


def read_pixels(paths):
    """Return pixels of photographs, cut to squares of one size, a row for each."""
    images = (ImageOps.fit(Image.open(p).convert("RGB"), PIXEL_SIZE) for p in paths)
    return np.stack([np.asarray(image, np.float32).ravel() / 255 for image in images])


def read_hymenoptera(folder):
    """Return paths and labels, to train on and to test."""
    parts = []
    for part in ("train", "val"):
        paths = sorted((folder / "images" / "hymenoptera" / part).glob("*/*.jpg"))
        parts += [paths, np.array([path.parent.name for path in paths])]
    return parts


def compare_ants_and_bees(folder):
    """Print accuracies of features and of pixels."""
    paths, y, test_paths, y_test = read_hymenoptera(folder)
    weights = folder / "weights" / SQUEEZENET
    print("hymenoptera                          CV      test      time   chosen")
    with tempfile.TemporaryDirectory() as memory:
        features = CNNFeatureTransformer(
            "squeezenet1_0", weights=weights, memory=memory
        )
        layers = {
            "cnnfeaturetransformer__layer": LAYERS,
            "cnnfeaturetransformer__pooling": POOLINGS,
        }
        for name, (steps, grid) in make_models().items():
            start = perf_counter()
            found = search([features, *steps], grid | layers, paths, y)
            seconds = perf_counter() - start
            report(f"SqueezeNet + {name}", found, seconds, test_paths, y_test)
            if name == "logistic regression":
                by_layer = found.cv_results_
    start = perf_counter()
    found = search_pixels(read_pixels(paths), y)
    seconds = perf_counter() - start
    report("pixels + PCA + SVC", found, seconds, read_pixels(test_paths), y_test)
    report_layers(by_layer)


def search_pixels(X, y):
    """Return a search over components of pixels and a support vector machine."""
    grid = {
        "pca__n_components": [10, 30, 100, 150],
        "svc__C": np.logspace(-1, 3, 5),
        "svc__gamma": ["scale", 1e-3, 1e-2],
    }
    steps = [StandardScaler(), PCA(whiten=True, random_state=0), SVC()]
    return search(steps, grid, X, y)


def report_layers(results):
    """Print the best accuracy in cross-validation of each layer and pooling."""
    print("logistic regression, CV by layer:  " + "".join(f"{p:>8}" for p in POOLINGS))
    for layer in LAYERS:
        best = [
            max(
                score
                for score, params in zip(
                    results["mean_test_score"], results["params"], strict=True
                )
                if params["cnnfeaturetransformer__layer"] == layer
                and params["cnnfeaturetransformer__pooling"] == pooling
            )
            for pooling in POOLINGS
        ]
        print(f"    {layer:30} " + "".join(f"{score:8.3f}" for score in best))


def read_idx(path, header):
    """Return the bytes of a gzipped idx file behind its header."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def read_mnist(folder):
    """Return images and labels, to train on and to test."""
    parts = []
    for part in ("train6000", "t10k"):
        path = folder / "images" / "mnist" / part
        images = read_idx(f"{path}-images-idx3-ubyte.gz", 16)
        parts.append(images.reshape(-1, 28, 28))
        parts.append(read_idx(f"{path}-labels-idx1-ubyte.gz", 8))
    return parts


def compare_head_with_svc(folder, n_seeds):
    """Print accuracies of a network's head and of an SVC on its features."""
    X, y, X_test, y_test = read_mnist(folder)
    scores = {"its own head": [], "its features + SVC": []}
    for seed in range(n_seeds):
        network = CNNClassifier(random_state=seed).fit(X, y)
        steps = [CNNFeatureTransformer(network), StandardScaler(), SVC()]
        pipeline = make_pipeline(*steps).fit(X, y)
        scores["its own head"].append(network.score(X_test, y_test))
        scores["its features + SVC"].append(pipeline.score(X_test, y_test))
    for name, values in scores.items():
        spread = f" ± {stdev(values):.4f}" if n_seeds > 1 else ""
        print(f"MNIST 6,000, CNNClassifier, {name:20} {mean(values):.4f}{spread}")
    margins = [b - a for a, b in zip(*scores.values(), strict=True)]
    print(f"MNIST 6,000, gain of the SVC {', '.join(f'{m:+.4f}' for m in margins)}")


def check_imagenet(folder):
    """Print accuracies of SqueezeNet on 200 images of ImageNet."""
    images = folder / "images" / "imagenet200"
    with open(images / "expected_squeezenet1_0.csv") as file:
        rows = list(csv.DictReader(file))
    y, expected = (np.array([int(r[k]) for r in rows]) for k in ("class_index", "top1"))
    network = CNNFeatureTransformer(
        "squeezenet1_0",
        weights=folder / "weights" / SQUEEZENET,
        layer="flatten",
        pooling=None,
    )
    ranks = (-network.fit_transform([images / r["file"] for r in rows])).argsort(1)
    top_1 = (ranks[:, 0] == y).mean()
    top_5 = (ranks[:, :5] == y[:, None]).any(1).mean()
    same = (ranks[:, 0] == expected).mean()
    print(
        f"ImageNet, 200 images, SqueezeNet: top-1 {top_1:.1%}, top-5 {top_5:.1%}; "
        f"torchvision's prediction for {same:.1%}"
    )


def check_cifar(folder):
    """Print accuracies of ResNets on 1,000 images of CIFAR-10."""
    images = folder / "images" / "cifar10"
    tiles = np.asarray(Image.open(images / "test.png")).reshape(25, 32, 40, 32, 3)
    X = tiles.transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    y = np.load(images / "labels.npz")["test"]
    for name in ("resnet20", "resnet56"):
        weights = next((folder / "weights").glob(f"{name}_cifar10*"))
        network = CNNFeatureTransformer(name, weights=weights, layer="linear")
        accuracy = (network.fit_transform(X).argmax(1) == y).mean()
        print(f"CIFAR-10, 1,000 images, {name}: {accuracy:.1%}")


def main():
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    folder = data_folder()
    torch.set_num_threads(args.threads)
    describe_machine()
    check_imagenet(folder)
    check_cifar(folder)
    compare_ants_and_bees(folder)
    compare_head_with_svc(folder, args.seeds)
    describe_load()


if __name__ == "__main__":
    main()
