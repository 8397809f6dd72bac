"""The contract of the feature transformer, on every kind of backbone and of X."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from torch import nn

from skcnn import CNNClassifier, CNNFeatureTransformer, CNNRegressor

pytestmark = pytest.mark.numerics

N_SAMPLES = 16
BATCH_SIZE = 8
# Of the largest feature, where batches have other shapes.
RTOL = 1e-5
WEIGHTS = "resnet20_cifar10.safetensors"


class Branching(nn.Module):
    """A network that looks at its values, so that it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        if x.mean() > 1e6:
            x = 2 * x
        return self.head(x.mean((2, 3)))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def traceable():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3)
    ).eval()


def trained(shape, cls=CNNClassifier, **parameters):
    """Return an estimator fitted on samples of a shape."""
    small = {"n_layers": 2, "n_filters": 4, "max_epochs": 1, "random_state": 0}
    X = np.random.default_rng(1).integers(0, 256, size=(24, *shape))
    return cls(**small, **parameters).fit(X, np.arange(24) % 3)


# Shape of a sample, backbone or a function that makes it, parameters.
PRETRAINED = {
    "files": (None, "resnet20", {"image_size": 24}),
    "layers": ((32, 32), "resnet20", {"layer": ["conv1", "penultimate"]}),
    "flat": ((3072,), "resnet20", {"image_shape": (32, 32, 3)}),
    "resized": ((40, 36, 3), "resnet20", {"image_size": 24}),
    "flattened": ((32, 32), "resnet20", {"layer": "layer3", "pooling": None}),
}
LEARNT = {
    "clips": ((5, 6, 6, 2), "convnet", {"weights": None, "random_state": 0}),
    "untraceable": ((12, 10, 3), lambda: seeded(Branching), {}),
    "unfitted": ((9, 8), lambda: clone(trained((9, 8))), {}),
    "random": ((3, 32, 32), "resnet20", {"weights": None, "random_state": 0}),
    "signals": ((40,), "convnet", {"weights": None, "random_state": 0}),
    "series": ((6, 40), "fcn", {"weights": None, "random_state": 0, "channel_axis": 1}),
    "module": ((12, 10), lambda: seeded(traceable), {}),
}
READY = {
    "fitted": ((9, 8), lambda: trained((9, 8)), {}),
    "regressor": ((30,), lambda: trained((30,), CNNRegressor), {}),
    "published": (
        (20, 20),
        lambda: seeded(Branching),
        {"preprocessing": "resnet18", "image_size": 16},
    ),
}
KINDS = PRETRAINED | LEARNT | READY
# Those that differ most.
READY_KINDS = ("files", "layers", "fitted")
LEARNING_KINDS = ("clips", "untraceable", "unfitted")


class Case:
    """A transformer and images that it takes."""

    def __init__(self, kind, data_dir, folder):
        shape, self.backbone, self.parameters = KINDS[kind]
        self.learns = kind in LEARNT
        if not isinstance(self.backbone, str):
            self.backbone = self.backbone()
        elif "weights" not in self.parameters:
            path = data_dir / "weights" / WEIGHTS
            self.parameters = self.parameters | {"weights": path}
        self.y = np.arange(N_SAMPLES) % 2
        rng = np.random.default_rng(0)
        if shape is None:
            self.X = np.array(write_images(folder, rng))
        else:
            self.X = rng.integers(0, 256, size=(N_SAMPLES, *shape), dtype=np.uint8)

    def make(self, **parameters):
        parameters = {"batch_size": BATCH_SIZE} | self.parameters | parameters
        return CNNFeatureTransformer(self.backbone, **parameters)

    def fitted(self, **parameters):
        return self.make(**parameters).fit(self.X, self.y)

    def features(self, X=None, **parameters):
        return self.fitted(**parameters).transform(self.X if X is None else X)


