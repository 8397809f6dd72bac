"""Finished fits that are loaded: the same bits, by all that a fit depends on."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import EpochTimer

import skcnn._base.stored_fits as stored_fits
from skcnn import (
    CNNClassifier,
    CNNRegressor,
    FineTunedClassifier,
    TextCNNClassifier,
    clear_cache,
)

SMALL = {"n_layers": 1, "n_filters": 4, "batch_size": 32, "max_epochs": 2}
FILMS = ["a good film", "a bad film", "good fun", "bad luck"] * 5
VECTORS = {"good": [1.0, 0.5], "bad": [-1.0, 0.5]}
ESTIMATORS = {
    "classifier": CNNClassifier(**SMALL, early_stopping=True, dropout=0.5),
    "regressor": CNNRegressor(**SMALL),
    "head": FineTunedClassifier(
        "resnet20", weights=None, trainable="head", max_epochs=1, head_epochs=2
    ),
    "text": TextCNNClassifier(VECTORS, mode="static", n_filters=2, max_epochs=2),
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:100].reshape(-1, 8, 8), y[:100]


@pytest.fixture
def n_trained(monkeypatch):
    """A function that returns the number of fits that were not loaded."""
    kept = []
    keep = stored_fits.StoredFit.keep
    monkeypatch.setattr(
        stored_fits.StoredFit, "keep", lambda self: keep(self) or kept.append(self)
    )
    return lambda: len(kept)


def small(folder, **params):
    return CNNClassifier(**{**SMALL, "random_state": 0, "memory": folder, **params})


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_stored_fit_is_the_fit_to_the_bit(kind, digits, tmp_path, n_trained):
    X, y = digits if kind != "text" else (FILMS, [1, 0] * 10)
    model = clone(ESTIMATORS[kind]).set_params(random_state=3, memory=tmp_path)
    trained, loaded = clone(model).fit(X, y), clone(model).fit(X, y)
    assert n_trained() == 1
    assert loaded.history_ == trained.history_
    assert vars(loaded).keys() == vars(trained).keys()
    outputs = getattr(loaded, "predict_proba", loaded.predict)
    expected = getattr(trained, "predict_proba", trained.predict)
    np.testing.assert_array_equal(outputs(X), expected(X))
    if loaded.early_stopping:
        return
    for further in loaded, trained:  # the optimiser goes on where it was
        further.partial_fit(X, y)
    np.testing.assert_array_equal(outputs(X), expected(X))


def changes(X, y):
    """Yield what is different in another fit: parameters, and arguments of fit."""
    other = X.copy()
    other[-1, 0, 0] += 1
    yield {"lr": 0.01}, {}
    yield {"random_state": 1}, {}
    yield {"activation": torch.nn.Tanh}, {}
    yield {"augmentation": lambda batch, generator: batch + 1}, {}
    yield {"augmentation": lambda batch, generator: batch + 2}, {}
    yield {}, {"X": other}
    yield {}, {"y": y[::-1]}
    yield {}, {"X": X.astype("float32")}
    yield {}, {"sample_weight": np.arange(1, len(y) + 1)}
    yield {}, {"X_val": X[:20], "y_val": y[:20]}
    yield {}, {"X_val": X[:30], "y_val": y[:30]}


def test_another_fit_is_not_mistaken_for_a_stored_one(digits, tmp_path, n_trained):
    X, y = digits
    small(tmp_path).fit(X, y)
    different = list(changes(X, y))
    for parameters, arguments in different:
        small(tmp_path, **parameters).fit(**{"X": X, "y": y, **arguments})
    assert n_trained() == 1 + len(different)
    for parameters, arguments in different:
        small(tmp_path, **parameters).fit(**{"X": X, "y": y, **arguments})
    small(tmp_path).fit(np.asfortranarray(X), list(y))
    assert n_trained() == 1 + len(different)


@pytest.mark.parametrize(
    "parameters",
    [
        {"random_state": None},
        {"random_state": np.random.RandomState(0)},
        {"callbacks": [EpochTimer()]},
        {"memory": None},
    ],
    ids=["unseeded", "generator", "callbacks", "no folder"],
)
def test_a_fit_that_cannot_be_repeated_is_not_stored(parameters, digits, tmp_path):
    small(**{"folder": tmp_path, **parameters}).fit(*digits) if (
        "memory" not in parameters
    ) else small(None).fit(*digits)
    assert not list(tmp_path.glob("fit-*"))


def test_a_warm_start_goes_on_from_a_stored_fit(digits, tmp_path, n_trained):
    small(tmp_path).fit(*digits)
    model = small(tmp_path, warm_start=True).fit(*digits)
    assert model.fit(*digits).n_iter_ == 2 * SMALL["max_epochs"]
    assert n_trained() == 1 + 1  # `warm_start` is a parameter like others


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None], ids=["empty", "x", "cut"])
def test_a_damaged_fit_is_repeated(damage, digits, tmp_path, n_trained):
    expected = small(tmp_path).fit(*digits).predict_proba(digits[0])
    (path,) = tmp_path.glob("fit-*.pickle")
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    with pytest.warns(UserWarning, match="was damaged"):
        model = small(tmp_path).fit(*digits)
    np.testing.assert_array_equal(model.predict_proba(digits[0]), expected)
    small(tmp_path).fit(*digits)
    assert n_trained() == 2


def test_a_folder_that_others_may_write_to_is_not_read(digits, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.warns(UserWarning, match="store of fits .* cannot be used"):
        small(tmp_path).fit(*digits)
    assert not list(tmp_path.glob("fit-*.pickle"))


def test_clearing_removes_fits(digits, tmp_path):
    small(tmp_path).fit(*digits)
    clear_cache(tmp_path)
    assert not list(tmp_path.glob("fit-*"))


# Searches that are killed

SCRIPT = """
import sys, pickle
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
import skcnn._base.stored_fits as stored_fits
from skcnn import CNNClassifier

