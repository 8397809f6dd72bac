"""The contract: scikit-learn's own checks, then the same intents on images.

The intents on images are those of the trained estimators here, and those of the
feature transformer in ``test_feature_transformer.py``.

``python tests/test_common.py`` prints how many of scikit-learn's checks pass.
"""

import io
import pickle
import random
from collections import Counter
from math import prod

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import recall_score
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)
from skorch.callbacks import Callback

from skcnn import CNNClassifier, CNNFeatureTransformer, CNNRegressor

# Without batch statistics and mini-batches, in double precision.
EXACT = {"norm": None, "batch_size": 1000, "precision": "float64"}
# As small as can learn what the checks ask for.
TINY = {"n_layers": 2, "n_filters": 4, "lr": 0.03, "batch_size": 16, "max_epochs": 8}
WEIGHTS_ARE_NOT_REPEATS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "A repeated sample has its own places in mini-batches and counts twice in "
        "their statistics, a sample of weight 2 does not. Without norm and with "
        "full batches the check passes."
    )
}
# Each instance that scikit-learn checks, with the checks that may fail and why.
INSTANCES = [
    (CNNClassifier(**TINY), WEIGHTS_ARE_NOT_REPEATS),
    (CNNRegressor(**TINY), WEIGHTS_ARE_NOT_REPEATS),
    (CNNFeatureTransformer("convnet", weights=None), {}),
    (CNNFeatureTransformer(CNNClassifier(**TINY)), {}),
]
SLOW_INSTANCES = [
    (CNNClassifier(), WEIGHTS_ARE_NOT_REPEATS),
    (CNNRegressor(), WEIGHTS_ARE_NOT_REPEATS),
    (CNNFeatureTransformer(CNNRegressor(**TINY)), {}),
    (CNNClassifier(**TINY | EXACT | {"max_epochs": 120}), {}),
    (CNNRegressor(**TINY | EXACT | {"max_epochs": 120}), {}),
]
MINIMUM_N_CHECKS = 55
MINIMUM_N_CHECKS_OF_TRANSFORMERS = 45


def expected_failed_checks(estimator):
    every = INSTANCES + SLOW_INSTANCES
    return next(reasons for known, reasons in every if known is estimator)


