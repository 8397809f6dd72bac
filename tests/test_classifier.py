"""What is special to CNNClassifier, and the parameters it shares, seen through it."""

import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.utils import shuffle
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, InputShapeSetter
from torch import nn

from skcnn import CNNClassifier, CNNRegressor
from skcnn.modules import ARCHITECTURES
from skcnn.training import OPTIMIZERS, SCHEDULES

SMALL = {"n_layers": 2, "n_filters": 8, "random_state": 0}
N_TRAIN, N_TEST = 500, 300


@pytest.fixture(scope="module")
def digits():
    """Return training images and labels, test images and labels."""
    images, labels = shuffle(*load_digits(return_X_y=True), random_state=0)
    images = images.reshape(-1, 8, 8)
    test = slice(N_TRAIN, N_TRAIN + N_TEST)
    return images[:N_TRAIN], labels[:N_TRAIN], images[test], labels[test]


@pytest.fixture(scope="module")
def fitted(digits):
    """Return a classifier of strings, fitted."""
    X, y, _, _ = digits
    return CNNClassifier(**SMALL, max_epochs=3).fit(X, np.char.add("d", y.astype(str)))


@pytest.fixture
def images(rng):
    """Return images of 16 x 16 pixels of two classes, told apart by brightness."""
    y = np.arange(32) % 2
    return rng.normal(size=(32, 16, 16)) + y[:, None, None], y


# Training


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, 1.0),
        ({"batch_size": 1}, 0.5),
        ({"optimizer": "sgd"}, 0.01),
        ({"weight_decay": 0.25}, 0.25),
    ],
    ids=str,
)
def test_weight_decay_suits_optimizer_and_steps_unless_given(digits, params, expected):
    X, y, _, _ = digits
    clf = CNNClassifier(**SMALL, max_epochs=1, **params).fit(X[:100], y[:100])
    assert clf.net_.optimizer_.param_groups[0]["weight_decay"] == expected


# Probabilities


def test_probabilities_are_between_0_and_1_and_sum_to_1(fitted, digits):
    proba = fitted.predict_proba(digits[2])
    assert proba.shape == (N_TEST, 10)
    assert proba.dtype == np.float64
    assert proba.min() >= 0
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-12)


def test_log_probabilities_are_finite_where_probabilities_round_to_0(fitted, digits):
    log_proba = fitted.predict_log_proba(digits[2])
    np.testing.assert_allclose(np.exp(log_proba), fitted.predict_proba(digits[2]))
    far = 1e5 * digits[2]
    assert fitted.predict_proba(far).min() == 0
    assert np.isfinite(fitted.predict_log_proba(far)).all()


def test_predict_is_the_most_probable_class(fitted, digits):
    proba = fitted.predict_proba(digits[2])
    np.testing.assert_array_equal(
        fitted.predict(digits[2]), fitted.classes_[proba.argmax(axis=1)]
    )


def test_classes_are_sorted_whatever_their_order_in_y(images):
    X, y = images
    labels = np.array(["zebra", "ant"])[y]
    clf = CNNClassifier(**SMALL, max_epochs=10).fit(X, labels)
    assert clf.classes_.tolist() == ["ant", "zebra"]
    assert (clf.predict_proba(X)[labels == "zebra", 1] > 0.5).all()


def test_classes_of_partial_fit_are_sorted(images):
    X, y = images
    clf = CNNClassifier(**SMALL).partial_fit(X, y, classes=[7, 1, 0])
    np.testing.assert_array_equal(clf.classes_, [0, 1, 7])


def test_probabilities_are_the_softmax_of_the_network(digits):
    X, y, X_test, _ = digits
    clf = CNNClassifier(**SMALL, max_epochs=1, device="cpu").fit(X, y)
    mean, scale = clf.scaler_.mean_, clf.scaler_.scale_
    np.testing.assert_allclose([mean, scale], [[X.mean()], [X.std()]])
    batch = torch.from_numpy((X_test - mean) / scale).float()[:, None]
    with torch.inference_mode():
        proba = clf.module_.eval()(batch).softmax(dim=1)
    np.testing.assert_allclose(clf.predict_proba(X_test), proba, atol=1e-5)


