import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from skcnn import CNNClassifier, CNNRegressor
from skcnn.runtime import make_generator
from skcnn.training import LearningRateCurve, range_test

pytestmark = pytest.mark.usefixtures("untouched_globals")
ESTIMATORS = pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
DIGITS = load_digits()
X, Y = DIGITS.images[:400], DIGITS.target[:400]


def make(cls, **parameters):
    return cls(n_layers=2, n_filters=8, random_state=0, **parameters)


@ESTIMATORS
def test_rates_rise_by_a_factor_and_losses_fall_before_they_diverge(cls):
    curve = make(cls).find_lr(X, Y, lr_min=1e-5, lr_max=10)
    steps = np.diff(np.log(curve.lrs))
    assert curve.lrs[0] == pytest.approx(1e-5)
    np.testing.assert_allclose(steps, steps[0])
    assert len(curve.lrs) == len(curve.losses) <= 100
    assert curve.losses.min() < 0.7 * curve.losses[0]
    assert curve.losses.max() <= 4 * curve.losses.min() * 1.001


@pytest.mark.slow
@ESTIMATORS
def test_training_at_the_suggestion_beats_training_far_from_it(cls):
    lr = make(cls).find_lr(X, Y).suggestion
    scores = [
        make(cls, lr=factor * lr, max_epochs=4).fit(X, Y).score(X, Y)
        for factor in (1e-3, 1, 1e3)
    ]
    assert max(scores) == scores[1]
    assert scores[1] > 0.6


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss():
    curve = make(CNNClassifier).find_lr(X, Y)
    assert curve.suggestion == pytest.approx(curve.lrs[curve.losses.argmin()] / 10)


def test_the_estimator_stays_unfitted_and_unchanged():
    random_state = np.random.RandomState(0)
    estimator = CNNClassifier(n_filters=4, random_state=random_state, callbacks=[])
    before, state = dict(vars(estimator)), random_state.get_state()[1].copy()
    estimator.find_lr(X, Y, n_steps=5)
    assert vars(estimator) == before
    np.testing.assert_array_equal(random_state.get_state()[1], state)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_a_fitted_estimator_predicts_as_before():
    estimator = make(CNNClassifier, max_epochs=1).fit(X, Y)
    before = estimator.predict_proba(X)
    estimator.find_lr(X, Y, n_steps=5)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)


def test_the_same_random_state_gives_the_same_curve():
    curves = [make(CNNClassifier, dropout=0.2).find_lr(X, Y) for _ in range(2)]
    np.testing.assert_array_equal(curves[0].losses, curves[1].losses)


def test_weights_count():
    weights = np.where(Y < 5, 1.0, 0.0)
    weighted = make(CNNClassifier).find_lr(X, Y, weights, n_steps=10)
    plain = make(CNNClassifier).find_lr(X, Y, n_steps=10)
    assert not np.allclose(weighted.losses, plain.losses)


@pytest.mark.parametrize(("lr_min", "lr_max"), [(0, 1), (1, 1), (2, 1), (-1, 1)])
def test_rates_that_do_not_rise_are_refused(lr_min, lr_max):
    with pytest.raises(ValueError, match="expected 0 < lr_min < lr_max"):
        make(CNNClassifier).find_lr(X, Y, lr_min=lr_min, lr_max=lr_max)


def test_losses_are_means_that_forget(make_net, make_dataset):
    first = range_test(make_net(), make_dataset(), [1e-9], make_generator(0))
    second = range_test(make_net(), make_dataset(), [1e-9, 1e-9], make_generator(0))
    assert first.losses[0] == second.losses[0]  # the first is not pulled to 0
    assert 0.3 < first.losses[0] < 3


@pytest.mark.parametrize("own", [False, True])
def test_plot_draws_the_curve_and_the_suggestion(own):
    curve = LearningRateCurve(np.array([0.1, 1, 10]), np.array([3.0, 1, 2]), 0.1)
    ax = plt.subplots()[1] if own else None
    assert curve.plot(ax) is curve
    assert isinstance(curve.ax_, mpl.axes.Axes)
    assert (curve.ax_ is ax) == own
    line, suggestion = curve.ax_.lines
    np.testing.assert_array_equal(line.get_xydata(), np.c_[curve.lrs, curve.losses])
    assert set(suggestion.get_xdata()) == {0.1}
    assert curve.ax_.get_xscale() == "log"
    plt.close(curve.figure_)
