"""Ctrl-C in `fit` and `partial_fit`, row 52 of the bad inputs."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skcnn import (
    CNNClassifier,
    CNNRegressor,
    FineTunedClassifier,
    FineTunedRegressor,
    TextCNNClassifier,
)

IMAGES = np.random.default_rng(0).normal(size=(40, 8, 8))
TEXTS = ["a good film", "a bad film", "good acting", "bad acting"] * 10
CODES = np.arange(40) % 2
SMALL = {"random_state": 0, "lr_schedule": None, "batch_size": 8}
NETWORK = CNNClassifier(n_layers=1, n_filters=4, max_epochs=1, random_state=0)
ESTIMATORS = [
    CNNClassifier(n_layers=1, n_filters=4, **SMALL),
    CNNRegressor(n_layers=1, n_filters=4, **SMALL),
    TextCNNClassifier(n_filters=4, **SMALL),
    FineTunedClassifier(NETWORK.fit(IMAGES, CODES), head_epochs=1, **SMALL),
    FineTunedRegressor(NETWORK, head_epochs=1, **SMALL),
]
ALL = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
HOOKS = pytest.mark.parametrize("hook", ["on_epoch_end", "on_batch_end"])


class CtrlC(Callback):
    """Is pressed in one of the epochs, at its end or after a batch."""

    def __init__(self, hook, epoch):
        self.hook = hook
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        self._press("on_epoch_end", net)

    def on_batch_end(self, net, **kwargs):
        self._press("on_batch_end", net)

    def _press(self, hook, net):
        if hook == self.hook and len(net.history) == self.epoch:
            raise KeyboardInterrupt


def make(estimator, **parameters):
    return clone(estimator).set_params(**parameters)


def data(estimator):
    return TEXTS if isinstance(estimator, TextCNNClassifier) else IMAGES, CODES


def outputs(estimator):
    X, _ = data(estimator)
    return getattr(estimator, "predict_proba", estimator.predict)(X)


@ALL
@HOOKS
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_averaging": "ema"}, {"early_stopping": True, "tol": 0}],
    ids=["plain", "averaging", "early stopping"],
)
def test_the_complete_epochs_of_a_first_fit_are_kept(estimator, hook, options):
    interrupted = make(estimator, callbacks=[CtrlC(hook, 3)], max_epochs=9, **options)
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted.fit(*data(estimator))
    assert "2 of 9 epochs are kept" in caught.value.__notes__[0]
    assert interrupted.n_iter_ == 2
    expected = make(estimator, max_epochs=2, **options).fit(*data(estimator))
    np.testing.assert_array_equal(outputs(interrupted), outputs(expected))
    interrupted.set_params(warm_start=True, callbacks=None, max_epochs=1)
    assert interrupted.fit(*data(estimator)).n_iter_ == 3


@ALL
@HOOKS
def test_before_the_end_of_the_first_epoch_nothing_is_kept(estimator, hook):
    interrupted = make(estimator, callbacks=[CtrlC(hook, 1)])
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(*data(estimator))
    with pytest.raises(NotFittedError):
        outputs(interrupted)


@ALL
@HOOKS
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_further_training_is_all_or_nothing(estimator, hook, method):
    ctrl_c = CtrlC(hook, 3 if method == "fit" else 2)
    fitted = make(estimator, callbacks=[ctrl_c], max_epochs=1, warm_start=True)
    expected = outputs(fitted.fit(*data(estimator)))
    fitted.set_params(max_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        getattr(fitted, method)(*data(estimator))
    np.testing.assert_array_equal(outputs(fitted), expected)
    assert fitted.n_iter_ == 1


def test_an_interrupt_ends_a_search():
    estimator = make(ESTIMATORS[0], callbacks=[CtrlC("on_epoch_end", 2)])
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(estimator, {"lr": [0.01]}, cv=2).fit(IMAGES, CODES)