class Recording(stored_fits.StoredFit):
    def keep(self):
        super().keep()
        print(self.key, flush=True)

stored_fits.StoredFit = Recording
X, y = load_digits(return_X_y=True)
X, y = X[:300].reshape(-1, 8, 8), y[:300]
model = CNNClassifier(n_layers=1, n_filters=8, batch_size=16, max_epochs=3,
                      random_state=0, memory=sys.argv[1])
search = GridSearchCV(make_pipeline(FunctionTransformer(), model),
                      {"cnnclassifier__lr": [0.001, 0.003, 0.01]}, cv=3,
                      scoring="neg_log_loss")
while sys.stdin.readline():
    search.fit(X, y)
    scores = [search.cv_results_[f"split{i}_test_score"] for i in range(3)]
    print("scores", np.stack(scores).tobytes().hex(), flush=True)
"""


def run_search(folder, kill_after=None):
    """Search; return the keys of the fits that were trained, and the scores."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdin.write("go\n")
    process.stdin.flush()
    lines = []
    while kill_after is None or len(lines) < kill_after[0]:
        line = process.stdout.readline()
        lines.append(line.strip())
        if line.startswith("scores") or not line:
            break
    if kill_after is not None:
        time.sleep(kill_after[1])
        os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    lines += rest.split("\n")
    keys = [line for line in lines if len(line) == 64]
    scores = [line for line in lines if line.startswith("scores")]
    return keys, scores


@pytest.mark.slow
def test_a_killed_search_repeats_only_what_was_running(tmp_path, rng):
    expected_keys, expected = run_search(tmp_path / "undisturbed")
    assert len(set(expected_keys)) == len(expected_keys) == 10
    n_trained, scores = [], []
    for n_fits in (1, 4, 8):
        keys, _ = run_search(tmp_path / "killed", (n_fits, rng.uniform(0, 0.1)))
        n_trained += keys
    keys, scores = run_search(tmp_path / "killed")
    n_trained += keys
    assert scores == expected
    assert sorted(n_trained) == sorted(expected_keys)


@pytest.mark.slow
def test_searches_in_two_processes_share_their_fits(tmp_path, digits):
    X, y = digits
    model = make_pipeline(FunctionTransformer(), small(tmp_path, max_epochs=3))
    grid = {"cnnclassifier__lr": [0.001, 0.01]}
    once = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    n_files = len(list(tmp_path.glob("fit-*.pickle")))
    twice = GridSearchCV(model, grid, cv=2, n_jobs=2, scoring="neg_log_loss").fit(X, y)
    np.testing.assert_array_equal(
        once.cv_results_["mean_test_score"], twice.cv_results_["mean_test_score"]
    )
    assert len(list(tmp_path.glob("fit-*.pickle"))) == n_files == 5