def test_loss_curve_is_the_cross_entropy(images):
    X, y = images
    clf = CNNClassifier(norm=None, batch_size=32, precision="float64", max_epochs=1)
    first = clf.set_params(random_state=0, lr=1e-12).fit(X, y)
    expected = log_loss(y, first.predict_proba(X))
    np.testing.assert_allclose(first.loss_curve_, [expected], rtol=1e-6)


def test_digits_are_learnt_in_five_epochs(digits):
    X, y, X_test, y_test = digits
    clf = CNNClassifier(max_epochs=5, random_state=0).fit(X, y)
    assert clf.score(X_test, y_test) > 0.9


def test_class_weight_names_a_class_without_weight(images):
    X, y = images
    clf = CNNClassifier(class_weight={0: 1, 7: 2})
    with pytest.raises(ValueError, match=r"classes, \[1\], are not in class_weight"):
        clf.fit(X, y)


# Precision


def test_float64_is_close_to_float32(digits):
    X, y, X_test, _ = digits
    single, double = (
        CNNClassifier(**SMALL, max_epochs=1, precision=precision).fit(X, y)
        for precision in ("float32", "float64")
    )
    assert next(double.module_.parameters()).dtype == torch.float64
    difference = abs(single.predict_proba(X_test) - double.predict_proba(X_test)).max()
    assert 0 < difference < 1e-3


@pytest.mark.slow
def test_bfloat16_trains_weights_in_float32(digits):
    X, y, X_test, y_test = digits
    clf = CNNClassifier(max_epochs=5, precision="bfloat16", random_state=0).fit(X, y)
    assert {p.dtype for p in clf.module_.parameters()} == {torch.float32}
    assert clf.score(X_test, y_test) > 0.9
    rough = clf.predict_proba(X_test)
    np.testing.assert_allclose(rough.sum(axis=1), 1, rtol=0, atol=1e-12)
    fine = clf.set_params(precision="float32").predict_proba(X_test)
    assert 0 < abs(rough - fine).max() < 0.1


# Optimisers and schedules


def assert_loss_falls(clf, X, y):
    loss = clf.fit(X, y).loss_curve_
    assert loss[-1] < loss[0]


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.Adamax])
def test_every_optimizer_trains(images, optimizer):
    clf = CNNClassifier(**SMALL, max_epochs=5, optimizer=optimizer)
    assert_loss_falls(clf, *images)


# Number of epochs


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "n_epochs"),
    [(50, "auto", 86), (50, 50, 600), (1000, "auto", 20), (20000, "auto", 20)],
)
def test_small_sets_are_trained_for_600_steps(n_samples, batch_size, n_epochs):
    clf = CNNClassifier(batch_size=batch_size)
    assert clf._n_epochs(n_samples) == n_epochs
    assert clf.set_params(max_epochs=7)._n_epochs(n_samples) == 7


def test_automatic_epochs_are_those_of_the_fit(images):
    X, y = (values[:20] for values in images)
    clf = CNNClassifier(n_layers=1, n_filters=1).fit(X, y)
    assert clf.n_iter_ == 200  # of three steps


class LearningRates(Callback):
    """Collects the learning rate of each step."""

    def on_train_begin(self, net, **kwargs):
        self.rates = []

    def on_batch_end(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])


def rates_of(lr_schedule, X, y):
    """Return the learning rates of 40 steps as fractions of lr."""
    callback = LearningRates()
    clf = CNNClassifier(
        **SMALL,
        lr_schedule=lr_schedule,
        lr=0.01,
        batch_size=8,
        max_epochs=10,
        callbacks=[callback],
    )
    assert_loss_falls(clf, X, y)
    assert len(callback.rates) == 40
    return np.array(callback.rates) / 0.01


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_schedule_trains_and_never_exceeds_lr(images, name):
    rates = rates_of(name, *images)
    assert rates.max() == pytest.approx(1)
    assert rates.min() > 0


def test_schedules_have_their_shapes(images):
    for name in (None, "constant"):
        np.testing.assert_allclose(rates_of(name, *images), 1)
    for name in ("linear", "cosine"):
        rates = rates_of(name, *images)
        assert (np.diff(rates) < 0).all()
        assert rates[-1] < 0.05
    np.testing.assert_allclose(
        rates_of("step", *images), np.repeat([1, 0.1, 0.01], [20, 10, 10])
    )
    rates = rates_of("one_cycle", *images)
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()


