"""Accuracy on Fashion-MNIST against time, by a recipe for CNNClassifier.

    python benchmarks/fashion_mnist.py [FOLDER] [--threads 4] [--seeds 5]
        [--jobs 1] [--validate] [--compare]

Trains on the 60,000 images and scores the 10,000 test images, once for each seed.
The recipe was chosen with ``--validate``, which trains on the first 50,000 and
scores the last 10,000 training images; the test images were not used. With ``--jobs``,
seeds are fitted in parallel processes, which gives the same networks in less time.

``--compare`` also runs the recipe with fewer epochs, a skorch net as its users
write it (that of ``fit_speed.py``) and support vector machines on subsets, and
draws all of them in docs/images/fashion_mnist.png. FOLDER has the four idx.gz
files; the default is where Debian's package dataset-fashion-mnist puts them.
"""

import argparse
from statistics import mean, stdev
from time import perf_counter, process_time

import numpy as np
import torch
from _timing import REPOSITORY, describe_load, describe_machine
from fit_speed import fit_skorch, read_mnist, standardise
from joblib import Parallel, delayed
from sklearn.svm import SVC
from torch import nn
from torch.nn import functional

from skcnn import CNNClassifier

FOLDER = "/usr/share/datasets/fashion-mnist"
PICTURE = REPOSITORY / "docs" / "images" / "fashion_mnist.png"
SHIFTS = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))


class Residual(nn.Sequential):
    """Layers to whose output their input is added."""

    def forward(self, x):
        return x + super().forward(x)


class ViewAveraged(nn.Sequential):
    """Layers that look at an image ten times when they predict.

    As it is and shifted by a pixel to each of the four sides, and all that mirrored.
    """

    def forward(self, x):
        if self.training:
            return super().forward(x)
        height, width = x.shape[2:]
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        views = [
            padded[:, :, top : top + height, left : left + width]
            for top, left in SHIFTS
        ]
        views += [view.flip(-1) for view in views]
        return sum(map(super().forward, views)) / len(views)


def convolution(n_in, n_out, pool_size=1):
    """Return a convolution of 3 × 3, its pooling, normalisation and activation."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.MaxPool2d(pool_size) if pool_size > 1 else nn.Identity(),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


def small_resnet(input_shape, n_outputs, n_filters=32):
    """Return a residual network that leaves full resolution at once, for speed."""
    n1, n2, n3 = n_filters, 2 * n_filters, 4 * n_filters
    return ViewAveraged(
        nn.Conv2d(input_shape[0], n1, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(n1),
        nn.ReLU(),
        Residual(convolution(n1, n1)),
        convolution(n1, n2, pool_size=2),
        Residual(convolution(n2, n2)),
        convolution(n2, n3, pool_size=2),
        Residual(convolution(n3, n3)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(n3, n_outputs),
    )


RECIPE = {
    "architecture": small_resnet,
    "augmentation": "flip",
    "label_smoothing": 0.1,
    "optimizer": "muon",
    "lr": 0.03,
    "weight_decay": 0.05,
    "batch_size": 512,
    "max_epochs": 8,
}
RECIPE_EPOCHS = (1, 3)
SKORCH_EPOCHS = (1, 6)
SVC_SAMPLES = (2500, 10_000)
# C=10, RBF, all images: H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747, 2017.
PUBLISHED_SVC = 0.897


def fit_recipe(X, y, seed=0, **params):
    """Train by the recipe."""
    model = CNNClassifier(**(RECIPE | params), device="cpu", random_state=seed)
    return model.fit(X, y)


def fit_svc(X, y, n_samples):
    """Train a support vector machine on the first images."""
    return SVC(C=10).fit(as_rows(X[:n_samples]), y[:n_samples])


def as_rows(X):
    """Return images as rows of values from 0 to 1."""
    return X.reshape(len(X), -1) / np.float32(255)


def measure(name, fit, X_test, y_test):
    """Return and print accuracy, seconds and CPU seconds of a fit."""
    start, cpu_start = perf_counter(), process_time()
    model = fit()
    seconds, cpu_seconds = perf_counter() - start, process_time() - cpu_start
    accuracy = model.score(X_test, y_test)
    print(
        f"{name:28} {accuracy:.4f} {seconds:7.0f} s {cpu_seconds:7.0f} CPU s",
        flush=True,
    )
    return accuracy, seconds, cpu_seconds


def measure_recipe(seed, X, y, *unseen):
    """Return and print the row of a seed."""
    return measure(
        f"CNNClassifier, seed {seed}", lambda: fit_recipe(X, y, seed), *unseen
    )


def run_recipe(data, seeds, jobs):
    """Return a row for each seed, and print what they come to."""
    rows = Parallel(n_jobs=jobs)(
        delayed(measure_recipe)(seed, *data) for seed in range(seeds)
    )
    scores, seconds, cpu_seconds = zip(*rows, strict=True)
    spread = stdev(scores) if seeds > 1 else float("nan")
    print(
        f"{'CNNClassifier':28} {mean(scores):.4f} ± {spread:.4f}, mean "
        f"{mean(seconds):.0f} s, {mean(cpu_seconds):.0f} CPU s, least {min(scores):.4f}"
    )
    return rows


def run_others(X, y, X_test, y_test):
    """Return rows of what the recipe is compared with, by name."""
    unseen = standardise(X_test, like=X)[:, None]
    return {
        "CNNClassifier, fewer epochs": [
            measure(
                f"CNNClassifier, {n} epochs",
                lambda n=n: fit_recipe(X, y, max_epochs=n),
                X_test,
                y_test,
            )
            for n in RECIPE_EPOCHS
        ],
        "skorch net": [
            measure(
                f"skorch net, {n} epochs",
                lambda n=n: fit_skorch(X, y, "cpu", epochs=n),
                unseen,
                y_test,
            )
            for n in SKORCH_EPOCHS
        ],
        "SVC": [
            measure(
                f"SVC, {n} images",
                lambda n=n: fit_svc(X, y, n),
                as_rows(X_test),
                y_test,
            )
            for n in SVC_SAMPLES
        ],
    }


def draw(rows):
    """Save accuracy against CPU time."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for marker, (name, points) in zip("o.sD", rows.items(), strict=True):
        accuracies, _, cpu_seconds = zip(*points, strict=True)
        line = "none" if name == "CNNClassifier" else "-"
        ax.plot(cpu_seconds, accuracies, marker=marker, linestyle=line, label=name)
    label = "SVC, all images (Xiao et al. 2017)"
    ax.axhline(PUBLISHED_SVC, color="grey", linestyle="--", label=label)
    ax.set(
        title="Fashion-MNIST, 60,000 images to train on",
        xlabel="CPU seconds of a fit",
        ylabel="accuracy on 10,000 test images",
        xscale="log",
    )
    ax.legend(loc="upper left")
    figure.savefig(PICTURE, dpi=150)
    print(f"figure saved as {PICTURE}")


def main():
    """Run the recipe, and perhaps the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default=FOLDER)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--compare", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    describe_machine()
    data = read_mnist(args.folder)
    if args.validate:
        X, y, *_ = data
        data = X[:-10_000], y[:-10_000], X[-10_000:], y[-10_000:]
    rows = {"CNNClassifier": run_recipe(data, args.seeds, args.jobs)}
    if args.compare:
        draw(rows | run_others(*data))
    describe_load()


if __name__ == "__main__":
    main()