@pytest.mark.numerics
@parametrize_with_checks(
    [estimator for estimator, _ in INSTANCES],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_check(estimator, check, run_check):
    run_check(estimator, check)


@pytest.mark.slow
@parametrize_with_checks(
    [estimator for estimator, _ in SLOW_INSTANCES],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_check_of_larger_networks(estimator, check, run_check):
    run_check(estimator, check)


def names_of_checks(estimator):
    checks = [check for _, check in estimator_checks_generator(estimator)]
    return [getattr(check, "func", check).__name__ for check in checks]


@pytest.mark.parametrize(
    ("estimator", "peer"),
    [(CNNClassifier(), MLPClassifier()), (CNNRegressor(), MLPRegressor())],
    ids=["CNNClassifier", "CNNRegressor"],
)
def test_no_tag_shrinks_the_suite(estimator, peer):
    names = names_of_checks(estimator)
    assert len(names) >= MINIMUM_N_CHECKS
    left_out = set(names_of_checks(peer)) - set(names)
    assert all("sparse" in name or "multilabel" in name for name in left_out)
    tags = get_tags(estimator)
    assert tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert tags.target_tags.required
    assert tags.requires_fit
    assert not any([tags.no_validation, tags.non_deterministic, tags._skip_test])
    assert not (tags.classifier_tags or tags.regressor_tags).poor_score


@pytest.mark.parametrize(
    ("estimator", "peer"),
    [
        (CNNFeatureTransformer("convnet", weights=None), BernoulliRBM()),
        (CNNFeatureTransformer(CNNClassifier()), NeighborhoodComponentsAnalysis()),
    ],
    ids=["random", "supervised"],
)
def test_no_tag_shrinks_the_suite_of_transformers(estimator, peer):
    names = names_of_checks(estimator)
    assert len(names) >= MINIMUM_N_CHECKS_OF_TRANSFORMERS
    # features are computed in single precision whatever the dtype of X is
    assert set(names_of_checks(peer)) - set(names) == {
        "check_transformer_preserve_dtypes"
    }
    tags = get_tags(estimator)
    assert tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert tags.requires_fit
    assert not any([tags.no_validation, tags.non_deterministic, tags._skip_test])


# The project's own battery: every kind of X, both estimators.

N_SAMPLES = 24
# The same computation gives the same bits on a CPU, and rounds anew on a GPU.
SAME_ATOL = 1e-3 if torch.cuda.is_available() else 0
# Of probabilities, and of values of a spread near 1.
PREDICTION_ATOL = max(1e-6, SAME_ATOL)
SMALL = {
    "n_layers": 2,
    "n_filters": 4,
    "max_epochs": 2,
    "batch_size": 12,
    "random_state": 0,
}
# Shape of a sample, parameters that say how it is read, shape of a network's input.
KINDS = {
    "signals": ((16,), {}, (1, 16)),
    "grey": ((8, 8), {}, (1, 8, 8)),
    "channels-last": ((8, 8, 3), {}, (3, 8, 8)),
    "channels-first": ((3, 8, 8), {}, (3, 8, 8)),
    "clips": ((5, 6, 6, 2), {}, (2, 5, 6, 6)),
    "flat": ((64,), {"image_shape": (8, 8)}, (1, 8, 8)),
}


class Case:
    """An estimator class and data of one kind that it can learn from."""

    def __init__(self, estimator_class, kind):
        self.estimator_class = estimator_class
        self.shape, self.parameters, self.input_shape = KINDS[kind]
        self.image_shape = self.parameters.get("image_shape", self.shape)
        self.X, self.y = self.draw(N_SAMPLES)

    def draw(self, n_samples, seed=0):
        """Return integers from 0 to 255 as floats, and labels or values."""
        rng = np.random.default_rng(seed)
        codes = np.arange(n_samples) % 3
        X = rng.integers(0, 150, size=(n_samples, *self.shape))
        X = (X + 50 * codes.reshape(-1, *[1] * len(self.shape))).astype(float)
        return X, codes if self.is_classifier else codes + rng.normal(size=n_samples)

    @property
    def is_classifier(self):
        return issubclass(self.estimator_class, CNNClassifier)

    def make(self, **parameters):
        return self.estimator_class(**{**SMALL, **self.parameters, **parameters})

    def fitted(self, **parameters):
        return self.make(**parameters).fit(self.X, self.y)

    def partial_fit(self, estimator):
        """Give all of the data to `estimator`, whether it is the first or not."""
        classes = {"classes": [0, 1, 2]} if self.is_classifier else {}
        return estimator.partial_fit(self.X, self.y, **classes)


def parametrize_cases(*cases):
    """Return a fixture of cases, each an estimator class and a kind of X."""

    @pytest.fixture(params=cases, ids=[f"{c.__name__}-{kind}" for c, kind in cases])
    def fixture(request):
        return Case(*request.param)

    return fixture


# For what happens to any X alike.
case = parametrize_cases((CNNClassifier, "channels-last"), (CNNRegressor, "signals"))
# For what depends on how X is read.
any_case = parametrize_cases(
    (CNNClassifier, "grey"),
    (CNNClassifier, "channels-last"),
    (CNNClassifier, "flat"),
    (CNNRegressor, "signals"),
    (CNNRegressor, "channels-first"),
    (CNNRegressor, "clips"),
)
classifier_case = parametrize_cases((CNNClassifier, "grey"))
regressor_case = parametrize_cases((CNNRegressor, "signals"))


def outputs(estimator, X):
    """Return the finest outputs that the estimator has."""
    return getattr(estimator, "predict_proba", estimator.predict)(X)


def assert_same(first, second, atol=SAME_ATOL):
    np.testing.assert_allclose(first, second, rtol=0, atol=atol)


def assert_same_model(first, second, X, atol=SAME_ATOL):
    assert_same(outputs(first, X), outputs(second, X), max(atol, SAME_ATOL))


# Parameters, copies, state


def test_clone_has_the_parameters_and_is_unfitted(case):
    fitted = case.fitted(dropout=0.1, hidden_layer_sizes=(4,))
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(case.X)


def test_set_params_undoes_get_params(case):
    estimator = case.make()
    parameters = estimator.get_params()
    assert case.estimator_class().set_params(**parameters).get_params() == parameters
    with pytest.raises(ValueError, match="Invalid parameter 'n_maps'"):
        estimator.set_params(n_maps=3)


def test_fit_returns_self(case):
    estimator = case.make()
    assert estimator.fit(case.X, case.y) is estimator


def test_fit_leaves_parameters_and_data_as_they_are(case):
    estimator = case.make(random_state=np.random.RandomState(0), callbacks=[])
    before = estimator.get_params()
    X, y = case.X.copy(), case.y.copy()
    estimator.fit(X, y).predict(X)
    after = estimator.get_params()
    assert all(after[name] is value for name, value in before.items())
    np.testing.assert_array_equal(X, case.X)
    np.testing.assert_array_equal(y, case.y)


class Watcher(pickle.Pickler):
    """Notes the tensors that are pickled as they are, on the device of the fit."""

    def __init__(self, file):
        super().__init__(file)
        self.tensors = []

    def reducer_override(self, obj):
        if isinstance(obj, torch.Tensor):
            self.tensors.append(obj)
        return NotImplemented


def test_a_pickle_holds_no_tensor_that_needs_the_device_of_the_fit(case):
    watcher = Watcher(io.BytesIO())
    watcher.dump(case.fitted())
    assert not watcher.tensors


@pytest.mark.numerics
def test_pickle_and_joblib_round_trips_predict_the_same(case, tmp_path):
    estimator = case.fitted(dropout=0.1)
    assert_same_model(pickle.loads(pickle.dumps(estimator)), estimator, case.X)
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    assert_same_model(joblib.load(tmp_path / "estimator.joblib"), estimator, case.X)


@pytest.mark.numerics
def test_a_copy_trains_on_like_the_original(case):
    estimator = case.fitted(dropout=0.1, warm_start=True)  # and keeps its optimiser
    copy = pickle.loads(pickle.dumps(estimator))
    for model in (estimator, copy):
        model.partial_fit(case.X, case.y)
    assert_same_model(copy, estimator, case.X)


def test_predict_changes_nothing(case):
    estimator = case.fitted(dropout=0.5)
    before = dict(vars(estimator))
    weights = {k: v.clone() for k, v in estimator.module_.state_dict().items()}
    first = outputs(estimator, case.X)
    assert_same(outputs(estimator, case.X), first)
    after = vars(estimator)
    assert before.keys() == after.keys()
    assert all(after[name] is value for name, value in before.items())
    for name, value in estimator.module_.state_dict().items():
        assert torch.equal(value, weights[name])


def test_attributes_tell_what_was_fitted(any_case):
    estimator = any_case.fitted()
    assert estimator.image_shape_ == any_case.image_shape
    assert estimator.n_features_in_ == prod(any_case.shape)
    assert estimator.n_iter_ == SMALL["max_epochs"]
    assert isinstance(estimator.module_, torch.nn.Module)
    assert estimator.net_.module_ is estimator.module_
    assert estimator.scaler_.mean_.shape == (any_case.input_shape[0],)
    assert not hasattr(estimator, "feature_names_in_")
    device = next(estimator.module_.parameters()).device
    blank = torch.zeros(2, *any_case.input_shape, device=device)
    assert estimator.module_(blank).shape == (2, 3 if any_case.is_classifier else 1)
    if any_case.is_classifier:
        np.testing.assert_array_equal(estimator.classes_, [0, 1, 2])


def test_history_has_a_row_for_each_epoch(case):
    estimator = case.fitted(max_epochs=3)
    rows = estimator.history_
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["train_loss"] for row in rows] == estimator.loss_curve_
    assert all(np.isfinite(estimator.loss_curve_))
    assert all(row["dur"] > 0 for row in rows)


def test_unfitted_estimators_say_so(case):
    probabilities = ["predict_proba", "predict_log_proba"] if case.is_classifier else []
    for method in ["predict", *probabilities]:
        with pytest.raises(NotFittedError, match="is not fitted yet"):
            getattr(case.make(), method)(case.X)
    with pytest.raises(NotFittedError):
        case.make().score(case.X, case.y)
    for attribute in ("n_iter_", "loss_curve_", "module_", "history_", "image_shape_"):
        assert not hasattr(case.make(), attribute)


# The same result


@pytest.mark.numerics
def test_fit_is_idempotent(case):
    estimator = case.fitted(dropout=0.3)
    first = outputs(estimator, case.X)
    assert_same(outputs(estimator.fit(case.X, case.y), case.X), first)
    assert_same_model(case.fitted(dropout=0.3), estimator, case.X)


def test_another_random_state_is_another_model(case):
    first, second = case.fitted(random_state=0), case.fitted(random_state=1)
    assert not np.allclose(outputs(first, case.X), outputs(second, case.X), atol=1e-3)


@pytest.mark.numerics
def test_global_random_states_are_neither_used_nor_changed(case):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002, the global state is what is tested
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    estimator = case.fitted(dropout=0.5)
    estimator.predict(case.X)
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    torch.manual_seed(2)
    assert_same_model(case.fitted(dropout=0.5), estimator, case.X)


@pytest.mark.numerics
def test_predictions_do_not_depend_on_the_order_of_samples(any_case):
    estimator = any_case.fitted()
    order = np.random.default_rng(1).permutation(N_SAMPLES)
    expected = outputs(estimator, any_case.X)[order]
    assert_same(outputs(estimator, any_case.X[order]), expected, PREDICTION_ATOL)


@pytest.mark.numerics
def test_predictions_do_not_depend_on_the_other_samples(any_case):
    estimator = any_case.fitted()
    expected = outputs(estimator, any_case.X)
    for size in (1, 2, 3, 7, 16):
        parts = np.split(any_case.X, range(size, N_SAMPLES, size))
        single = np.concatenate([outputs(estimator, part) for part in parts])
        assert_same(single, expected, PREDICTION_ATOL)


@pytest.mark.numerics
def test_the_default_network_predicts_a_sample_alone_as_among_others():
    X = np.random.default_rng(0).normal(size=(32, 28, 28))
    estimator = CNNClassifier(max_epochs=1, random_state=0)
    expected = outputs(estimator.fit(X, np.arange(32) % 10), X)
    for size in (1, 3, 5):
        parts = np.split(X, range(size, 32, size))
        single = np.concatenate([outputs(estimator, part) for part in parts])
        # the tolerance of scikit-learn's check_methods_subset_invariance
        assert_same(single, expected, max(1e-7, SAME_ATOL))


@pytest.mark.numerics
def test_predictions_do_not_depend_on_the_batch_size(case):
    estimator = case.fitted(batch_size=8)
    expected = outputs(estimator, case.X)
    for size in (1, 2, 5, 1000, "auto"):
        estimator.set_params(batch_size=size)
        single = outputs(estimator, case.X)
        assert_same(single, expected, PREDICTION_ATOL)


# What X may be


def fit_on_both(case, X, plain):
    """Return models fitted on X and on the same values as a plain array."""
    learner = case.make(max_epochs=1)
    return clone(learner).fit(X, case.y), learner.fit(plain, case.y)


DTYPES = ["float16", "float32", "uint8", "int16", "uint16", "int32", "uint64", "bool"]
DTYPES += [">f8", ">u2"]  # big-endian


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_dtype_is_like_float64_of_the_same_values(case, dtype):
    X = (case.X > 120 if dtype == "bool" else case.X).astype(dtype)
    model, expected = fit_on_both(case, X, X.astype(np.float64))
    assert_same_model(model, expected, X, atol=1e-3)  # training amplifies rounding
    assert_same(outputs(model, X), outputs(model, X.astype(float)), PREDICTION_ATOL)


def unaligned(X):
    """Return X as a field of records of odd size."""
    records = np.zeros(len(X), dtype=[("flag", "u1"), ("image", X.dtype, X.shape[1:])])
    records["image"] = X
    return records["image"]


VIEWS = {
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=-1)[..., ::2],
    "reversed": lambda X: np.ascontiguousarray(X[:, ::-1])[:, ::-1],
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
    "unaligned": unaligned,
}