def write_images(folder, rng):
    """Write images of unequal size, half of them grey, and return their paths."""
    paths = []
    for index in range(N_SAMPLES):
        shape = (40 + index, 60, 3) if index % 2 else (50, 44 + index)
        pixels = rng.integers(0, 256, size=shape, dtype=np.uint8)
        paths.append(str(folder / f"{index}.{'jpg' if index % 3 else 'png'}"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture(params=READY_KINDS + LEARNING_KINDS)
def case(request, data_dir, tmp_path):
    return Case(request.param, data_dir, tmp_path)


@pytest.fixture(params=READY_KINDS)
def ready_case(request, data_dir, tmp_path):
    return Case(request.param, data_dir, tmp_path)


@pytest.fixture(params=LEARNING_KINDS)
def learning_case(request, data_dir, tmp_path):
    return Case(request.param, data_dir, tmp_path)


@pytest.fixture(params=KINDS)
def any_case(request, data_dir, tmp_path):
    return Case(request.param, data_dir, tmp_path)


def assert_close(features, expected, rtol=RTOL):
    np.testing.assert_allclose(
        features, expected, rtol=0, atol=rtol * np.abs(expected).max()
    )


# Parameters, copies, state


def test_clone_has_the_parameters_and_computes_the_same(case):
    fitted = case.fitted()
    copy = clone(fitted)
    assert vars(copy).keys() == fitted.get_params(deep=False).keys()
    for name in set(fitted.get_params(deep=False)) - {"backbone"}:
        assert getattr(copy, name) == getattr(fitted, name)
    expected = fitted.transform(case.X)
    np.testing.assert_array_equal(copy.fit(case.X, case.y).transform(case.X), expected)


def test_set_params_undoes_get_params(case):
    transformer = case.make()
    parameters = transformer.get_params(deep=False)
    other = CNNFeatureTransformer().set_params(**parameters)
    assert other.get_params(deep=False) == parameters
    with pytest.raises(ValueError, match="Invalid parameter 'layers'"):
        transformer.set_params(layers="fc6")


def test_fit_and_transform_leave_parameters_and_data_as_they_are(case):
    transformer = case.make()
    before, X, y = transformer.get_params(deep=False), case.X.copy(), case.y.copy()
    assert transformer.fit(X, y) is transformer
    transformer.transform(X)
    after = transformer.get_params(deep=False)
    assert all(after[name] is value for name, value in before.items())
    np.testing.assert_array_equal(X, case.X)
    np.testing.assert_array_equal(y, case.y)


def test_pickle_and_joblib_round_trips_compute_the_same(case, tmp_path):
    fitted = case.fitted()
    expected = fitted.transform(case.X)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(case.X), expected)
    joblib.dump(fitted, tmp_path / "transformer.joblib")
    copy = joblib.load(tmp_path / "transformer.joblib")
    np.testing.assert_array_equal(copy.transform(case.X), expected)
    assert list(copy.get_feature_names_out()) == list(fitted.get_feature_names_out())


def test_transform_changes_nothing(case):
    fitted = case.fitted()
    state = {k: v.clone() for k, v in fitted.module_.state_dict().items()}
    modes = [module.training for module in fitted.module_.modules()]
    before = dict(vars(fitted))
    first = fitted.transform(case.X)
    np.testing.assert_array_equal(fitted.transform(case.X), first)
    assert before.keys() == vars(fitted).keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())
    after = fitted.module_.state_dict()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert [module.training for module in fitted.module_.modules()] == modes


def test_fit_is_idempotent_and_is_what_fit_transform_does(case):
    fitted = case.fitted()
    expected = fitted.transform(case.X)
    again = fitted.fit(case.X, case.y).transform(case.X)
    np.testing.assert_array_equal(again, expected)
    together = case.make().fit_transform(case.X, case.y)
    np.testing.assert_array_equal(together, expected)


def test_global_random_states_are_neither_used_nor_changed(case):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002, the global state is what is tested
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    features = case.features()
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    torch.manual_seed(2)
    np.testing.assert_array_equal(case.features(), features)


