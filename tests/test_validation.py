"""Validation data, held out or given, and stopping by their score."""

import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skcnn import CNNClassifier, CNNRegressor

SETTINGS = {
    "n_layers": 1,
    "n_filters": 4,
    "max_epochs": 6,
    "batch_size": 8,
    "random_state": 0,
}
ESTIMATORS = pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])


def make(cls, **parameters):
    return cls(**{**SETTINGS, **parameters})


def make_data(cls, n_samples=80, seed=0):
    """Return noisy images whose left half is as bright as the target says."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n_samples) % 2
    X = rng.normal(size=(n_samples, 8, 8))
    X[:, :, :4] += 0.7 * codes[:, None, None]
    return X, codes if cls is CNNClassifier else codes + rng.normal(size=n_samples) / 9


@pytest.fixture
def data():
    return make_data(CNNClassifier)


@pytest.fixture
def held_out():
    return make_data(CNNClassifier, 60, seed=1)


def outputs(estimator, X):
    return getattr(estimator, "predict_proba", estimator.predict)(X)


class Spy:
    """A callback of scikit-learn's that keeps the data of each epoch."""

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        self.seen.append((X, y))


# What is recorded


@ESTIMATORS
@pytest.mark.parametrize("weighted", [False, True])
def test_given_data_are_scored_after_each_epoch(cls, weighted):
    X_val, y_val = make_data(cls, 30, seed=1)
    weights = np.linspace(0, 2, 30) if weighted else None
    estimator = make(cls).fit(
        *make_data(cls), X_val=X_val, y_val=y_val, sample_weight_val=weights
    )
    scores = estimator.validation_scores_
    assert len(scores) == estimator.n_iter_ == 6
    metric = accuracy_score if cls is CNNClassifier else r2_score
    expected = metric(y_val, estimator.predict(X_val), sample_weight=weights)
    assert scores[-1] == pytest.approx(expected, abs=1e-6)
    assert estimator.best_validation_score_ == max(scores)
    assert scores == [row["valid_score"] for row in estimator.history_]


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2, 60)])
def test_the_loss_of_classifiers_is_the_cross_entropy(data, held_out, weights):
    X_val, y_val = held_out
    estimator = make(CNNClassifier, label_smoothing=0.3).fit(
        *data, X_val=X_val, y_val=y_val, sample_weight_val=weights
    )
    expected = log_loss(y_val, estimator.predict_proba(X_val), sample_weight=weights)
    assert estimator.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_regressors_is_in_units_of_the_variance_of_y():
    X, y = make_data(CNNRegressor)
    X_val, y_val = make_data(CNNRegressor, 30, seed=1)
    estimator = make(CNNRegressor).fit(X, y, X_val=X_val, y_val=y_val)
    expected = np.mean((estimator.predict(X_val) - y_val) ** 2) / y.var()
    assert estimator.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


@ESTIMATORS
def test_data_that_are_only_watched_change_nothing(cls):
    X, y = make_data(cls)
    X_val, y_val = make_data(cls, 30, seed=1)
    alone = make(cls, dropout=0.2).fit(X, y)
    watched = make(cls, dropout=0.2).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(outputs(alone, X), outputs(watched, X))
    assert alone.validation_scores_ is None
    assert alone.best_validation_score_ is None


def test_class_weights_count_in_the_score(data, held_out):
    X_val, y_val = held_out
    estimator = make(CNNClassifier, class_weight={0: 1, 1: 3})
    estimator.fit(*data, X_val=X_val, y_val=y_val)
    expected = accuracy_score(
        y_val, estimator.predict(X_val), sample_weight=1 + 2 * y_val
    )
    assert estimator.validation_scores_[-1] == pytest.approx(expected)


# Holding out


@ESTIMATORS
def test_what_is_held_out_is_not_trained_on(cls):
    pytest.importorskip("sklearn.callback")
    X, y = make_data(cls)
    spy = Spy()
    estimator = make(cls, early_stopping=True, validation_fraction=0.25)
    estimator.set_callbacks(spy).fit(X, y)
    for X_train, y_train in spy.seen:
        assert len(X_train) == len(y_train) == 60
        if cls is CNNClassifier:
            assert np.bincount(y_train).tolist() == [30, 30]
    np.testing.assert_allclose(estimator.scaler_.mean_, X_train.mean(), rtol=1e-6)


@ESTIMATORS
def test_the_split_comes_from_the_random_state(cls):
    X, y = make_data(cls)
    fits = [make(cls, early_stopping=True).fit(X, y) for _ in range(2)]
    assert fits[0].validation_scores_ == fits[1].validation_scores_
    np.testing.assert_array_equal(outputs(fits[0], X), outputs(fits[1], X))