@pytest.mark.numerics
@pytest.mark.parametrize("kind", list(VIEWS))
def test_memory_order_does_not_matter(case, kind):
    X = VIEWS[kind](case.X)
    model, expected = fit_on_both(case, X, X.copy(order="C"))
    assert_same_model(model, expected, case.X)
    assert_same(outputs(model, X), outputs(model, X.copy(order="C")))


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_read_only_memory_maps_are_like_arrays(case, dtype, tmp_path):
    X = case.X.astype(dtype)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model, expected = fit_on_both(case, mapped, X)
    assert_same_model(model, expected, mapped)


@pytest.mark.numerics
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_torch_tensors_are_like_arrays(case, dtype):
    X = case.X.astype(dtype)
    tensor = torch.from_numpy(X)
    model, expected = fit_on_both(case, tensor, X)
    assert_same(outputs(model, tensor), outputs(expected, X))


@pytest.mark.numerics
def test_bfloat16_and_trainable_tensors_are_read(case):
    tensor = torch.from_numpy(case.X).to(torch.bfloat16)
    model, expected = fit_on_both(case, tensor, tensor.float().numpy())
    assert_same_model(model, expected, case.X)
    trainable = torch.from_numpy(case.X).requires_grad_()
    assert_same(outputs(model, trainable), outputs(model, case.X))


