"""What is special to CNNRegressor."""

import re

import numpy as np
import pytest
import torch
from sklearn import config_context
from torch import nn

from skcnn import CNNRegressor
from skcnn.modules import ARCHITECTURES
from skcnn.training import OPTIMIZERS, SCHEDULES

SMALL = {"n_layers": 2, "n_filters": 8, "random_state": 0}
EXACT = {"norm": None, "batch_size": 1000, "precision": "float64"}


@pytest.fixture
def spots(rng):
    """Return images of a bright spot, and its row and column."""
    centres = rng.uniform(2, 10, size=(200, 2))
    axes = np.indices((12, 12))
    offsets = axes - centres[:, :, None, None]
    return np.exp(-(offsets**2).sum(axis=1) / 4), centres


@pytest.fixture
def few(spots):
    """Return some of the images and the row of their spot."""
    X, y = spots
    return X[:32], y[:32, 0]


def test_the_place_of_a_spot_is_learnt(spots):
    X, y = spots
    reg = CNNRegressor(max_epochs=10, random_state=0).fit(X[:150], y[:150])
    assert reg.predict(X[150:]).shape == (50, 2)
    assert reg.score(X[150:], y[150:]) > 0.9


@pytest.mark.parametrize("unit", ["datetime64[D]", "timedelta64[s]"])
def test_times_are_no_numbers(few, unit):
    X, y = few
    with pytest.raises(TypeError, match=rf"y has dtype {re.escape(unit)}, expected"):
        CNNRegressor(**SMALL).fit(X, y.astype(int).astype(unit))


# y is standardised


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0), (1e9, -1e10), (0.5, 1e3)])
def test_predictions_follow_scale_and_offset_of_y(few, scale, offset):
    X, y = few
    reg = CNNRegressor(**SMALL, max_epochs=3)
    expected = reg.fit(X, y).predict(X)
    predicted = (reg.fit(X, scale * y + offset).predict(X) - offset) / scale
    np.testing.assert_allclose(predicted, expected, rtol=1e-4)


def test_each_output_has_a_scale_of_its_own(few):
    X, y = few
    y = np.c_[y, 1e6 * y - 5]
    reg = CNNRegressor(max_epochs=20, random_state=0).fit(X, y)
    first, second = (((reg.predict(X) - y) / y.std(axis=0)) ** 2).mean(axis=0)
    assert max(first, second) < 0.1


@pytest.mark.parametrize("dispatch", [False, True])
def test_y_and_weights_may_be_tensors_as_x_may(few, monkeypatch, dispatch):
    X, y = few
    y = torch.from_numpy(y).to(torch.bfloat16)
    weights = torch.linspace(0.5, 1.5, len(y))
    reg = CNNRegressor(**SMALL, max_epochs=1)
    expected = reg.fit(X, y.double().numpy(), weights.numpy()).predict(X)
    y, weights = y.requires_grad_(), weights.requires_grad_()
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with config_context(array_api_dispatch=dispatch):
        predicted = reg.fit(torch.from_numpy(X), y, weights).predict(X)
    np.testing.assert_array_equal(predicted, expected)


def test_an_untrained_network_errs_by_about_the_variance_of_y(few):
    X, y = few
    reg = CNNRegressor(**SMALL, **EXACT, lr=1e-12, max_epochs=1).fit(X, y)
    error = ((reg.predict(X) - y) ** 2).mean()
    np.testing.assert_allclose(reg.loss_curve_, [error / y.var()], rtol=1e-6)
    assert 0.5 < reg.loss_curve_[0] < 2


@pytest.mark.parametrize("value", [0, -3, 1e9, 0.1, 1e-6])
def test_a_constant_is_predicted(few, value):
    X, y = few
    reg = CNNRegressor(**SMALL, max_epochs=1).fit(X, np.full(32, value))
    np.testing.assert_array_equal(reg.predict(X), value)
    reg.fit(X, np.c_[1e-6 * y, np.full(32, value)])
    np.testing.assert_array_equal(reg.predict(X)[:, 1], value)
    assert np.ptp(reg.predict(X)[:, 0]) > 0


def test_values_of_weight_zero_change_no_bit(few):
    X, y = few
    weight = np.arange(32) % 4 / 3
    kept = weight > 0
    reg = CNNRegressor(**SMALL, max_epochs=2)
    for values in (y, np.full(32, 0.1)):
        alone = reg.fit(X[kept], values[kept], weight[kept]).predict(X)
        zero = reg.fit(X, np.where(kept, values, 1e200), weight).predict(X)
        np.testing.assert_array_equal(zero, alone)


def test_a_constant_output_is_scored_as_it_is_predicted(spots):
    X, y = spots[0][:40], np.c_[spots[1][:40, 0], np.full(40, 3.0)]
    reg = CNNRegressor(**SMALL, max_epochs=1).fit(X, y, X_val=X, y_val=y)
    assert reg.validation_scores_ == [pytest.approx(reg.score(X, y), abs=1e-5)]


