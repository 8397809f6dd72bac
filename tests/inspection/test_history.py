"""Histories of training, by epoch."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.inspection import HistoryDisplay

X, y = load_digits(return_X_y=True)
X, y = X[:150], y[:150]
TINY = {"n_layers": 1, "n_filters": 4, "image_shape": (8, 8), "random_state": 0}


@pytest.fixture(scope="module")
def stopped():
    network = CNNClassifier(**TINY, max_epochs=6, early_stopping=True)
    return network.fit(X, y)


def test_data_are_those_of_the_estimator(stopped):
    display = HistoryDisplay.from_estimator(stopped)
    (history,) = display.histories.values()
    np.testing.assert_array_equal(history["train_loss"], stopped.loss_curve_)
    np.testing.assert_array_equal(history["valid_score"], stopped.validation_scores_)
    scores = np.array(stopped.validation_scores_)
    best = scores == scores.max()
    losses = np.where(best, history["valid_loss"], np.inf)
    assert display.best_epochs == {"CNNClassifier": 1 + losses.argmin()}
    losses, scores = display.axes_
    train, valid, _ = losses.lines[:3]
    np.testing.assert_array_equal(train.get_ydata(), stopped.loss_curve_)
    np.testing.assert_array_equal(valid.get_ydata(), history["valid_loss"])
    np.testing.assert_array_equal(scores.lines[0].get_ydata(), history["valid_score"])
    star = scores.lines[1]
    assert star.get_xdata() == display.best_epochs["CNNClassifier"]


def test_without_validation_data_there_are_losses_alone():
    network = CNNClassifier(**TINY, max_epochs=2).fit(X, y)
    display = HistoryDisplay.from_estimator(network)
    assert len(display.axes_) == 1
    assert display.best_epochs == {}


def test_several_estimators_in_given_axes(stopped):
    features = CNNFeatureTransformer(stopped)
    pipeline = make_pipeline(MinMaxScaler(), features, LogisticRegression())
    figure, ax = plt.subplots()
    display = HistoryDisplay.from_estimator({"a": stopped, "b": pipeline}, ax=ax)
    assert display.figure_ is figure
    assert display.histories.keys() == {"a", "b"}
    np.testing.assert_equal(display.histories["a"], display.histories["b"])
    names = HistoryDisplay.from_estimator([stopped, stopped]).histories
    assert list(names) == ["CNNClassifier 1", "CNNClassifier 2"]


def test_candidates_of_a_search():
    pipeline = make_pipeline(MinMaxScaler(), CNNClassifier(**TINY, max_epochs=2))
    grid = {"cnnclassifier__lr": [1e-5, 0.03, 0.01]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    best = HistoryDisplay.from_estimator(search)
    assert list(best.histories) == ["Pipeline"]
    display = HistoryDisplay.from_estimator(search, X, y, n_candidates=2)
    ranks = search.cv_results_["rank_test_score"]
    order = np.argsort(ranks, kind="stable")[:2]
    expected = [f"lr={grid['cnnclassifier__lr'][i]}" for i in order]
    assert list(display.histories) == expected
    refitted, again = (best.histories["Pipeline"], display.histories[expected[0]])
    np.testing.assert_allclose(again["train_loss"], refitted["train_loss"], rtol=1e-5)


@pytest.mark.parametrize("estimator", [LogisticRegression(), CNNClassifier()])
def test_without_a_history(estimator):
    with pytest.raises(TypeError, match=r"has trained no network.*Call fit first"):
        HistoryDisplay.from_estimator(estimator)
