"""3-D network on volumes, compared with a linear model.

    python benchmarks/volumes.py [--threads 4] [--seeds 3]

AdrenalMNIST3D: 64 x 64 x 64 masks of adrenal glands, normal or hyperplastic; 1,188 for
training, 98 for validation, 298 for the test. The network sees 32 x 32 x 32 maxima of
blocks of 2 x 2 x 2. The linear model sees the means of blocks of 4 x 4 x 4; its
regularisation is chosen on the validation data. Published (Yang et al., "MedMNIST v2",
Scientific Data 10:41, 2023, on 28 x 28 x 28): AUC 0.80-0.87 for simple 3-D networks.

Memory is the peak resident set size of the process, after reading the data and after
the fits.

The data are in the folder that SKCNN_DATA names, or in shared/data beside the
repository.
"""

import argparse
import resource
from statistics import mean, stdev
from time import perf_counter, process_time

import numpy as np
import torch
from _timing import data_folder, describe_machine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNClassifier

STRENGTHS = np.logspace(-6, 0, 7)
BLOCK = 4


def read_adrenal(folder):
    """Return volumes and labels of the three parts."""
    with np.load(folder / "volumes" / "adrenalmnist3d_64.npz") as file:
        return [
            (file[f"{part}_images"], file[f"{part}_labels"].ravel())
            for part in ("train", "val", "test")
        ]


def peak_memory():
    """Return the largest resident set so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def make_network(seed):
    """Return the network: four blocks, from 32 voxels a side to 2."""
    return CNNClassifier(
        n_layers=4,
        n_filters=8,
        augmentation="flip",
        max_epochs=10,
        batch_size=32,
        channel_axis=None,
        random_state=seed,
    )


def blocks(X, side):
    """Return blocks of volumes, their voxels on the axes 2, 4 and 6."""
    n_blocks = X.shape[1] // side
    return X.reshape(len(X), *(n_blocks, side) * 3)


def halve(X):
    """Return the largest value of each block of eight voxels."""
    return blocks(X, 2).max(axis=(2, 4, 6))


def judge(model, X, y):
    """Return AUC and accuracy."""
    probabilities = model.predict_proba(X)[:, 1]
    return roc_auc_score(y, probabilities), accuracy_score(y, probabilities > 0.5)


def report(name, results):
    """Print a row of the table from rows of AUC, accuracy, CPU and wall seconds."""
    columns = list(zip(*results, strict=True))
    cells = [
        f"{mean(c):.3f} ± {stdev(c):.3f}" if len(c) > 1 else f"{mean(c):.3f}        "
        for c in columns[:2]
    ]
    cpu, wall = map(mean, columns[2:])
    print(f"{name:22} {'   '.join(cells)}   {cpu:7.1f} s {wall:7.1f} s", flush=True)


def compare_networks(train, test, n_seeds):
    """Print figures of the network."""
    (X, y), (X_test, y_test) = ((halve(X), y) for X, y in (train, test))
    results = []
    for seed in range(n_seeds):
        start = process_time(), perf_counter()
        network = make_network(seed).fit(X, y)
        scores = judge(network, X_test, y_test)
        seconds = process_time() - start[0], perf_counter() - start[1]
        results.append((*scores, *seconds))
        print(
            f"    seed {seed}: AUC {scores[0]:.3f}, accuracy {scores[1]:.3f}, "
            f"{seconds[1]:.0f} s",
            flush=True,
        )
    report("3-D network", results)


def shrink(X):
    """Return the means of blocks, flattened."""
    means = blocks(X, BLOCK).mean(axis=(2, 4, 6), dtype=np.float32)
    return means.reshape(len(X), -1)


def compare_linear(train, validation, test):
    """Print figures of a logistic regression, its strength chosen by validation."""
    start = process_time(), perf_counter()
    (X, y), (X_val, y_val), (X_test, y_test) = (
        (shrink(X), y) for X, y in (train, validation, test)
    )
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000))
        for C in STRENGTHS
    ]
    best = max((m.fit(X, y) for m in models), key=lambda m: judge(m, X_val, y_val)[0])
    scores = judge(best, X_test, y_test)
    seconds = process_time() - start[0], perf_counter() - start[1]
    report("logistic regression", [(*scores, *seconds)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = data_folder()
    describe_machine()
    train, validation, test = read_adrenal(folder)
    print(f"largest memory with the data read: {peak_memory():.2f} GiB")
    print("                       AUC             accuracy        CPU time      time")
    compare_networks(train, test, arguments.seeds)
    print(f"largest memory after the fits: {peak_memory():.2f} GiB", flush=True)
    compare_linear(train, validation, test)
    print("published, simple 3-D networks: AUC 0.80-0.87")