@ESTIMATORS
def test_samples_without_weight_are_not_held_out(cls):
    X, y = make_data(cls)
    weights = np.ones(len(X))
    weights[::3] = 0
    wrong = np.where(weights > 0, y, 1 - y)
    estimator = make(cls, early_stopping=True).fit(X, wrong, weights)
    keep = weights > 0
    same = make(cls, early_stopping=True).fit(X[keep], y[keep])
    if cls is CNNClassifier:
        assert estimator.validation_scores_ == same.validation_scores_
        np.testing.assert_array_equal(outputs(estimator, X), outputs(same, X))
    else:
        np.testing.assert_allclose(
            estimator.validation_scores_, same.validation_scores_, rtol=1e-4
        )


@ESTIMATORS
def test_arrays_that_torch_cannot_share_can_be_split(cls):
    X, y = make_data(cls)
    expected = make(cls, early_stopping=True).fit(X, y)
    X = X.copy()
    X.flags.writeable = False
    estimator = make(cls, early_stopping=True).fit(X, y)
    assert estimator.validation_scores_ == expected.validation_scores_


@pytest.mark.parametrize(
    ("y", "fraction"),
    [
        ((np.arange(20) == 3).astype(int), 0.1),  # one member
        (np.zeros(5, dtype=int), 0.1),  # 1 sample
    ],
)
def test_too_few_samples_to_split_are_refused_in_the_words_of_mlp(y, fraction):
    X = np.random.default_rng(0).normal(size=(len(y), 64))
    stopping = {"early_stopping": True, "validation_fraction": fraction}
    pytest.importorskip("sklearn", minversion="1.9")  # whose words they are
    with pytest.raises(ValueError) as expected:  # noqa: PT011, whatever it says
        MLPClassifier(**stopping).fit(X, y)
    words = str(expected.value).partition(" Classes with")[0]  # MLP names codes
    with pytest.raises(ValueError, match=re.escape(words)):
        make(CNNClassifier, **stopping).fit(X.reshape(-1, 8, 8), y)


def test_the_class_that_is_too_small_is_named():
    pytest.importorskip("sklearn", minversion="1.9")
    X, y = make_data(CNNClassifier, 20)
    y = np.where(np.arange(20) == 3, "rare", "common")
    with pytest.raises(ValueError, match="rare"):
        make(CNNClassifier, early_stopping=True).fit(X, y)


def test_fewer_samples_to_hold_out_than_classes_are_refused():
    X, _ = make_data(CNNClassifier, 20)
    estimator = make(CNNClassifier, early_stopping=True, validation_fraction=0.2)
    with pytest.raises(ValueError, match=r"test_size = 4 .* number of classes = 10"):
        estimator.fit(X, np.arange(20) % 10)


# Stopping


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_when_mlp_stops(data, patience):
    X, y = data
    stopping = {
        "early_stopping": True,
        "tol": 2.0,  # no epoch but the first improves
        "n_iter_no_change": patience,
        "random_state": 0,
    }
    mlp = MLPClassifier(**stopping).fit(X.reshape(len(X), -1), y)
    estimator = make(CNNClassifier, max_epochs=20, **stopping).fit(X, y)
    assert estimator.n_iter_ == mlp.n_iter_ == patience + 2


@ESTIMATORS
def test_the_best_epoch_is_restored(cls):
    X_val, y_val = make_data(cls, 60, seed=1)
    estimator = make(
        cls,
        early_stopping=True,
        lr=0.1,
        lr_schedule=None,
        max_epochs=15,
        n_iter_no_change=15,
    )
    estimator.fit(*make_data(cls), X_val=X_val, y_val=y_val)
    scores = np.array(estimator.validation_scores_)
    assert scores[-1] < scores.max()  # or this test shows nothing
    assert estimator.score(X_val, y_val) == pytest.approx(scores.max(), abs=1e-5)
    if cls is CNNClassifier:
        losses = np.array([row["valid_loss"] for row in estimator.history_])
        assert log_loss(y_val, estimator.predict_proba(X_val)) == pytest.approx(
            losses[scores == scores.max()].min(), rel=1e-5
        )


def test_given_data_stop_instead_of_held_out_ones(data, held_out):
    X_val, y_val = held_out
    right = make(CNNClassifier, early_stopping=True, max_epochs=12, n_iter_no_change=1)
    wrong = clone(right).fit(*data, X_val=X_val, y_val=1 - y_val)
    right.fit(*data, X_val=X_val, y_val=y_val)
    assert wrong.n_iter_ < right.n_iter_
    assert right.best_validation_score_ > 0.8 > wrong.best_validation_score_


