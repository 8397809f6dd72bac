"""Time of a parallel search in processes or threads against a sequential search.

    python benchmarks/search_parallel.py [--jobs 4] [--repeats 5] [--epochs 5]

Eight settings of CNNClassifier in three folds, on the digits of scikit-learn and,
if SKCNN_DATA names the data folder, on 2,000 digits of MNIST. The
sequential search fits with as many threads as the others have workers. The three
alternate; a time is the median over the rounds, a ratio the median of the ratios
within a round. A first round, which is not counted, starts the workers.
"""

import argparse
from functools import partial
from statistics import median

import joblib
import numpy as np
import torch
from _timing import (
    data_folder,
    describe_load,
    describe_machine,
    interleave,
    median_ratio,
)
from fit_speed import read_mnist
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skcnn import CNNClassifier

GRID = {"n_layers": [2, 3], "n_filters": [16, 32], "lr": [0.003, 0.01]}
N_FOLDS = 3
N_MNIST = 2000
SEQUENTIAL = "sequential"


def search(X, y, epochs, n_jobs, backend):
    """Return the accuracy of each setting in each fold."""
    model = CNNClassifier(max_epochs=epochs, device="cpu", random_state=0)
    grid = GridSearchCV(
        model, GRID, cv=N_FOLDS, n_jobs=n_jobs, refit=False, error_score="raise"
    )
    with joblib.parallel_config(backend=backend):
        results = grid.fit(X, y).cv_results_
    return np.stack([results[f"split{fold}_test_score"] for fold in range(N_FOLDS)])


def measure(name, X, y, epochs, n_jobs, repeats):
    """Print the times of the three ways, and whether they agree."""
    ways = {
        SEQUENTIAL: partial(search, X, y, epochs, 1, "threading"),
        "loky": partial(search, X, y, epochs, n_jobs, "loky"),
        "threading": partial(search, X, y, epochs, n_jobs, "threading"),
    }
    scores = {}

    def run(way):
        scores[way] = ways[way]()

    seconds = interleave({way: partial(run, way) for way in ways}, repeats)
    for way in ways:
        same = np.array_equal(scores[way], scores[SEQUENTIAL])
        print(
            f"{name:22} {way:10} {median(seconds[way]):7.1f} s   time / sequential "
            f"{median_ratio(seconds[way], seconds[SEQUENTIAL]):.3f}   "
            f"scores {'equal' if same else 'DIFFER'}",
            flush=True,
        )


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.jobs)
    describe_machine()
    rest = args.epochs, args.jobs, args.repeats
    digits = load_digits()
    measure("digits, 1,797 of 8×8", digits.images, digits.target, *rest)
    X, y, *_ = read_mnist(data_folder() / "images" / "mnist")
    measure("MNIST, 2,000 of 28×28", X[:N_MNIST], y[:N_MNIST], *rest)
    describe_load()


if __name__ == "__main__":
    main()