@pytest.mark.numerics
def test_lists_are_like_arrays(any_case):
    model, expected = fit_on_both(any_case, any_case.X.tolist(), any_case.X)
    assert_same_model(model, expected, any_case.X)
    images = list(any_case.X)
    assert_same(outputs(model, images), outputs(expected, any_case.X))
    model.fit(images, any_case.y.tolist())
    assert_same_model(model, expected, any_case.X)


@pytest.mark.numerics
def test_flat_rows_are_like_images(any_case):
    rows = any_case.X.reshape(N_SAMPLES, -1)
    model = any_case.make(image_shape=any_case.image_shape).fit(rows, any_case.y)
    images = any_case.X.reshape(N_SAMPLES, *any_case.image_shape)
    expected = any_case.make(image_shape=None).fit(images, any_case.y)
    assert_same(outputs(model, rows), outputs(expected, images))
    assert model.image_shape_ == expected.image_shape_ == any_case.image_shape


@pytest.mark.numerics
@pytest.mark.parametrize("estimator_class", [CNNClassifier, CNNRegressor])
@pytest.mark.parametrize("kind", ["channels-last", "clips"])
def test_channels_first_is_like_channels_last(estimator_class, kind):
    case = Case(estimator_class, kind)
    first = np.moveaxis(case.X, -1, 1)
    model = case.make(channel_axis=1).fit(first, case.y)
    expected = case.make(channel_axis=-1).fit(case.X, case.y)
    assert_same(outputs(model, first), outputs(expected, case.X))