def test_tags_say_what_is_needed(case):
    tags = get_tags(case.make())
    assert tags.requires_fit == case.learns
    assert tags.input_tags.three_d_array
    is_supervised = case.learns and isinstance(case.backbone, CNNClassifier)
    assert tags.target_tags.required == is_supervised
    assert not tags.no_validation
    assert not tags.non_deterministic


def test_what_learns_nothing_computes_without_fit(ready_case):
    expected = ready_case.features()
    transformer = ready_case.make()
    np.testing.assert_array_equal(transformer.transform(ready_case.X), expected)
    assert len(transformer.get_feature_names_out()) == expected.shape[1]
    assert transformer.layer_names() == ready_case.fitted().layer_names()
    assert vars(transformer).keys() == transformer.get_params(deep=False).keys()


def test_what_learns_says_that_it_is_not_fitted(learning_case):
    transformer = learning_case.make()
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        transformer.transform(learning_case.X)
    for method in ("get_feature_names_out", "layer_names"):
        with pytest.raises(NotFittedError):
            getattr(transformer, method)()
    assert not hasattr(transformer, "module_")


# The same features


def test_features_are_numbers_in_single_precision(any_case):
    features = any_case.features()
    assert features.dtype == np.float32
    assert features.ndim == 2
    assert len(features) == N_SAMPLES
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == N_SAMPLES


def test_features_do_not_depend_on_the_order_of_samples(case):
    fitted = case.fitted()
    order = np.random.default_rng(1).permutation(N_SAMPLES)
    features = fitted.transform(case.X)
    assert_close(fitted.transform(case.X[order]), features[order])


def test_features_do_not_depend_on_the_other_samples(any_case):
    fitted = any_case.fitted()
    expected = fitted.transform(any_case.X)
    for size in (1, 7):
        parts = np.split(any_case.X, range(size, N_SAMPLES, size))
        single = np.concatenate([fitted.transform(part) for part in parts])
        assert_close(single, expected)


def test_features_do_not_depend_on_the_batch_size(case):
    fitted = case.fitted()
    expected = fitted.transform(case.X)
    for batch_size in (1, 3, "auto"):
        fitted.set_params(batch_size=batch_size)
        assert_close(fitted.transform(case.X), expected)


def test_features_do_not_depend_on_the_cache(case, tmp_path):
    expected = case.features()
    fitted = case.fitted(memory=tmp_path / "cache")
    np.testing.assert_array_equal(fitted.transform(case.X), expected)
    assert fitted.cache_info_ == (0, N_SAMPLES)
    np.testing.assert_array_equal(fitted.transform(case.X), expected)
    assert fitted.cache_info_ == (N_SAMPLES, N_SAMPLES)
    copy = case.fitted(memory=str(tmp_path / "cache"), batch_size=5)
    np.testing.assert_array_equal(copy.transform(case.X[::-3]), expected[::-3])
    assert copy.cache_info_ == (len(case.X[::-3]), 0)
    half = case.fitted(memory=tmp_path / "other")
    half.transform(case.X[::2])
    assert_close(half.transform(case.X), expected)
    assert half.cache_info_ == (N_SAMPLES // 2, N_SAMPLES)


def test_several_threads_share_a_transformer(case, tmp_path):
    for memory in (None, tmp_path / "cache"):
        fitted = case.fitted(memory=memory)
        parts = [case.X[start::4] for start in range(4)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(fitted.transform, parts))
        expected = case.features()
        for start, features in enumerate(found):
            assert_close(features, expected[start::4])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["layers", "files", "module", "unfitted"])
def test_features_are_the_same_in_other_processes(kind, data_dir, tmp_path):
    case = Case(kind, data_dir, tmp_path)
    fitted = case.fitted()
    parts = [case.X[:BATCH_SIZE], case.X[BATCH_SIZE:]]
    n_threads = torch.get_num_threads()  # convolutions are split by threads
    with joblib.parallel_config("loky", inner_max_num_threads=n_threads):
        features = joblib.Parallel(n_jobs=2)(
            joblib.delayed(fitted.transform)(part) for part in parts
        )
    np.testing.assert_array_equal(np.concatenate(features), fitted.transform(case.X))