def test_a_schedule_may_be_a_function_of_progress(images):
    progress = []

    def halve(x):
        progress.append(x)
        return 0.5

    np.testing.assert_allclose(rates_of(halve, *images), 0.5)
    np.testing.assert_allclose(progress, np.arange(40) / 40)


@pytest.mark.parametrize("factor", [None, "a", -1.0, float("nan"), 1j])
def test_a_schedule_gives_factors(images, factor):
    clf = CNNClassifier(**SMALL, lr_schedule=lambda progress: factor)
    with pytest.raises(ValueError, match=r"lr_schedule returned .* at progress 0, exp"):
        clf.fit(*images)


def test_precision_is_checked_in_predict(images):
    clf = CNNClassifier(**SMALL, max_epochs=1).fit(*images)
    with pytest.raises(ValueError, match=r"'precision' .* Got 'half' instead"):
        clf.set_params(precision="half").predict(images[0])


def test_verbose_prints_a_line_for_each_epoch(images, capsys):
    CNNClassifier(**SMALL, max_epochs=2, verbose=0).fit(*images)
    assert capsys.readouterr().out == ""
    CNNClassifier(**SMALL, max_epochs=2, verbose=1).fit(*images)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert "\x1b" not in printed  # colours are for terminals
    assert "train_loss" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2"]


# Architectures


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_architecture_fits(images, name):
    X, y = images
    clf = CNNClassifier(name, max_epochs=1, batch_size=16, random_state=0).fit(X, y)
    assert clf.predict_proba(X).shape == (32, 2)


@pytest.mark.parametrize("shape", [(20,), (9, 7), (4, 5, 6, 2), (1,), (2,), (1, 1)])
def test_convnet_takes_one_two_and_three_axes_of_any_length(shape, rng):
    X, y = rng.normal(size=(16, *shape)), np.arange(16) % 2
    channel_axis = -1 if len(shape) > 2 else None
    clf = CNNClassifier(max_epochs=1, channel_axis=channel_axis, random_state=0)
    assert clf.fit(X, y).predict(X).shape == (16,)
    n_axes = len(shape) - (channel_axis == -1)
    assert type(clf.module_.block1.conv).__name__ == f"Conv{n_axes}d"


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_layers": 3},
        {"n_filters": 5},
        {"filter_growth": 1.5},
        {"kernel_size": 5},
        {"kernel_size": (3, 1)},
        {"stride": 2},
        {"pooling": "avg"},
        {"pooling": "stride"},
        {"pooling": None},
        {"pool_size": 4},
        {"activation": "gelu"},
        {"activation": nn.Mish},
        {"norm": "group"},
        {"norm": None},
        {"dropout": 0.2},
        {"hidden_layer_sizes": (11,)},
    ],
    ids=lambda parameters: "-".join(f"{k}={v}" for k, v in parameters.items()),
)
def test_every_parameter_of_the_network_reaches_it(images, parameters):
    X, y = images
    plain = CNNClassifier(**SMALL, max_epochs=1).fit(X, y)
    other = CNNClassifier(**{**SMALL, **parameters}, max_epochs=1).fit(X, y)
    assert str(other.module_) != str(plain.module_)


class Flat(nn.Sequential):
    """A network as a class with arguments of the expected names."""

    def __init__(self, input_shape, n_outputs):
        width = int(np.prod(input_shape))
        super().__init__(nn.Flatten(), nn.Linear(width, n_outputs))


def by_position(shape, n):
    return Flat(shape, n)


def by_name_in_another_order(n_outputs, input_shape):
    return Flat(input_shape, n_outputs)


def lazy(input_shape, n_outputs):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(n_outputs))


@pytest.mark.parametrize(
    "architecture",
    [
        Flat,
        by_position,
        by_name_in_another_order,
        lazy,
        lambda input_shape, n_outputs: Flat(input_shape, n_outputs),
        lambda *shapes: Flat(*shapes),
        partial(Flat),
    ],
    ids=["class", "positions", "names", "lazy", "lambda", "varargs", "partial"],
)
def test_an_architecture_may_be_a_class_or_a_function(images, architecture):
    X, y = images
    clf = CNNClassifier(architecture, max_epochs=20, random_state=0).fit(X, y)
    assert clf.score(X, y) == 1
    linear = clf.module_[1]
    assert (linear.in_features, linear.out_features) == (256, 2)


