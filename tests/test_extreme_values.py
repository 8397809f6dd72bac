"""An extreme value among the training images must not spoil the predictions."""

import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skcnn import CNNClassifier, CNNRegressor

DIGITS = load_digits()
N_TRAIN = 600
SMALL = {"n_layers": 2, "n_filters": 16, "max_epochs": 8, "random_state": 0}


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (CNNClassifier(**SMALL), 0.9),
        (CNNClassifier(early_stopping=True, weight_averaging="ema", **SMALL), 0.9),
        (CNNRegressor(**SMALL), 0.7),
    ],
    ids=["classifier", "early stopping and averaging", "regressor"],
)
def test_an_extreme_value_is_named_and_spoils_nothing(estimator, expected):
    X, y = DIGITS.images.copy(), DIGITS.target
    X[17, 3, 3] = -9999
    with pytest.warns(ConvergenceWarning, match=r"X\[17\] holds the value -9999"):
        estimator.fit(X[:N_TRAIN], y[:N_TRAIN])
    assert estimator.score(X[N_TRAIN:], y[N_TRAIN:]) > expected


@pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
@pytest.mark.parametrize("max_epochs", [1, 8])
def test_an_ordinary_fit_gives_no_warning(cls, max_epochs):
    X, y = DIGITS.images[:N_TRAIN], DIGITS.target[:N_TRAIN]
    cls(**{**SMALL, "max_epochs": max_epochs}).fit(X, y)  # warnings are errors