@pytest.mark.numerics
def test_the_unit_of_the_pixels_does_not_matter(case):
    model = case.make(**EXACT).fit(case.X, case.y)
    other = case.make(**EXACT).fit(case.X / 255 - 3, case.y)
    assert_same(outputs(model, case.X), outputs(other, case.X / 255 - 3), 1e-8)


def test_constant_images_are_learnt_from(case):
    estimator = case.make().fit(np.full_like(case.X, 7.3), case.y)
    assert np.isfinite(outputs(estimator, case.X)).all()


@pytest.mark.parametrize("parameters", [{}, {"batch_size": 1}, {"norm": "group"}])
def test_one_sample_is_learnt_from(any_case, parameters):
    estimator = any_case.make(**parameters).fit(any_case.X[:1], any_case.y[:1])
    assert estimator.predict(any_case.X).shape == (N_SAMPLES,)
    if any_case.is_classifier:
        np.testing.assert_array_equal(estimator.predict(any_case.X[:1]), any_case.y[:1])


def test_other_shapes_are_refused_by_name(any_case):
    estimator = any_case.fitted()
    wrong = [any_case.X[..., :-1], any_case.X.repeat(2, axis=1)]
    if any_case.X.ndim > 2:
        wrong += [any_case.X[..., 0], any_case.X.reshape(N_SAMPLES, -1)]
    if any_case.X.ndim < 5:
        wrong += [any_case.X[..., None], any_case.X[:, None]]
    for X in wrong:
        with pytest.raises(ValueError, match="X has") as caught:
            estimator.predict(X)
        for shape in (X.shape[1:], any_case.shape):
            words = str(shape), f" {prod(shape)} features"
            assert any(word in str(caught.value) for word in words)
        with pytest.raises(ValueError, match="X has"):
            estimator.partial_fit(X, any_case.y)
    assert_same_model(estimator, any_case.fitted(), any_case.X)


# Feature names, pandas


