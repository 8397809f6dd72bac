"""The same code on a GPU."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from skcnn import CNNClassifier, CNNRegressor
from skcnn.data import ChannelScaler, Images, find_layout
from skcnn.data import images as images_module

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
PARAMS = {"n_filters": 8, "max_epochs": 3, "random_state": 0}


@pytest.fixture
def problem(rng):
    """Images whose brighter half is their label."""
    X = rng.integers(0, 100, size=(120, 10, 10), dtype=np.uint8)
    y = rng.integers(0, 2, size=120)
    X[y == 1, :5] += 100
    X[y == 0, 5:] += 100
    return X, y


def test_auto_takes_the_gpu(problem):
    clf = CNNClassifier(**PARAMS).fit(*problem)
    assert next(clf.module_.parameters()).is_cuda
    assert clf.score(*problem) > 0.9


def test_predictions_agree_with_the_cpu(problem):
    X, y = problem
    clf = CNNClassifier(**PARAMS).fit(X, y)
    on_gpu = clf.predict_proba(X)
    clf.module_.cpu()
    np.testing.assert_allclose(clf.predict_proba(X), on_gpu, atol=2e-3)


def test_same_seed_gives_nearly_the_same_model(problem):
    X, y = problem
    first, second = (
        CNNClassifier(dropout=0.2, **PARAMS).fit(X, y).predict_proba(X)
        for _ in range(2)
    )
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_images_are_moved_once_where_they_fit(problem, monkeypatch):
    X, _ = problem
    scaler = ChannelScaler(find_layout(X.shape[1:])).fit(X)
    device = torch.device("cuda", 0)
    index = torch.arange(0, 120, 7)
    resident = Images(X, scaler, device, torch.float32)
    assert resident.source.is_cuda
    assert resident.source.dtype == torch.uint8
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", 0.0)
    streamed = Images(X, scaler, device, torch.float32)
    assert not streamed.source.is_cuda
    assert torch.equal(streamed.take(index), resident.take(index))


def test_streamed_fit_works(problem, monkeypatch):
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", 0.0)
    assert CNNClassifier(**PARAMS).fit(*problem).score(*problem) > 0.9


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_other_precisions_train(problem, precision):
    clf = CNNClassifier(precision=precision, **PARAMS).fit(*problem)
    assert clf.score(*problem) > 0.9


def test_regressor_predicts_on_the_gpu(problem):
    X, _ = problem
    y = X.mean(axis=(1, 2)).astype(float)
    assert CNNRegressor(**PARAMS).fit(X, y).predict(X).shape == (120,)


def test_what_was_fitted_here_loads_without_a_gpu(problem, tmp_path):
    X, y = problem
    clf = CNNClassifier(**PARAMS).fit(X, y)
    (tmp_path / "clf.pkl").write_bytes(pickle.dumps(clf))
    np.savez(tmp_path / "X.npz", X=X, expected=clf.predict_proba(X))
    code = (
        "import pickle, numpy as np; data = np.load('X.npz');"
        "clf = pickle.load(open('clf.pkl', 'rb'));"
        "np.testing.assert_allclose("
        "clf.predict_proba(data['X']), data['expected'], atol=2e-3)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        env={"CUDA_VISIBLE_DEVICES": "", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
