"""Searches and extraction on a dask cluster of two processes.

The script prints

- seconds for 8 fits of about 5 s in two processes, by joblib's loky and on dask, and
  their ratio;
- the peak memory of the workers and of the scheduler's process, while features of N and
  of 10 N image files are computed and summed.

    python benchmarks/cluster.py [--only search memory]
"""

import argparse
import resource
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from _timing import describe_machine
from distributed import Client, LocalCluster
from joblib import parallel_config
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.cluster import parallel_on_dask

N_REPEATS = 3
N_FILES = 200


def start_cluster():
    """Return a new cluster of two processes of one thread."""
    return LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")


def compare_searches():
    """Print seconds of the same fits by loky and on dask, alternating."""
    X, y = load_digits(return_X_y=True)
    clf = CNNClassifier(image_shape=(8, 8), max_epochs=25, random_state=0)

    def seconds(context):
        start = perf_counter()
        with context:
            cross_val_score(clf, X, y, cv=8, n_jobs=2)
        return perf_counter() - start

    with start_cluster() as cluster, Client(cluster):
        contexts = {
            "loky": lambda: parallel_config("loky"),
            "dask": parallel_on_dask,
        }
        for context in contexts.values():  # workers import what they need
            seconds(context())
        times = {name: [] for name in contexts}
        for _ in range(N_REPEATS):
            for name, context in contexts.items():
                times[name].append(seconds(context()))
    loky, dask = (np.median(times[name]) for name in contexts)
    print(f"8 fits: loky {loky:.1f} s, dask {dask:.1f} s, ratio {dask / loky:.3f}")


def _peak():
    """Return the largest memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def compare_memory():
    """Print the memory of the processes with more and more files."""
    import dask.bag

    with TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        paths = [f"{folder}/{i}.jpg" for i in range(N_FILES)]
        for path in paths:
            pixels = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        with start_cluster() as cluster, Client(cluster) as client:
            transformer = CNNFeatureTransformer().fit(paths[:2])
            for n_times in (1, 10):
                files = dask.bag.from_sequence(paths * n_times, partition_size=50)
                total = transformer.transform(files).sum(axis=0).compute()
                assert np.isfinite(total).all()
                workers = [round(peak) for peak in client.run(_peak).values()]
                print(
                    f"{N_FILES * n_times} files: workers {workers} MB, client and "
                    f"scheduler {_peak():.0f} MB"
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=["search", "memory"])
    only = parser.parse_args().only
    describe_machine()
    if "search" in only:
        compare_searches()
    if "memory" in only:
        compare_memory()


if __name__ == "__main__":
    main()