def test_weights_move_the_prediction_to_the_weighted_mean():
    X, y = np.zeros((30, 4, 4)), np.arange(30) % 3 * 10.0
    weight = np.array([1.0, 2.0, 5.0])[np.arange(30) % 3]
    reg = CNNRegressor(**SMALL, **EXACT, max_epochs=100)
    np.testing.assert_allclose(reg.fit(X, y).predict(X), 10, atol=0.1)
    np.testing.assert_allclose(reg.fit(X, y, weight).predict(X), 15, atol=0.1)


# What y may be


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16", "uint8", "bool", "O"])
def test_any_dtype_of_y_is_like_float64(few, dtype):
    X, y = few
    y = (y > 5).astype(dtype) if dtype == "bool" else y.astype(dtype)
    reg = CNNRegressor(**SMALL, max_epochs=2)
    predicted = reg.fit(X, y).predict(X)
    assert predicted.dtype == np.float64
    np.testing.assert_array_equal(predicted, reg.fit(X, y.astype(float)).predict(X))


def test_words_are_no_values(few):
    X, _ = few
    with pytest.raises(ValueError, match=r"could not convert string to float: .*low"):
        CNNRegressor().fit(X, ["low", "high"] * 16)


def test_a_column_stays_a_column(few):
    X, y = few
    reg = CNNRegressor(**SMALL, max_epochs=2)
    flat = reg.fit(X, y).predict(X)
    column = reg.fit(X, y[:, None]).predict(X)
    assert flat.shape == (32,)
    np.testing.assert_array_equal(column, flat[:, None])


def test_another_number_of_outputs_is_refused(spots):
    X, y = spots
    reg = CNNRegressor(**SMALL, max_epochs=1).fit(X, y)
    words = "y has 1 outputs, but CNNRegressor was fitted on 2"
    with pytest.raises(ValueError, match=words):
        reg.partial_fit(X, y[:, 0])
    with pytest.raises(ValueError, match=words):
        reg.set_params(warm_start=True).fit(X, y[:, 0])
    assert reg.predict(X).shape == y.shape


def test_partial_fit_keeps_the_scale_of_the_first_call(few):
    X, y = few
    reg = CNNRegressor(**SMALL, **EXACT).partial_fit(X, y)
    for _ in range(60):
        reg.partial_fit(X, y + 20)
    np.testing.assert_allclose(reg.predict(X).mean(), y.mean() + 20, atol=2)


# Parameters


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_every_precision_is_close_to_float32(few, precision):
    X, y = few
    single = CNNRegressor(**SMALL, max_epochs=2).fit(X, y)
    other = CNNRegressor(**SMALL, max_epochs=2, precision=precision).fit(X, y)
    difference = abs(single.predict(X) - other.predict(X)).max() / y.std()
    assert 0 < difference < {"float64": 1e-3, "bfloat16": 0.1}[precision]


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_trains(few, optimizer):
    loss = (
        CNNRegressor(**SMALL, max_epochs=10, optimizer=optimizer).fit(*few).loss_curve_
    )
    assert loss[-1] < 0.9 * loss[0]


@pytest.mark.parametrize("lr_schedule", list(SCHEDULES))
def test_every_schedule_trains(few, lr_schedule):
    loss = (
        CNNRegressor(**SMALL, max_epochs=10, lr_schedule=lr_schedule)
        .fit(*few)
        .loss_curve_
    )
    assert loss[-1] < 0.9 * loss[0]


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_architecture_fits(spots, name):
    X, y = spots[0][:16], spots[1][:16]
    reg = CNNRegressor(name, max_epochs=1, random_state=0).fit(X, y)
    assert reg.predict(X).shape == (16, 2)


def test_an_architecture_gets_the_number_of_outputs(spots):
    X, y = spots

    def linear(input_shape, n_outputs):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(n_outputs))

    reg = CNNRegressor(linear, random_state=0).fit(X, y)
    assert isinstance(reg.module_[1], torch.nn.Linear)
    assert reg.module_[1].out_features == 2
    assert reg.score(X, y) > 0.8


def test_a_network_of_one_output_is_refused_for_two(spots):
    X, y = spots

    def one_output(input_shape, n_outputs):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(1))

    with pytest.raises(ValueError, match=r"returned \(1, 1\).*expected \(1, 2\)"):
        CNNRegressor(one_output).fit(X, y)


def test_predictions_have_the_shape_of_the_last_targets(rng):
    X, y = rng.random((20, 8, 8)), rng.random(20)
    model = CNNRegressor(n_layers=1, n_filters=2, max_epochs=1, warm_start=True)
    for targets in (y, y[:, None], y):
        assert model.fit(X, targets).predict(X).shape == targets.shape