@pytest.fixture(params=[CNNClassifier, CNNRegressor], ids=lambda cls: cls.__name__)
def flat_case(request):
    return Case(request.param, "flat")


def as_frame(X):
    return pd.DataFrame(X, columns=[f"pixel{index}" for index in range(X.shape[1])])


def test_feature_names_are_learnt(flat_case):
    frame = as_frame(flat_case.X)
    estimator = flat_case.make().fit(frame, pd.Series(flat_case.y))
    np.testing.assert_array_equal(estimator.feature_names_in_, frame.columns)
    assert_same_model(estimator, estimator, frame)
    assert_same(outputs(estimator, frame), outputs(flat_case.fitted(), flat_case.X))


def test_other_feature_names_are_refused_in_scikit_learn_s_words(flat_case):
    frame = as_frame(flat_case.X)
    estimator = flat_case.make().fit(frame, flat_case.y)
    words = "The feature names should match those that were passed during fit"
    for other in (frame[frame.columns[::-1]], frame.rename(columns={"pixel3": "p"})):
        with pytest.raises(ValueError, match=words):
            estimator.predict(other)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.predict(flat_case.X)
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        flat_case.fitted().predict(frame)


def test_pandas_output_of_a_transformer_is_accepted(flat_case):
    scaler = StandardScaler().set_output(transform="pandas")
    pipeline = make_pipeline(scaler, flat_case.make()).fit(
        as_frame(flat_case.X), flat_case.y
    )
    assert pipeline.predict(as_frame(flat_case.X)).shape == (N_SAMPLES,)
    assert pipeline[-1].feature_names_in_[0] == "pixel0"


# What y may be


LABELS = {
    "strings": ["b", "c", "a"],
    "objects": np.array(["blue whale", "ox", "é"], dtype=object),
    "negative": [-5, 0, 3],
    "gapped": [5, 7, 100],
    "big": [2**62, -(2**62), 1],
    "uint8": np.array([1, 2, 200], dtype=np.uint8),
    "whole-floats": [1.0, 2.0, 4.0],
    "bools": [True, False, True],
    "categorical": pd.Categorical(["x", "y", "z"]),
    "one-class": ["only"] * 3,
}


@pytest.mark.numerics
@pytest.mark.parametrize("kind", list(LABELS))
def test_labels_of_every_kind_come_back_as_they_were(classifier_case, kind):
    X, codes = classifier_case.draw(N_SAMPLES)
    y = np.asarray(LABELS[kind])[codes]
    learner = classifier_case.make(max_epochs=8, lr=0.02)
    estimator = clone(learner).fit(X, y)
    np.testing.assert_array_equal(estimator.classes_, np.unique(y))
    assert estimator.classes_.dtype == y.dtype
    predicted = estimator.predict(X)
    assert predicted.dtype == y.dtype
    assert set(predicted) <= set(y)
    assert estimator.score(X, y) > 0.6
    renamed = learner.fit(X, np.unique(y, return_inverse=True)[1])
    assert_same_model(estimator, renamed, X)


def test_one_class_is_certain(classifier_case):
    X, _ = classifier_case.draw(N_SAMPLES)
    estimator = classifier_case.make().fit(X, ["only"] * N_SAMPLES)
    assert set(estimator.predict(X)) == {"only"}
    np.testing.assert_array_equal(estimator.predict_proba(X), np.ones((N_SAMPLES, 1)))


@pytest.mark.numerics
def test_a_column_of_labels_warns(classifier_case):
    X, y = classifier_case.X, classifier_case.y
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        estimator = classifier_case.make().fit(X, y[:, None])
    assert estimator.predict(X).shape == (N_SAMPLES,)
    assert_same_model(estimator, classifier_case.fitted(), X)


@pytest.mark.parametrize("shape", [(), (1,), (3,)], ids=str)
def test_predicted_values_have_the_shape_of_y(regressor_case, shape):
    y = np.random.default_rng(0).normal(size=(N_SAMPLES, *shape))
    estimator = regressor_case.make().fit(regressor_case.X, y)
    assert estimator.predict(regressor_case.X).shape == y.shape


# Weights


@pytest.mark.numerics
def test_no_weights_are_equal_weights(case):
    for weight in (1.0, 7.5):
        weighted = case.make().fit(case.X, case.y, np.full(N_SAMPLES, weight))
        assert_same_model(weighted, case.fitted(), case.X, atol=1e-5)


