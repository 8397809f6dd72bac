"""scikit-learn's callbacks see each epoch, wherever the estimator sits."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skcnn import CNNClassifier, CNNRegressor

sklearn_callback = pytest.importorskip("sklearn.callback")
ESTIMATORS = pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
SETTINGS = {
    "n_layers": 1,
    "n_filters": 4,
    "max_epochs": 3,
    "batch_size": 8,
    "image_shape": (4, 4),
    "random_state": 0,
}


def make(cls=CNNClassifier, **parameters):
    return cls(**{**SETTINGS, **parameters})


@pytest.fixture
def X(rng):
    return rng.normal(size=(40, 16)) + np.arange(40)[:, None] % 2


@pytest.fixture
def y():
    return np.arange(40) % 2


class Recorder:
    """Keeps what it is told; asks for nothing that costs time."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.calls = []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"{context.task_name} {context.task_id} begins")

    def on_fit_task_end(self, estimator, context):
        self.calls.append(f"{context.task_name} {context.task_id} ends")
        return context.task_id + 1 == self.stop_after


class ProbabilityKeeper(Recorder):
    """Keeps what the network predicts as it is after each task."""

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.calls.append(fitted_estimator.predict_proba(X))


@ESTIMATORS
def test_callbacks_hear_of_fit_and_of_each_epoch(cls, X, y):
    recorder = Recorder()
    make(cls).set_callbacks(recorder).fit(X, y)
    epochs = [f"epoch {i} {what}" for i in range(3) for what in ("begins", "ends")]
    assert recorder.calls == [
        "setup",
        "fit 0 begins",
        *epochs,
        "fit 0 ends",
        "teardown",
    ]


@ESTIMATORS
def test_a_callback_can_stop_training(cls, X, y):
    assert make(cls).set_callbacks(Recorder(stop_after=2)).fit(X, y).n_iter_ == 2


def test_a_fit_that_stops_early_closes_its_tasks(X, y):
    recorder = Recorder()
    estimator = make(early_stopping=True, tol=2, n_iter_no_change=1, max_epochs=9)
    estimator.set_callbacks(recorder).fit(X, y)
    assert estimator.n_iter_ == 3
    begun = [call for call in recorder.calls if call.endswith("begins")]
    ended = [call for call in recorder.calls if call.endswith("ends")]
    assert len(begun) == len(ended) == 4


@ESTIMATORS
def test_partial_fit_is_a_fit_of_one_epoch(cls, X, y):
    recorder = Recorder()
    classes = {"classes": [0, 1]} if cls is CNNClassifier else {}
    make(cls).set_callbacks(recorder).partial_fit(X, y, **classes)
    assert len(recorder.calls) == 6


def test_callbacks_are_closed_where_fit_fails(X, y):
    recorder = Recorder()
    estimator = make(optimizer="sgd", lr=1e30, norm=None, lr_schedule=None)
    with pytest.raises(ValueError, match="loss became"):
        estimator.set_callbacks(recorder).fit(X, y)
    assert recorder.calls[-1] == "teardown"


@pytest.mark.parametrize("weight_averaging", [None, "ema", "swa"])
def test_each_epoch_shows_the_network_that_a_fit_of_so_many_epochs_leaves(
    X, y, weight_averaging
):
    keeper = ProbabilityKeeper()
    settings = {"lr_schedule": None, "weight_averaging": weight_averaging}
    estimator = make(max_epochs=4, **settings).set_callbacks(keeper).fit(X, y)
    shown = [call for call in keeper.calls if isinstance(call, np.ndarray)]
    assert len(shown) == 5  # and fit as a whole
    np.testing.assert_array_equal(shown[-1], estimator.predict_proba(X))
    np.testing.assert_array_equal(shown[-2], shown[-1])
    if weight_averaging != "swa":  # whose last quarter depends on max_epochs
        for n_epochs in (1, 3):
            shorter = make(max_epochs=n_epochs, **settings).fit(X, y)
            np.testing.assert_array_equal(shown[n_epochs - 1], shorter.predict_proba(X))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_watching_changes_nothing(X, y, early_stopping):
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    alone = make(early_stopping=early_stopping, dropout=0.1)
    watched = clone(alone).set_callbacks(monitor).fit(X, y)
    np.testing.assert_array_equal(
        watched.predict_proba(X), alone.fit(X, y).predict_proba(X)
    )


def test_a_monitor_scores_frames_with_their_weights(X, y):
    monitor = sklearn_callback.ScoringMonitor(scoring="neg_log_loss")
    frame = pd.DataFrame(X).add_prefix("x")
    weights = np.linspace(0, 2, 40)
    estimator = make().set_callbacks(monitor).fit(frame, y, sample_weight=weights)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit", *["epoch"] * 3]
    expected = -log_loss(y, estimator.predict_proba(frame), sample_weight=weights)
    assert rows[-1]["neg_log_loss"] == pytest.approx(expected)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_callbacks_work_in_a_pipeline_in_a_search(X, y, n_jobs, capfd):
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(StandardScaler(), make().set_callbacks(monitor))
    grid = {"cnnclassifier__lr": [0.01, 0.03]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs, error_score="raise")
    bar = pytest.importorskip("rich") and sklearn_callback.ProgressBar(None)
    search.set_callbacks(bar).fit(X, y)
    rows = monitor.get_logs().data
    assert sum(row["task_name"] == "epoch" for row in rows) == (2 * 2 + 1) * 3
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    shown = capfd.readouterr().out
    assert shown.count("CNNClassifier - fit") >= 5
    assert "100%" in shown


def test_callbacks_of_skorch_work_beside(X, y):
    class Counter(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    counter, recorder = Counter(), Recorder()
    make(callbacks=[counter]).set_callbacks(recorder).fit(X, y)
    assert counter.n_epochs == 3
    assert "epoch 2 ends" in recorder.calls


WITHOUT_CALLBACKS = """
import sys, skcnn  # and what it imports of scikit-learn, which has callbacks
for name in [name for name in sys.modules if name.startswith("skcnn")]:
    del sys.modules[name]
sys.modules["sklearn.callback"] = None  # as before scikit-learn 1.9
import numpy as np
from skcnn import CNNClassifier
clf = CNNClassifier(n_layers=1, n_filters=2, max_epochs=2, verbose=1)
assert not hasattr(clf, "set_callbacks")
X = np.random.default_rng(0).normal(size=(20, 8))
clf.fit(X, np.arange(20) % 2).predict(X)
"""


@pytest.mark.slow
def test_without_scikit_learns_callbacks_verbose_shows_progress():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_CALLBACKS], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 4  # a head of two lines, two epochs
