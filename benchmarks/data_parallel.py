"""One fit in two processes against the same fit in one, a thread for each process.

The script prints seconds of an epoch of "resnet20" on images of 32 x 32 pixels, in turn
by one process and by two, and the ratio of their medians.

    python benchmarks/data_parallel.py
"""

import os
import subprocess
import sys
from time import perf_counter

import numpy as np
from _timing import describe_machine

from skcnn import CNNClassifier
from skcnn.cluster import data_parallel

N_REPEATS = 3
N_SAMPLES = 1024
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def fit():
    """Print seconds of a fit in the process of rank 0."""
    X = np.random.default_rng(0).random((N_SAMPLES, 32, 32, 3), dtype="float32")
    y = np.arange(N_SAMPLES) % 10
    clf = CNNClassifier("resnet20", max_epochs=1, batch_size=128, random_state=0)
    with data_parallel() as rank:
        clf.fit(X[:128], y[:128])  # start the processes' connection
        start = perf_counter()
        clf.fit(X, y)
    if rank == 0:
        print(perf_counter() - start)


def seconds(n_processes):
    """Return seconds of a fit in so many processes."""
    done = subprocess.run(
        [*LAUNCHER, f"--nproc-per-node={n_processes}", __file__, "fit"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    if sys.argv[1:] == ["fit"]:
        fit()
    else:
        describe_machine()
        times = [[seconds(n) for n in (1, 2)] for _ in range(N_REPEATS)]
        one, two = np.median(times, axis=0)
        print(f"one process {one:.1f} s, two {two:.1f} s, ratio {two / one:.2f}")
