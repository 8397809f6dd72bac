"""Searches on a dask cluster: the scores of one process, even if workers are lost."""

import os
import signal
import time
from threading import Thread

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.cluster import parallel_on_dask

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # sockets of dask that are closed when they are collected
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
N_WORKERS = 2
GRID = {"lr": [0.001, 0.002, 0.004, 0.008, 0.016, 0.032]}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300].reshape(-1, 8, 8), y[:300]


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": N_WORKERS, "threads_per_worker": 1}
    with (
        distributed.LocalCluster(dashboard_address=":0", **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def search(model, grid, X, y):
    fitted = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss", refit=False)
    results = fitted.fit(X, y).cv_results_
    return np.stack([results[f"split{i}_test_score"] for i in range(3)])


def small(**params):
    return CNNClassifier(
        n_layers=1, n_filters=4, max_epochs=4, random_state=0, **params
    )


def test_a_worker_that_is_killed_changes_no_score(client, digits, tmp_path):
    expected = search(small(), GRID, *digits)
    pid = next(iter(client.run(os.getpid).values()))

    def kill_after_the_first_fit():
        while not any(tmp_path.glob("fit-*.pickle")):
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    killer = Thread(target=kill_after_the_first_fit)
    killer.start()
    with parallel_on_dask(client):
        scores = search(small(memory=tmp_path), GRID, *digits)
    killer.join()
    np.testing.assert_array_equal(scores, expected)
    client.wait_for_workers(N_WORKERS)
    assert pid not in client.run(os.getpid).values()


def test_workers_have_no_more_threads_than_cores(client):
    n_threads = client.run(torch.get_num_threads)
    assert sum(n_threads.values()) <= max(N_WORKERS, os.cpu_count())


def make_counter(path):
    """Return a function, local so that it travels by value, that counts forwards."""

    def count():
        from skcnn.features import CachedFeatures

        def compute(cached, compute=CachedFeatures.compute):
            features = compute(cached)
            with open(path, "a") as file:
                file.write(f"{cached.n_computed}\n")
            return features

        CachedFeatures.compute = compute

    return count


def test_workers_compute_each_feature_once(client, digits, tmp_path):
    X, y = (digits[0] * 15).astype(np.uint8), digits[1]
    transformer = CNNFeatureTransformer(image_size=32, memory=tmp_path / "cache")
    model = make_pipeline(transformer, LogisticRegression(max_iter=5000))
    client.run(make_counter(tmp_path / "n_computed"))
    with parallel_on_dask(client):
        search(model, {"logisticregression__C": [0.1, 1.0]}, X, y)
    n_computed = map(int, (tmp_path / "n_computed").read_text().split())
    assert sum(n_computed) == len(np.unique(X, axis=0))
