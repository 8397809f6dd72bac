"""Accuracy on small sets by number of epochs.

    python benchmarks/small_sets.py [--threads 1] [--seeds 3] [--steps 600 1000]
        [--only ArrowHead ...]

``max_epochs="auto"`` is compared with its minimum, 20 epochs (10 for sentences), and,
with ``--steps``, with the number of epochs in these numbers of training steps. The
table has the accuracy, or R² of a regression, on unseen samples: mean, minimum and
maximum over seeds. Seconds are the CPU time of a fit. Tabular data are standardised and
read as signals.

The data are in the folder that SKCNN_DATA names, or in shared/data beside the
repository, or shipped with scikit-learn.
"""

import argparse
from functools import partial
from math import ceil
from statistics import mean
from time import process_time

import numpy as np
import torch
from _timing import data_folder, describe_machine
from fine_tuning import read_cifar10
from regression import delay_chirps, rotate_digits
from signals import read_archive
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from text_cnn import read
from volumes import halve, read_adrenal

from skcnn import CNNClassifier, CNNRegressor, TextCNNClassifier


def split(X, y, n_train):
    """Return the two parts of a set, as X, y, X_test, y_test."""
    X, X_test, y, y_test = train_test_split(X, y, train_size=n_train, random_state=0)
    return X, y, X_test, y_test


def digits(n_train):
    """Return digits."""
    images, labels = load_digits().images, load_digits().target
    return split(images, labels, n_train)


def table(load, n_train):
    """Return a table, its columns standardised."""
    X, y = load(return_X_y=True)
    return split(StandardScaler().fit_transform(X), y, n_train)


def series(name):
    """Return signals of the UCR and UEA archives, on their own split."""
    task = read_archive(data_folder(), name)
    return task.X, task.y, task.X_test, task.y_test


def cifar10(n_train):
    """Return photographs of 32 × 32 pixels."""
    X, y, X_test, y_test = read_cifar10(data_folder())
    return X[:n_train], y[:n_train], X_test, y_test


def volumes(n_train):
    """Return volumes of adrenal glands, 16 × 16 × 16."""
    (X, y), _, (X_test, y_test) = read_adrenal(data_folder())
    X, X_test = (halve(halve(volumes)) for volumes in (X[:n_train], X_test))
    return X, y[:n_train], X_test, y_test


def made(make, n_train):
    """Return samples of a regression, of which 540 are for the test."""
    X, y = make(np.random.default_rng(0))
    X, y, X_test, y_test = split(X, y, n_train)
    return X, y, X_test[:540], y_test[:540]


def questions(n_train):
    """Return questions of TREC."""
    X, y = read(data_folder(), "trec.train")
    return X[:n_train], y[:n_train], *read(data_folder(), "trec.test")


FCN = partial(CNNClassifier, "fcn", channel_axis=1)
SIGNALS = partial(CNNClassifier, channel_axis=1)
VOLUMES = partial(CNNClassifier, channel_axis=None, n_filters=8)
SETS = {
    "digits, 60": (CNNClassifier, partial(digits, 60)),
    "digits, 200": (CNNClassifier, partial(digits, 200)),
    "digits, 1000": (CNNClassifier, partial(digits, 1000)),
    "ItalyPowerDemand, fcn": (FCN, partial(series, "ItalyPowerDemand")),
    "ItalyPowerDemand, convnet": (SIGNALS, partial(series, "ItalyPowerDemand")),
    "ArrowHead, fcn": (FCN, partial(series, "ArrowHead")),
    "ArrowHead, convnet": (SIGNALS, partial(series, "ArrowHead")),
    "BasicMotions, fcn": (FCN, partial(series, "BasicMotions")),
    "JapaneseVowels, fcn": (FCN, partial(series, "JapaneseVowels")),
    "wine, 120": (CNNClassifier, partial(table, load_wine, 120)),
    "iris, 100": (CNNClassifier, partial(table, load_iris, 100)),
    "cancer, 200": (CNNClassifier, partial(table, load_breast_cancer, 200)),
    "CIFAR-10, 500": (CNNClassifier, partial(cifar10, 500)),
    "volumes, 100": (VOLUMES, partial(volumes, 100)),
    "diabetes, 100": (CNNRegressor, partial(table, load_diabetes, 100)),
    "angle of digits, 100": (CNNRegressor, partial(made, rotate_digits, 100)),
    "angle of digits, 240": (CNNRegressor, partial(made, rotate_digits, 240)),
    "delay of chirps, 200": (CNNRegressor, partial(made, delay_chirps, 200)),
    "TREC, 100": (TextCNNClassifier, partial(questions, 100)),
    "TREC, 500": (TextCNNClassifier, partial(questions, 500)),
}


def evaluate(make_model, parts, n_seeds):
    """Return scores, CPU seconds of a fit, and the number of epochs."""
    X, y, X_test, y_test = parts
    scores, start, seconds = [], process_time(), 0.0
    for seed in range(n_seeds):
        start = process_time()
        model = make_model(random_state=seed, device="cpu").fit(X, y)
        seconds += process_time() - start
        scores.append(model.score(X_test, y_test))
    return scores, seconds / n_seeds, model.n_iter_


def compare(name, make_model, parts, steps, n_seeds):
    """Print the rows of a set."""
    fewest = 10 if make_model is TextCNNClassifier else 20
    n_samples = len(parts[0])
    n_batches = ceil(n_samples / make_model()._auto_batch_size(n_samples))
    choices = {"fewest": fewest, "auto": "auto"}
    choices |= {f"{n} steps": max(fewest, ceil(n / n_batches)) for n in steps}
    for choice, max_epochs in choices.items():
        make = partial(make_model, max_epochs=max_epochs)
        scores, seconds, n_epochs = evaluate(make, parts, n_seeds)
        print(
            f"{name:26} {choice:10} {n_epochs:4} epochs of {n_batches:3} steps   "
            f"{mean(scores):.4f} ({min(scores):.3f}-{max(scores):.3f})   "
            f"{seconds:5.1f} s",
            flush=True,
        )


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="*", default=[])
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    describe_machine()
    for name, (make_model, read_parts) in SETS.items():
        if any(part in name for part in args.only):
            compare(name, make_model, read_parts(), args.steps, args.seeds)


if __name__ == "__main__":
    main()
