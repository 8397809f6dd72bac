"""Searches in processes and threads: the same results, no more threads than cores."""

import os
import pickle
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_predict
from skorch.callbacks import Callback

from skcnn import CNNClassifier, CNNRegressor
from skcnn.runtime.threads import SMALL_BATCH_FLOPS

# The small one trains on one thread, the large one on as many as there are.
NETWORKS = {
    "small": {"n_layers": 1, "n_filters": 8, "batch_size": 64, "max_epochs": 3},
    "large": {"n_layers": 2, "n_filters": 64, "batch_size": 128, "max_epochs": 2},
}
GRID = {"lr": [0.003, 0.01]}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400].reshape(-1, 8, 8), y[:400]


def make_model(network, cls=CNNClassifier, **params):
    return cls(**NETWORKS[network], device="cpu", random_state=0, **params)


def make_recorder(folder):
    """Return a callback, local so that it travels to workers by value."""

    class Recorder(Callback):
        def on_train_begin(self, net, **kwargs):
            name = f"{os.getpid()}-{torch.get_num_threads()}-{uuid.uuid4()}"
            (folder / name).touch()

    return Recorder()


def read_records(folder):
    """Return the process and the number of threads of each fit."""
    return [tuple(map(int, path.name.split("-")[:2])) for path in folder.iterdir()]


def search(network, X, y, n_jobs, folder):
    """Search for the learning rate; workers read X from a memory map."""
    grid_search = GridSearchCV(
        make_model(network, callbacks=[make_recorder(folder)]),
        GRID,
        cv=2,
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
        n_jobs=n_jobs,
        error_score="raise",
    )
    with joblib.parallel_config(backend="loky", max_nbytes=10_000):
        return grid_search.fit(X, y)


def split_scores(search):
    """Return the score of each scorer, fold and candidate."""
    names = sorted(name for name in search.cv_results_ if name.startswith("split"))
    return np.stack([search.cv_results_[name] for name in names])


@pytest.fixture(scope="module")
def free_threads():
    """Two threads in this process where it has two cores; workers choose theirs."""
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for name in THREAD_VARIABLES:
            patch.delenv(name, raising=False)
        torch.set_num_threads(min(2, joblib.cpu_count()))
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module", params=[2, -1], ids="n_jobs={}".format)
def n_jobs(request):
    return request.param


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return request.param


@pytest.fixture(scope="module")
def serial(network, digits, free_threads, tmp_path_factory):
    return search(network, *digits, 1, tmp_path_factory.mktemp("serial"))


@pytest.fixture(scope="module")
def parallel(n_jobs, network, digits, free_threads, tmp_path_factory):
    """A search in processes, and what its fits recorded."""
    folder = tmp_path_factory.mktemp("parallel")
    return search(network, *digits, n_jobs, folder), read_records(folder)


@pytest.mark.slow
def test_networks_are_on_their_side_of_the_floor(serial, network):
    net = serial.best_estimator_.net_
    is_large = net.flops_ * net.batch_size >= SMALL_BATCH_FLOPS
    assert is_large == (network == "large")


@pytest.mark.slow
@pytest.mark.numerics
def test_search_in_processes_is_equal(serial, parallel, network, n_jobs, digits):
    X, _ = digits
    search, _ = parallel
    assert search.best_params_ == serial.best_params_
    if network == "small":
        assert np.array_equal(search.predict_proba(X), serial.predict_proba(X))
        assert np.array_equal(split_scores(search), split_scores(serial))
    else:  # workers have fewer threads
        np.testing.assert_allclose(
            search.predict_proba(X), serial.predict_proba(X), atol=0.02
        )


@pytest.mark.slow
def test_workers_times_threads_stay_within_the_cores(parallel, n_jobs):
    n_workers = joblib.effective_n_jobs(n_jobs)
    if n_workers == 1:
        pytest.skip("one core, one process")
    _, records = parallel
    threads = [n_threads for pid, n_threads in records if pid != os.getpid()]
    assert len(threads) == 4  # two candidates, two folds
    assert n_workers * max(threads) <= joblib.cpu_count()