def with_extras(input_shape, n_outputs, n_filters, dropout=0.1, width=3):
    """Return a network that shows what it was given."""
    module = Flat(input_shape, n_outputs)
    module.given = {"n_filters": n_filters, "dropout": dropout, "width": width}
    return module


def test_an_architecture_gets_the_hyperparameters_that_it_names(images):
    clf = CNNClassifier(with_extras, n_filters=6, dropout=0.4, max_epochs=1)
    clf.fit(*images)
    assert clf.module_.given == {"n_filters": 6, "dropout": 0.4, "width": 3}


def test_a_network_already_built_is_refused(images):
    with pytest.raises(TypeError, match=r"already built.*pass its class"):
        CNNClassifier(Flat((1, 16, 16), 2)).fit(*images)


def test_another_output_shape_is_refused(images):
    def five_outputs(input_shape, n_outputs):
        return Flat(input_shape, 5)

    with pytest.raises(ValueError, match=r"returned \(1, 5\).*expected \(1, 2\)"):
        CNNClassifier(five_outputs).fit(*images)


def test_an_output_that_is_no_tensor_is_refused(images):
    class Pair(Flat):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(ValueError, match=r"returned tuple.*expected \(1, 2\)"):
        CNNClassifier(Pair).fit(*images)


def test_a_function_that_returns_no_network_is_refused(images):
    with pytest.raises(TypeError, match=r"returned int, expected a torch\.nn\.Module"):
        CNNClassifier(lambda input_shape, n_outputs: 3).fit(*images)


def test_an_unknown_architecture_lists_the_known_ones(images):
    with pytest.raises(ValueError, match="'vgg99' is not known") as caught:
        CNNClassifier("vgg99").fit(*images)
    assert all(name in str(caught.value) for name in ARCHITECTURES)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_a_pretrained_architecture_names_the_estimators_for_it(images, name):
    for cls, tuned in ((CNNClassifier, "Classifier"), (CNNRegressor, "Regressor")):
        with pytest.raises(ValueError, match="is a pretrained network") as caught:
            cls(name).fit(*images)
        assert f"FineTuned{tuned}({name!r})" in str(caught.value)
        assert f"CNNFeatureTransformer({name!r})" in str(caught.value)


def test_a_mistyped_architecture_gets_one_suggestion(images):
    with pytest.raises(ValueError, match=r"known\. Did you mean 'convnet'\? Use"):
        CNNClassifier("convnett").fit(*images)


def test_lenet5_names_its_smallest_image(digits):
    X, y, _, _ = digits
    with pytest.raises(ValueError, match="at least 12 x 12 pixels, got 8 x 8"):
        CNNClassifier("lenet5").fit(X, y)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"convnet", "fcn"}))
def test_networks_for_images_refuse_signals(name, rng):
    X, y = rng.normal(size=(16, 30)), np.arange(16) % 2
    with pytest.raises(ValueError, match=f"{name} takes images"):
        CNNClassifier(name).fit(X, y)


@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing_spreads_a_part_of_the_target(images, weighted):
    X, y = images
    weights = np.linspace(0.5, 1.5, len(y)) if weighted else None
    still = {"batch_size": len(y), "lr": 1e-12, "max_epochs": 1, "random_state": 0}
    clf = CNNClassifier(Flat, label_smoothing=0.3, **still).fit(X, y, weights)
    loss = -clf.predict_log_proba(X)
    own = loss[np.arange(len(y)), np.searchsorted(clf.classes_, y)]
    expected = np.average(0.7 * own + 0.3 * loss.mean(axis=1), weights=weights)
    assert clf.loss_curve_[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1, 1.5])
