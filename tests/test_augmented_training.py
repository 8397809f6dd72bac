"""Augmentation as a parameter of the estimators."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skcnn import CNNClassifier, CNNRegressor
from skcnn.data.augmentation import Mixup, Shift

SMALL = {"n_layers": 1, "n_filters": 4, "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:120].reshape(-1, 8, 8), y[:120]


def blank(batch, generator):
    """Leave nothing of an image."""
    return torch.zeros_like(batch)


def test_training_images_are_augmented_and_no_others(digits):
    X, y = digits
    clf = CNNClassifier(augmentation=blank, early_stopping=True, **SMALL).fit(X, y)
    assert clf.loss_curve_[0] > 2  # nothing could be learnt but the frequencies
    plain = CNNClassifier(**SMALL).fit(X, y)
    assert plain.loss_curve_[-1] < clf.loss_curve_[-1]
    assert len(np.unique(clf.predict_proba(X), axis=0)) > 100


def test_validation_images_are_not_augmented(digits):
    X, y = digits
    seen = []

    def watch(batch, generator):
        seen.append(len(batch))
        return batch

    CNNClassifier(augmentation=watch, **SMALL).fit(X[:90], y[:90], X_val=X, y_val=y)
    assert sum(seen) == 2 * 90


@pytest.mark.parametrize("augmentation", ["light", "strong", ["shift", "mixup"]])
def test_the_same_random_state_gives_the_same_model(digits, augmentation):
    X, y = digits
    clf = CNNClassifier(augmentation=augmentation, dropout=0.2, **SMALL)
    before = torch.random.get_rng_state()
    first = clf.fit(X, y).predict_proba(X)
    assert np.array_equal(first, clone(clf).fit(X, y).predict_proba(X))
    assert torch.equal(torch.random.get_rng_state(), before)
    other = clone(clf).set_params(augmentation=None).fit(X, y)
    assert not np.array_equal(first, other.predict_proba(X))


def test_averaged_weights_leave_the_augmentation_alone(digits):
    X, y = digits
    clf = CNNClassifier(augmentation="light", **SMALL)
    averaged = clone(clf).set_params(weight_averaging="ema")
    losses = [c.fit(X, y, X_val=X, y_val=y).loss_curve_ for c in (clf, averaged)]
    assert losses[0] == losses[1]


def test_mixed_samples_keep_their_weights(digits):
    X, y = digits
    weights = np.where(y == 0, 1.0, 1e-9)
    clf = CNNClassifier(augmentation=Mixup(0.2), **SMALL).set_params(max_epochs=10)
    assert (clf.fit(X, y, sample_weight=weights).predict(X) == 0).mean() > 0.9


def test_values_of_a_regression_are_mixed(digits):
    X, y = digits
    reg = CNNRegressor(augmentation=["shift", "mixup"], **SMALL).fit(X, y)
    assert np.isfinite(reg.predict(X)).all()


def test_augmentation_is_searched(digits):
    X, y = digits
    choices = [None, "light", [Shift(1), "mixup"]]
    search = GridSearchCV(CNNClassifier(**SMALL), {"augmentation": choices}, cv=2)
    assert search.fit(X, y).best_params_["augmentation"] in choices


def test_an_unknown_name_is_an_error_that_lists_the_others(digits):
    with pytest.raises(ValueError, match=r"'shfit'.*shift"):
        CNNClassifier(augmentation="shfit", **SMALL).fit(*digits)