@ESTIMATORS
def test_a_warm_start_keeps_the_split_and_a_better_network(cls):
    X, y = make_data(cls)
    estimator = make(cls, early_stopping=True, warm_start=True, max_epochs=20)
    estimator.set_params(weight_decay=0.01).fit(X, y)
    before, score = outputs(estimator, X), estimator.best_validation_score_
    n_epochs = estimator.n_iter_
    estimator.set_params(lr=10.0, max_epochs=2, lr_schedule=None).fit(X, y)
    assert estimator.n_iter_ == n_epochs + 2
    assert max(estimator.validation_scores_[-2:]) < score  # or nothing is shown
    np.testing.assert_array_equal(outputs(estimator, X), before)


@ESTIMATORS
def test_partial_fit_does_not_stop_early(cls):
    X, y = make_data(cls)
    classes = {"classes": [0, 1]} if cls is CNNClassifier else {}
    estimator = make(cls, early_stopping=True)
    with pytest.raises(
        ValueError, match="partial_fit does not support early_stopping=True"
    ):
        estimator.partial_fit(X, y, **classes)


@ESTIMATORS
def test_plateau_goes_by_the_validation_score(cls):
    X, y = make_data(cls)
    estimator = make(cls, lr_schedule="plateau", tol=10, max_epochs=9)
    estimator.fit(X, y, X_val=X, y_val=y)
    lr = estimator.net_.optimizer_.param_groups[0]["lr"]
    assert lr == pytest.approx(estimator.lr * 0.2**2)


# What is refused


@ESTIMATORS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_val": None}, "y_val is missing"),
        ({"X_val": None}, "X_val is missing"),
        ({"X_val": None, "y_val": None, "sample_weight_val": [1]}, "X_val is missing"),
        ({"X_val": np.zeros((4, 8, 9))}, r"X_val and y_val: .*\(8, 9\).*\(8, 8\)"),
        ({"X_val": np.full((4, 8, 8), np.nan)}, "X_val and y_val: .*NaN"),
        ({"X_val": np.zeros((3, 8, 8))}, "X_val and y_val: .*inconsistent numbers"),
        ({"X_val": np.zeros((1, 8, 8)), "y_val": [1]}, "at least 2"),
        ({"sample_weight_val": [-1, 1, 1, 1]}, "X_val and y_val: .*[Nn]egative"),
        ({"sample_weight_val": np.nan}, "X_val and y_val: .*weight contains NaN"),
        ({"sample_weight_val": [0, 0, 0, 1]}, "at least 2"),
    ],
)
def test_validation_data_that_do_not_suit_are_refused(cls, change, message):
    good = {"X_val": np.zeros((4, 8, 8)), "y_val": [0, 1, 0, 1]}
    estimator = make(cls)
    with pytest.raises(ValueError, match=message):
        estimator.fit(*make_data(cls), **{**good, **change})
    with pytest.raises(NotFittedError):
        estimator.predict(good["X_val"])


def test_labels_that_y_does_not_have_are_refused(data, held_out):
    with pytest.raises(ValueError, match=r"X_val and y_val: .*\[6 7\].*\[0 1\]"):
        make(CNNClassifier).fit(*data, X_val=held_out[0], y_val=held_out[1] + 6)


def test_another_number_of_outputs_is_refused():
    X, y = make_data(CNNRegressor)
    with pytest.raises(ValueError, match="X_val and y_val: y has 1 outputs"):
        make(CNNRegressor).fit(X, np.stack([y, y], axis=1), X_val=X, y_val=y)


def test_other_feature_names_are_refused():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 8))).add_prefix("x")
    y = np.arange(20) % 2
    with pytest.raises(ValueError, match=r"X_val and y_val: .*feature names"):
        make(CNNClassifier).fit(X, y, X_val=X.add_prefix("x"), y_val=y)


# Inside scikit-learn's tools


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("search", [False, True])
def test_a_pipeline_transforms_the_validation_data(data, held_out, search):
    (X, y), (X_val, y_val) = data, held_out
    cnn = make(CNNClassifier, early_stopping=True)
    expected = clone(cnn).fit(-X, y, X_val=-X_val, y_val=y_val).validation_scores_
    mistaken = clone(cnn).fit(-X, y, X_val=X_val, y_val=y_val).validation_scores_
    assert expected != mistaken
    pipeline = Pipeline(
        [
            ("negative", FunctionTransformer(np.negative)),
            ("cnn", cnn.set_fit_request(X_val=True, y_val=True)),
        ],
        transform_input=["X_val"],
    )
    if search:
        grid = {"cnn__lr": [cnn.lr]}
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
        pipeline = search.fit(X, y, X_val=X_val, y_val=y_val).best_estimator_
    else:
        pipeline.fit(X, y, X_val=X_val, y_val=y_val)
    assert pipeline[-1].validation_scores_ == expected