def test_label_smoothing_outside_its_range_is_refused(images, label_smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        CNNClassifier(label_smoothing=label_smoothing).fit(*images)


# What is refused, and what is not


@pytest.mark.parametrize("sizes", [(0,), (32, 0), (-3,), [2.5]])
def test_widths_of_hidden_layers_are_positive_integers(images, sizes):
    X, y = images
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=.*positive integers"):
        CNNClassifier(**SMALL, hidden_layer_sizes=sizes).fit(X, y)


def test_a_layer_is_no_activation(images):
    with pytest.raises(TypeError, match=r"activation=ReLU\(\) is one layer.*class"):
        CNNClassifier(**SMALL, activation=nn.ReLU()).fit(*images)


def test_a_network_that_cannot_learn_is_refused(images):
    class Frozen(nn.Sequential):
        def __init__(self, input_shape, n_outputs):
            n_inputs = int(np.prod(input_shape))
            super().__init__(nn.Flatten(), nn.Linear(n_inputs, n_outputs))
            self.requires_grad_(False)

    with pytest.raises(ValueError, match="no trainable parameters"):
        CNNClassifier(Frozen).fit(*images)


def test_a_network_that_comes_again_is_trained_afresh(images):
    X, y = images
    n_inputs = int(np.prod(X.shape[1:]))
    network = nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, len(np.unique(y))))
    before = network[1].weight.clone()
    clf = CNNClassifier(lambda *args, **kwargs: network, max_epochs=1, random_state=0)
    first, second = (clf.fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(network[1].weight, before)


def test_a_function_of_any_arguments_gets_them_by_name(images):
    def make(**arguments):
        assert set(arguments) == {"input_shape", "n_outputs"}
        n_inputs = int(np.prod(arguments["input_shape"]))
        return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, arguments["n_outputs"]))

    CNNClassifier(make, max_epochs=1).fit(*images)


def test_one_image_is_recognised_as_one(images):
    X, y = images
    clf = CNNClassifier(**SMALL, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"single image of shape .* images: X\[None\]"):
        clf.predict(X[0])


@pytest.mark.parametrize("kind", ["series", "frame", "objects"])
def test_a_column_of_images_is_read(images, kind):
    X, y = images
    clf = CNNClassifier(**SMALL, max_epochs=1).fit(X, y)
    column = pd.Series(list(X), name="image")
    columns = {
        "series": column,
        "frame": column.to_frame(),
        "objects": np.array(column),
    }
    np.testing.assert_array_equal(clf.predict(columns[kind]), clf.predict(X))
    clf.fit(columns[kind], y)
    column[1] = X[1][:-1]
    with pytest.raises(ValueError, match="unequal shapes"):
        clf.fit(column, y)


def test_three_samples_are_trained_on_in_batches_of_two(rng):
    X = rng.normal(size=(3, 4, 4))
    CNNClassifier(batch_size=2, max_epochs=1).fit(X, [0, 1, 0])


def test_samples_of_weight_zero_cost_no_copy(rng, tmp_path):
    np.save(tmp_path / "X.npy", rng.integers(0, 256, (2000, 64, 64), dtype=np.uint8))
    X, y = np.load(tmp_path / "X.npy", mmap_mode="r"), np.arange(2000) % 2
    weights = np.ones(2000)
    weights[7::20] = 0
    kept = weights > 0
    small = {"n_layers": 1, "n_filters": 2, "stride": 16, "batch_size": 32}
    clf = CNNClassifier(**small, max_epochs=1, random_state=0)
    removed = clf.fit(X[kept], y[kept]).predict_proba(X[:50])
    tracemalloc.start()
    clf.fit(X, y, weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 2
    np.testing.assert_array_equal(clf.predict_proba(X[:50]), removed)


@pytest.mark.parametrize("make", [EarlyStopping, Checkpoint])
def test_callbacks_that_want_a_validation_set_say_how_to_give_one(make, rng, tmp_path):
    X, y = rng.random((20, 8, 8)), np.arange(20) % 2
    callback = make(dirname=tmp_path) if make is Checkpoint else make()
    model = CNNClassifier(n_layers=1, max_epochs=1, callbacks=[callback])
    with pytest.raises(ValueError, match="'valid_loss', but there is no validation"):
        model.fit(X, y)
    model.set_params(early_stopping=True, validation_fraction=0.2).fit(X, y)


def test_a_callback_that_sets_the_input_shape_is_refused(rng):
    X, y = rng.random((20, 8, 8)), np.arange(20) % 2
    with pytest.raises(ValueError, match="not needed: networks are built for"):
        CNNClassifier(callbacks=[InputShapeSetter()]).fit(X, y)


@pytest.mark.parametrize("limits", [{"lr_max": np.inf}, {"lr_min": "a"}])
def test_rates_of_a_search_are_finite_numbers(limits, rng):
    X, y = rng.random((20, 8, 8)), np.arange(20) % 2
    with pytest.raises((ValueError, TypeError), match="lr_m"):
        CNNClassifier(n_layers=1).find_lr(X, y, **limits)