@pytest.mark.parametrize(
    ("precision", "dtype", "rtol"),
    [("float64", np.float64, RTOL), ("bfloat16", np.float32, 0.05)],
)
def test_other_precisions_are_near(case, precision, dtype, rtol):
    features = case.features(precision=precision)
    assert features.dtype == dtype
    expected = case.features()
    assert_close(features, expected, rtol)
    assert not np.array_equal(features, expected)


# Names and containers


@pytest.mark.parametrize("backbone", ["resnet20", nn.Conv2d(3, 2, 3), CNNClassifier()])
def test_what_learns_something_has_to_be_fitted_again(data_dir, backbone, rng):
    X = rng.integers(0, 256, (2, 32, 32, 3), "uint8")
    weights = data_dir / "weights" / WEIGHTS
    transformer = CNNFeatureTransformer("resnet20", weights=weights).fit(X)
    transformer.set_params(backbone=backbone, weights=None)
    with pytest.raises(NotFittedError):
        transformer.transform(X)


@pytest.mark.parametrize(("name", "value"), [("layer", "conv1"), ("pooling", None)])
def test_names_follow_an_attribute_that_is_set(data_dir, name, value, rng):
    X = rng.integers(0, 256, (2, 32, 32, 3), "uint8")
    weights = data_dir / "weights" / WEIGHTS
    transformer = CNNFeatureTransformer("resnet20", weights=weights, layer="layer1")
    transformer.fit(X).transform(X)
    setattr(transformer, name, value)
    for _ in range(2):
        names = transformer.get_feature_names_out()
        assert len(names) == transformer.transform(X).shape[1]


def test_names_are_those_of_the_network_that_was_fitted(rng):
    X = rng.integers(0, 256, (2, 32, 32), "uint8")
    transformer = CNNFeatureTransformer("lenet5", weights=None).fit(X)
    transformer.set_params(backbone="resnet20")
    assert transformer.get_feature_names_out()[0] == "lenet5_penultimate_0"


def test_feature_names_say_backbone_layer_and_position(case):
    fitted = case.fitted()
    names = fitted.get_feature_names_out()
    assert names.dtype == object
    n_features = fitted.transform(case.X).shape[1]
    np.testing.assert_array_equal(fitted.get_feature_names_out(), names)
    assert len(set(names)) == len(names) == n_features
    backbone, layer = case.backbone, fitted.layer
    if not isinstance(backbone, str):
        backbone = type(backbone).__name__.lower()
    first, last = (layer, layer) if isinstance(layer, str) else (layer[0], layer[-1])
    assert names[0] == f"{backbone}_{first}_0"
    assert names[-1].startswith(f"{backbone}_{last}_")


def test_set_output_gives_data_frames(case):
    expected = case.features()
    names = list(case.fitted().get_feature_names_out())
    for library, container in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        frame = case.make().set_output(transform=library).fit_transform(case.X, case.y)
        assert isinstance(frame, container)
        assert list(frame.columns) == names
        np.testing.assert_array_equal(frame.to_numpy(), expected)
        assert set(map(str, frame.dtypes)) <= {"float32", "Float32"}


def test_attributes_tell_what_was_fitted(case):
    fitted = case.fitted()
    assert isinstance(fitted.module_, nn.Module)
    assert fitted.cache_info_ == (0, 0)
    assert hasattr(fitted, "estimator_") == isinstance(case.backbone, CNNClassifier) * (
        case.learns
    )
    if case.X.dtype.kind == "u":
        shape = fitted.image_shape or case.X.shape[1:]
        assert fitted.image_shape_ == shape
        assert fitted.n_features_in_ == np.prod(shape)
    assert not hasattr(fitted, "feature_names_in_")


def test_the_display_of_notebooks_works(case):
    for transformer in (case.make(), case.fitted()):
        assert "CNNFeatureTransformer" in transformer._repr_html_()