@pytest.mark.numerics
@pytest.mark.parametrize("parameters", [{}, EXACT], ids=["default", "exact"])
def test_weight_zero_is_like_removal(any_case, parameters):
    keep = np.arange(N_SAMPLES) % 5 > 0
    X = np.where(keep.reshape(-1, *[1] * len(any_case.shape)), any_case.X, 1e6)
    weighted = any_case.make(**parameters).fit(X, any_case.y, keep.astype(float))
    removed = any_case.make(**parameters).fit(any_case.X[keep], any_case.y[keep])
    assert_same_model(weighted, removed, any_case.X, atol=1e-5)


@pytest.mark.numerics
def test_whole_weights_are_like_repeats_in_full_batches(case):
    weight = np.random.default_rng(0).integers(0, 4, size=N_SAMPLES)
    weighted = case.make(**EXACT).fit(case.X, case.y, weight)
    repeated = case.make(**EXACT).fit(
        np.repeat(case.X, weight, axis=0), np.repeat(case.y, weight)
    )
    assert_same_model(weighted, repeated, case.X, atol=1e-8)


@pytest.mark.numerics
def test_balanced_class_weight_finds_more_of_the_rare_class(classifier_case):
    rng = np.random.default_rng(0)
    y = (np.arange(120) % 10 == 0).astype(int)
    shift = y.reshape(-1, *[1] * len(classifier_case.shape))
    X = rng.normal(size=(120, *classifier_case.shape)) + 0.2 * shift
    plain, balanced, same = (
        classifier_case.make(class_weight=weight, max_epochs=4).fit(X, y)
        for weight in (None, "balanced", {0: 120 / 108 / 2, 1: 120 / 12 / 2})
    )
    recall = recall_score(y, plain.predict(X))
    assert recall_score(y, balanced.predict(X)) > recall + 0.3
    assert_same_model(balanced, same, X, atol=1e-6)


@pytest.mark.numerics
def test_balanced_classes_are_counted_in_weights(classifier_case):
    X, y = classifier_case.X, classifier_case.y
    keep = np.random.default_rng(0).random(N_SAMPLES) < 0.3 + 0.6 * (y == y[0])
    parameters = {**EXACT, "class_weight": "balanced"}
    removed = classifier_case.make(**parameters).fit(X[keep], y[keep])
    zero = classifier_case.make(**parameters).fit(X, y, keep.astype(float))
    assert_same_model(zero, removed, X, atol=1e-8)
    weights = 1.0 + keep
    shares = [weights[y == label].sum() for label in np.unique(y)]
    by_hand = weights / np.take(shares, np.unique(y, return_inverse=True)[1])
    balanced = classifier_case.make(**parameters).fit(X, y, weights)
    expected = classifier_case.make(**EXACT).fit(X, y, by_hand)
    assert_same_model(balanced, expected, X, atol=1e-8)


# Training in parts


def test_partial_fit_is_one_epoch(case):
    estimator = case.make()
    optimizers = set()
    for n_calls in (1, 2, 3):
        assert case.partial_fit(estimator) is estimator
        assert estimator.n_iter_ == len(estimator.loss_curve_) == n_calls
        optimizers.add(estimator.net_.optimizer_)
    assert len(optimizers) == 1  # it remembers earlier batches
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]


@pytest.mark.numerics
def test_partial_fit_without_schedule_is_fit(case):
    parts = case.make(
        lr_schedule=None, weight_decay=0.01, batch_size=1000, max_epochs=3
    )
    whole = clone(parts).fit(case.X, case.y)
    for _ in range(3):
        case.partial_fit(parts)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-4)


def test_partial_fit_goes_on_where_a_class_is_missing(classifier_case):
    X, y = classifier_case.X, classifier_case.y
    estimator = classifier_case.make().partial_fit(X[y < 2], y[y < 2], classes=range(3))
    estimator.partial_fit(X[y == 2], y[y == 2])
    np.testing.assert_array_equal(estimator.classes_, [0, 1, 2])
    assert estimator.predict_proba(X).shape == (N_SAMPLES, 3)