FORK = """
import multiprocessing, sys
import joblib
import numpy as np
import torch
from sklearn.model_selection import cross_val_score
from skcnn import CNNClassifier, CNNFeatureTransformer

torch.set_num_threads(2)
X, y = np.random.default_rng(0).random((200, 28, 28)), np.arange(200) % 3
clf = CNNClassifier(max_epochs=1, precision="float64", random_state=0)
score = cross_val_score(clf, X, y, cv=2)
expected = clf.fit(X, y).predict_proba(X)
transformer = CNNFeatureTransformer(clf).fit(X)
features = transformer.transform(X)


def compute():
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-6)
    np.testing.assert_allclose(transformer.transform(X), features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), expected, rtol=1e-5)


child = multiprocessing.get_context("fork").Process(target=compute)
child.start()
child.join()
assert child.exitcode == 0
with joblib.parallel_config("multiprocessing"):
    assert np.array_equal(cross_val_score(clf, X, y, cv=2, n_jobs=2), score)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_compute_the_same():
    """Threads of the process that was copied are not there to wait for."""
    options = {"timeout": 300, "check": True}
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], **options)


@pytest.mark.slow
def test_regressor_is_equal_in_processes(digits, free_threads):
    X, y = digits
    model = make_model("small", CNNRegressor)
    with joblib.parallel_config(backend="loky", max_nbytes=10_000):
        outputs = [cross_val_predict(model, X, y, cv=2, n_jobs=n) for n in (1, -1)]
    assert np.array_equal(*outputs)


def test_search_in_threads_is_equal(digits):
    X, y = digits
    scores = []
    for n in (1, 2):
        with joblib.parallel_config(backend="threading"):
            search = GridSearchCV(
                make_model("small"), GRID, cv=2, scoring="neg_log_loss", n_jobs=n
            ).fit(X, y)
        scores.append(split_scores(search))
    assert np.array_equal(*scores)


IN_A_FORK = """
import multiprocessing

import numpy as np
import torch

from skcnn import CNNClassifier

X = np.random.default_rng(0).normal(size=(64, 16, 16, 3))
model = CNNClassifier(n_layers=2, batch_size=64, max_epochs=1, random_state=0)
model.set_params(device="cpu")
y = np.arange(64) % 3


def fit_in_fork():
    torch.set_num_threads(1)
    model.fit(X, y)


torch.set_num_threads(4)
torch.randn(500, 500) @ torch.randn(500, 500)
process = multiprocessing.get_context("fork").Process(target=fit_in_fork, daemon=True)
process.start()
process.join(60)
assert process.exitcode == 0, process.exitcode
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks lose OpenMP's threads")
def test_a_fork_can_fit_on_one_thread():
    subprocess.run([sys.executable, "-c", IN_A_FORK], check=True)


class Failure(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise OSError("no epoch ends")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_fit_leaves_the_number_of_threads(network, n_threads, digits, set_threads):
    set_threads(n_threads)
    X, y = digits
    model = make_model(network).set_params(max_epochs=1).fit(X[:128], y[:128])
    assert torch.get_num_threads() == n_threads
    with pytest.raises(OSError, match="no epoch ends"):
        model.set_params(callbacks=[Failure()]).fit(X[:128], y[:128])
    assert torch.get_num_threads() == n_threads


def test_fits_in_threads_leave_the_number_of_threads(digits, set_threads):
    set_threads(3)
    X, y = digits
    model = make_model("small").set_params(max_epochs=1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: clone(model).fit(X, y), range(16)))
        counts = list(pool.map(lambda _: torch.get_num_threads(), range(16)))
    assert set(counts) == {3}
    assert torch.get_num_threads() == 3


PREDICT = """
import sys, joblib
X, *models = map(joblib.load, sys.argv[2:])
outputs = [getattr(model, "predict_proba", model.predict)(X) for model in models]
joblib.dump(outputs, sys.argv[1])
"""


@pytest.mark.slow
def test_pickled_estimators_predict_the_same_in_a_new_process(digits, tmp_path):
    X, y = digits
    models = [
        make_model("small").fit(X, y),
        make_model("large", CNNRegressor).fit(X, y),
    ]
    paths = [tmp_path / f"{number}.pkl" for number in range(5)]
    joblib.dump(X, paths[0])
    for number, model in enumerate(models):
        paths[2 * number + 1].write_bytes(pickle.dumps(model))
        joblib.dump(model, paths[2 * number + 2])
    command = [sys.executable, "-c", PREDICT, tmp_path / "outputs.pkl", *paths]
    subprocess.run(command, check=True)
    outputs = joblib.load(tmp_path / "outputs.pkl")
    assert len(outputs) == 4
    assert all(np.array_equal(models[0].predict_proba(X), out) for out in outputs[:2])
    assert all(np.array_equal(models[1].predict(X), out) for out in outputs[2:])
