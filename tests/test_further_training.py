"""Training that goes on: warm starts, partial_fit, and what fails on the way."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    TrainEndCheckpoint,
)

from skcnn import CNNClassifier, CNNRegressor, FineTunedClassifier, TextCNNClassifier

SMALL = {"n_layers": 2, "n_filters": 4, "max_epochs": 2, "random_state": 0}


@pytest.fixture
def data(rng):
    """Return 60 images of 8 × 8 pixels, and three labels that they show."""
    y = np.arange(60) % 3
    return rng.normal(size=(60, 8, 8)) + y[:, None, None], y


def make(**parameters):
    return CNNClassifier(**{**SMALL, **parameters})


def state(estimator):
    return [value.clone() for value in estimator.module_.state_dict().values()]


def is_same(estimator, other):
    pairs = zip(state(estimator), state(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# Parameters that change between calls


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"weight_decay": 10.0},
        {"label_smoothing": 0.3},
        {"callbacks": [GradientNormClipping(1e-3)]},
        {"lr": 0.01},
        {"class_weight": {0: 1, 1: 5}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_warm_start_trains_as_the_parameters_say_now(data, change):
    warm = make(warm_start=True).fit(*data)
    other = copy.deepcopy(warm).set_params(**change)
    assert not is_same(warm.fit(*data), other.fit(*data))


def test_a_warm_start_chooses_the_weight_decay_anew(data):
    clf = make(warm_start=True, batch_size=8).fit(*data)
    decay = clf.net_.optimizer_.param_groups[0]["weight_decay"]
    clf.set_params(lr=0.1).fit(*data)
    assert clf.net_.optimizer_.param_groups[0]["weight_decay"] == pytest.approx(
        decay / 10
    )


def test_a_warm_start_prints_its_epochs_and_nothing_else(data, capsys):
    clf = make(warm_start=True).fit(*data)
    clf.set_params(verbose=1).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["epoch", "train_loss"]
    assert [line.split()[0] for line in lines[2:]] == ["3", "4"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_filters", 8),
        ("dropout", 0.5),
        ("architecture", "lenet5"),
        ("precision", "float64"),
        ("image_shape", (1, 8, 8)),
    ],
)
def test_a_network_of_other_parameters_is_not_trained_on(data, name, value):
    clf = make(warm_start=True).fit(*data)
    before = pickle.loads(pickle.dumps(clf))
    old = getattr(clf, name)
    clf.set_params(**{name: value})
    for further in (clf.fit, clf.partial_fit):
        with pytest.raises(ValueError, match=rf"{name} is .*warm_start=False"):
            further(*data)
    clf.set_params(**{name: old}).fit(*data)
    assert is_same(clf, before.fit(*data))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"kernel_size": 3, "stride": [1, 1]}, {"kernel_size": (3, 3), "stride": 1}),
        ({"pool_size": (2, 2)}, {"pool_size": [2, 2]}),
        ({"hidden_layer_sizes": ()}, {"hidden_layer_sizes": []}),
        ({"hidden_layer_sizes": 4}, {"hidden_layer_sizes": [4]}),
        ({"hidden_layer_sizes": (4, 3)}, {"hidden_layer_sizes": np.array([4, 3])}),
        ({"image_shape": [8, 8]}, {"image_shape": (8, 8)}),
    ],
)
def test_equal_parameters_may_be_written_in_another_way(data, before, after):
    clf = make(warm_start=True, **before).fit(*data)
    assert clf.set_params(**after).fit(*data).n_iter_ == 4
    for other in ((3, 2), 4, (3,)):
        with pytest.raises(ValueError, match=r"kernel_size is .*warm_start=False"):
            clf.set_params(kernel_size=other).fit(*data)


def test_sentences_have_parameters_of_the_network_too():
    X, y = ["who is it ?", "where is it ?"] * 4, [0, 1] * 4
    clf = TextCNNClassifier(max_epochs=1, warm_start=True, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"min_df is 2, .* was built with 1"):
        clf.set_params(min_df=2).fit(X, y)


def test_weights_are_computed_with_in_the_precision_that_they_have(data):
    clf = make().fit(*data)
    before = clf.predict_proba(data[0])
    clf.set_params(precision="float64")
    np.testing.assert_array_equal(clf.predict_proba(data[0]), before)


@pytest.fixture
def fine_tuned(data):
    """Return a classifier of which only the head has been trained."""
    clf = FineTunedClassifier(
        make().fit(*data), trainable="head", warm_start=True, max_epochs=2
    )
    return clf.set_params(random_state=0, lr=0.01).fit(*data)


def test_a_warm_start_thaws_layers(data, fine_tuned):
    before = copy.deepcopy(fine_tuned.module_.backbone.state_dict())
    fine_tuned.set_params(trainable="all", dropout=0.5, lr_decay=0.5).fit(*data)
    after = fine_tuned.module_.backbone.state_dict()
    assert not any(torch.equal(before[n], after[n]) for n in before if "weight" in n)
    assert fine_tuned.module_.head[0].p == 0.5
    assert {g["lr_factor"] for g in fine_tuned.net_.optimizer_.param_groups} > {0.5}


def test_what_fails_thaws_nothing(data, fine_tuned):
    other = copy.deepcopy(fine_tuned)
    fine_tuned.set_params(trainable="all", lr=1e12, optimizer="sgd")
    with pytest.raises(ValueError, match="loss became"):
        fine_tuned.fit(*data)
    fine_tuned.set_params(trainable="head", lr=0.01, optimizer="adamw")
    assert is_same(fine_tuned.partial_fit(*data), other.partial_fit(*data))


# Calls that fail


class Stopping(Callback):
    """Presses Ctrl-C in the middle of an epoch, as soon as it is armed."""

    is_armed = False

    def on_batch_end(self, net, **kwargs):
        if self.is_armed and net._step == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_call_that_fails_changes_nothing(data, method, dropout, error):
    options = {"weight_averaging": "ema", "warm_start": True, "dropout": dropout}
    clf = make(batch_size=8, callbacks=[Stopping()], **options).fit(*data)
    other = copy.deepcopy(clf)
    if error is ValueError:
        clf.set_params(lr=1e30)
    else:
        clf.callbacks[0].is_armed = True
    with pytest.raises(error):
        getattr(clf, method)(*data)
    clf.callbacks[0].is_armed = False
    clf.set_params(lr=other.lr)
    assert clf.n_iter_ == other.n_iter_
    for further in (clf, other):
        further.partial_fit(*data)
        getattr(further, method)(*data)
    assert is_same(clf, other)


@pytest.mark.parametrize("change", [{}, {"lr": 1e30}], ids=["split", "training"])
def test_what_fails_draws_no_split(data, change):
    clf = make(warm_start=True).fit(*data)
    other = copy.deepcopy(clf)
    few = slice(None) if change else slice(3)
    with pytest.raises(ValueError, match=r"3 samples|Lower lr"):
        clf.set_params(early_stopping=True, **change).fit(*(v[few] for v in data))
    clf.set_params(early_stopping=False, lr=other.lr)
    assert is_same(clf.fit(*data), other.fit(*data))
    for further in (clf, other):
        further.set_params(early_stopping=True)
    assert is_same(clf.fit(*data), other.fit(*data))


# Gradients that the caller has turned off


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_training_turns_gradients_on(data, mode, dtype):
    expected = make().fit(*data).partial_fit(*data)
    with mode():
        X, y = (v if dtype is None else torch.tensor(v) for v in data)
        clf = make().fit(X, y)
        assert len(clf.find_lr(X, y, n_steps=3).lrs) == 3
        assert not torch.is_grad_enabled()
    assert is_same(clf.partial_fit(X, y), expected)
    assert not any(w.is_inference() for w in clf.module_.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("warm_start", [False, True])
def test_fine_tuning_turns_gradients_on(data, fine_tuned, mode, warm_start):
    fine_tuned.set_params(warm_start=warm_start)
    other = copy.deepcopy(fine_tuned)
    with mode():
        other.fit(*data)
    assert is_same(other, fine_tuned.fit(*data))


# Weights in partial_fit


def test_a_class_weight_that_names_some_classes_suits_every_part(data):
    X, y = data
    clf = make(class_weight={0: 1.0, 1: 5.0}).partial_fit(X, y, [0, 1, 2])
    clf.partial_fit(X[y != 0], y[y != 0])
    given = {"X_val": X[y == 2], "y_val": y[y == 2]}
    make(class_weight={0: 1.0, 1: 5.0}).fit(X, y, **given)


def test_classes_weigh_something_in_parts_of_one_class(data):
    X, y = data

    def train(class_weight):
        clf = make(class_weight=class_weight)
        for label in range(3):
            clf.partial_fit(X[y == label], y[y == label], classes=[0, 1, 2])
        return clf

    assert not is_same(train(None), train({0: 1.0, 1: 1.0, 2: 5.0}))
    with pytest.raises(ValueError, match="'balanced' is not supported by partial_fit"):
        train("balanced")


def test_a_weight_of_two_counts_twice_in_partial_fit(data):
    X, y = data
    one = make(optimizer="sgd", lr=0.02, weight_decay=0.0)
    one.partial_fit(X, y, [0, 1, 2])
    two = make(optimizer="sgd", lr=0.01, weight_decay=0.0)
    two.partial_fit(X, y, [0, 1, 2], sample_weight=np.full(60, 2.0))
    for a, b in zip(state(one), state(two), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("class_weight", [{0: 0.0}, {0: 0.0, 1: 1.0}])
def test_weights_that_are_zero_together_are_named(data, class_weight):
    clf = make(class_weight=class_weight)
    with pytest.raises(ValueError, match=r"class_weight=.* all samples a weight of 0"):
        clf.fit(*data, sample_weight=(data[1] == 0) * 1.0)


def test_large_weights_do_not_overflow_together(data):
    clf = make(class_weight={0: 1e300, 1: 1e300, 2: 1e300})
    clf.fit(*data, sample_weight=np.full(60, 1e300))
    assert is_same(clf, make(class_weight={0: 1, 1: 1, 2: 1}).fit(*data))


def test_streams_get_the_usual_weight_decay(data):
    clf = make().partial_fit(*data, classes=[0, 1, 2])
    assert clf.net_.optimizer_.param_groups[0]["weight_decay"] == 0.01


# skorch's callbacks


@pytest.mark.parametrize("kind", [Checkpoint, TrainEndCheckpoint])
def test_checkpoints_of_skorch_are_written(data, tmp_path, kind):
    callback = kind(dirname=tmp_path)
    clf = make(norm="group", callbacks=[callback])
    clf.fit(*data, X_val=data[0], y_val=data[1])
    files = {path.name for path in tmp_path.iterdir()}
    assert {"history.json", "optimizer.pt", "params.pt"} <= {
        name.removeprefix("train_end_") for name in files
    }
    saved = torch.load(next(tmp_path.glob("*params.pt")), weights_only=True)
    best = clf.history_[:, "valid_loss_best"]
    is_last = kind is TrainEndCheckpoint or best[-1]
    assert is_last == all(
        torch.equal(saved[name], value)
        for name, value in clf.module_.state_dict().items()
    )


def test_the_best_epoch_can_be_loaded(data, tmp_path):
    X, y = data
    callback = Checkpoint(dirname=tmp_path, monitor="valid_score_best", load_best=True)
    clf = make(callbacks=[callback], max_epochs=8)
    clf.fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    assert clf.score(X[30:], y[30:]) == clf.best_validation_score_


def test_the_best_values_are_marked(data):
    rows = make(max_epochs=10, lr=0.05).fit(*data, X_val=data[0], y_val=data[1])
    for name, best in (("train_loss", min), ("valid_loss", min), ("valid_score", max)):
        values = rows.history_[:, name]
        firsts = [v == best(values[: i + 1]) for i, v in enumerate(values)]
        again = [v in values[:i] for i, v in enumerate(values)]
        expected = [a and not b for a, b in zip(firsts, again, strict=True)]
        assert rows.history_[:, f"{name}_best"] == expected


def test_only_one_thing_sets_the_learning_rate(data):
    callback = LRScheduler("StepLR", step_size=1, gamma=0.1)
    with pytest.raises(ValueError, match=r"'one_cycle'.*Pass lr_schedule=None"):
        make(callbacks=[callback]).fit(*data)
    clf = make(callbacks=[callback], lr_schedule=None).fit(*data)
    assert not is_same(clf, make(lr_schedule=None).fit(*data))


def test_a_class_of_torch_is_no_schedule(data):
    with pytest.raises(TypeError, match=r"class StepLR.*LRScheduler\('StepLR'"):
        make(lr_schedule=torch.optim.lr_scheduler.StepLR).fit(*data)


def test_a_callback_that_freezes_all_is_an_error(data):
    with pytest.raises(ValueError, match="frozen all parameters"):
        make(callbacks=[Freezer("*")]).fit(*data)


def rates(clf):
    return np.array(clf.history_[:, "event_lr"]) / clf.lr


@pytest.mark.parametrize(
    "options",
    [
        ("StepLR", {"step_size": 1, "gamma": 0.5}),
        ("ExponentialLR", {"gamma": 0.5}),
        ("LambdaLR", {"lr_lambda": lambda epoch: 0.5**epoch}),
    ],
    ids=lambda options: options[0],
)
def test_a_scheduler_starts_again_in_a_warm_start(data, options):
    policy, arguments = options
    callbacks = [LRScheduler(policy, **arguments)]
    clf = make(warm_start=True, lr_schedule=None, callbacks=callbacks)
    np.testing.assert_allclose(rates(clf.fit(*data).fit(*data)), [1, 0.5, 1, 0.5])


def test_a_scheduler_goes_on_in_partial_fit(data):
    clf = make(callbacks=[LRScheduler("ExponentialLR", gamma=0.5)], lr_schedule=None)
    clf.fit(*data).partial_fit(*data).partial_fit(*data)
    np.testing.assert_allclose(rates(clf), [1, 0.5, 0.25, 0.125])


def test_partial_fit_prints_where_it_is_told_to_by_then(data, capsys):
    clf = make().partial_fit(*data, classes=[0, 1, 2])
    clf.set_params(verbose=1).partial_fit(*data)
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "2"
    clf.set_params(verbose=0).partial_fit(*data)
    assert not capsys.readouterr().out


def test_the_network_is_left_in_evaluation_mode(data):
    for clf in (make().fit(*data), make().partial_fit(*data, classes=[0, 1, 2])):
        before = state(clf)
        clf.module_(torch.ones(5, 1, 8, 8))
        assert all(map(torch.equal, state(clf), before))


def count(net, X, y):
    return len(y)


def test_callbacks_may_be_a_tuple(data):
    scoring = EpochScoring(count, name="count", on_train=True)
    clf = make(callbacks=(("named", GradientNormClipping(1.0)), scoring)).fit(*data)
    assert clf.net_.callbacks_[1][0] == "named"
    assert clf.history_[:, "count"] == [60, 60]


@pytest.mark.parametrize("entry", ["abc", 3, int, Callback.initialize, ("a", "b")])
def test_what_is_no_callback_is_named(data, entry):
    words = f"callbacks holds {re.escape(repr(entry))}, expected"
    with pytest.raises(TypeError, match=words):
        make(callbacks=[entry]).fit(*data)


@pytest.mark.parametrize("kind", [EpochScoring, BatchScoring])
@pytest.mark.parametrize("on_train", [False, True])
def test_scores_that_nothing_computes_are_refused(data, kind, on_train):
    scoring = kind("accuracy", on_train=on_train)
    with pytest.raises(ValueError, match=r"callbacks holds .*read validation_scores_"):
        make(callbacks=[("scores", scoring)]).fit(*data)


# Small things on the way


def test_an_average_that_never_began_is_reported(data):
    clf = make(
        weight_averaging="swa",
        early_stopping=True,
        n_iter_no_change=1,
        max_epochs=60,
        tol=1.0,
    )
    with pytest.warns(UserWarning, match=r"after \d+ epochs.*first 45"):
        clf.fit(*data)


def test_lonely_samples_are_named_by_the_batch_size(data):
    clf = make(n_layers=4, batch_size=1)
    with pytest.raises(ValueError, match="batch_size=1 gives a batch of one sample"):
        clf.fit(*data)


@pytest.mark.parametrize(
    ("n_steps", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)]
)
def test_find_lr_takes_a_number_of_steps(data, n_steps, error):
    with pytest.raises(error, match="n_steps"):
        make().find_lr(*data, n_steps=n_steps)


def test_a_constant_first_part_leaves_y_a_scale(data):
    X, y = data
    reg = CNNRegressor(**SMALL).partial_fit(X[:7], np.full(7, 0.1))
    reg.partial_fit(X, y / 10)
    assert reg.loss_curve_[-1] < 1


def test_a_constant_is_one_until_other_values_are_learnt(data):
    X, y = data
    reg = CNNRegressor(**SMALL, optimizer="sgd", warm_start=True)
    reg.partial_fit(X, np.full(60, 0.1)).partial_fit(X, np.full(60, 0.1))
    np.testing.assert_array_equal(reg.predict(X), 0.1)
    with pytest.raises(ValueError, match="loss became"):
        reg.set_params(lr=1e12).partial_fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), 0.1)
    reg.set_params(lr=0.01).fit(X, y)
    assert np.ptp(reg.predict(X)) > 0
    reg.partial_fit(X, np.full(60, 0.1))
    assert np.ptp(reg.predict(X)) > 0