def test_partial_fit_refuses_labels_not_announced(classifier_case):
    X, y = classifier_case.X, classifier_case.y
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier_case.make().partial_fit(X, y)
    estimator = classifier_case.make().partial_fit(X, y, classes=[0, 1, 2])
    before = outputs(estimator, X)
    with pytest.raises(ValueError, match=r"\[3 4\].*labels in \[0 1 2\]"):
        estimator.partial_fit(X, y + 2)
    with pytest.raises(ValueError, match=r"not the same as on last call"):
        estimator.partial_fit(X, y, classes=[0, 1, 2, 3])
    assert_same(outputs(estimator, X), before)
    assert estimator.n_iter_ == 1


@pytest.mark.numerics
def test_warm_start_goes_on_and_cold_start_forgets(case):
    estimator = case.fitted(warm_start=True)
    module, optimizer = estimator.module_, estimator.net_.optimizer_
    estimator.fit(case.X, case.y)
    assert estimator.module_ is module
    assert estimator.net_.optimizer_ is not optimizer
    assert estimator.n_iter_ == 2 * SMALL["max_epochs"]
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]
    estimator.set_params(warm_start=False).fit(case.X, case.y)
    assert estimator.n_iter_ == SMALL["max_epochs"]
    assert_same_model(estimator, case.fitted(), case.X)


def test_warm_start_refuses_new_labels(classifier_case):
    estimator = classifier_case.fitted(warm_start=True)
    with pytest.raises(ValueError, match=r"\[3\].*labels in \[0 1 2\]"):
        estimator.fit(classifier_case.X, classifier_case.y + 1)


@pytest.mark.filterwarnings("ignore:X has rows of 64 values")
def test_fit_learns_another_shape_afresh(any_case):
    estimator = any_case.make().set_params(image_shape=None).fit(any_case.X, any_case.y)
    axis = -1 if any_case.X.ndim == 2 else -2
    X = np.concatenate([any_case.X, any_case.X.take([0], axis)], axis)
    assert estimator.fit(X, any_case.y).predict(X).shape == any_case.y.shape
    assert estimator.image_shape_ == X.shape[1:] != any_case.shape
    assert estimator.n_features_in_ == prod(X.shape[1:])
    with pytest.raises(ValueError, match="X has"):
        estimator.predict(any_case.X)


# Callbacks


class Counting(Callback):
    """Counts the calls of each hook."""

    def __init__(self):
        self.calls = Counter()

    def on_train_begin(self, net, **kwargs):
        self.calls["train_begin"] += 1

    def on_train_end(self, net, **kwargs):
        self.calls["train_end"] += 1

    def on_epoch_end(self, net, **kwargs):
        self.calls["epoch"] += 1


class CountingBatches(Counting):
    """Counts batches and gradients too."""

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.calls["batch"] += training
        self.calls["samples"] += len(batch[0])

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.calls["gradient"] += 1


def test_callbacks_are_called_at_every_epoch(case):
    callback = Counting()
    estimator = case.fitted(callbacks=[callback])
    assert callback.calls == {"train_begin": 1, "train_end": 1, "epoch": 2}
    assert_same_model(estimator, case.fitted(), case.X)


@pytest.mark.numerics
def test_callbacks_are_called_at_every_batch_and_change_nothing(case):
    callback = CountingBatches()
    estimator = case.fitted(callbacks=[callback], batch_size=5)
    n_batches = 2 * 5  # 24 samples in batches of at most 5, twice
    assert callback.calls["batch"] == callback.calls["gradient"] == n_batches
    assert callback.calls["samples"] == 2 * N_SAMPLES
    plain = case.fitted(batch_size=5)
    assert_same_model(estimator, plain, case.X)
    np.testing.assert_allclose(estimator.loss_curve_, plain.loss_curve_, rtol=1e-5)


def report():
    """Print how many of scikit-learn's checks pass, the default networks first."""
    for estimator, expected in SLOW_INSTANCES + INSTANCES:
        results = check_estimator(
            estimator, expected_failed_checks=expected, on_fail=None, on_skip=None
        )
        counts = Counter(result["status"] for result in results)
        print(f"{estimator!r}: {counts['passed']} / {len(results)} passed")
        for result in results:
            name, status = result["check_name"], result["status"]
            if status == "xfail":
                print(f"  expected failure: {name}: {expected[name]}")
            elif status != "passed":
                print(f"  {status}: {name}: {result['exception']}")


if __name__ == "__main__":
    report()
