"""Warnings that tell of data which are likely to mean something else."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNClassifier, CNNFeatureTransformer, CNNRegressor

UNIT = "seem to have another unit than those of fit"


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, 8, 8)).astype(np.uint8), np.arange(40) % 2


def small(**params):
    params = {
        "n_layers": 1,
        "n_filters": 2,
        "max_epochs": 1,
        "random_state": 0,
    } | params
    return CNNClassifier(**params)


def warnings_of(function, *args, **kwargs):
    """Return the warnings of a call, as (message, file)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return [(str(warning.message), warning.filename) for warning in caught]


@pytest.mark.parametrize(
    ("fitted", "given"),
    [
        (lambda X: X, lambda X: X / 255),
        (lambda X: X, lambda X: X.astype(np.float32) / 127.5 - 1),
        (lambda X: X, lambda X: X > 127),
        (lambda X: X / 255, lambda X: X),
        (lambda X: X > 127, lambda X: X),
    ],
)
def test_another_unit_in_predict(images, fitted, given):
    X, y = images
    clf = small().fit(fitted(X), y)
    (message, file), *others = warnings_of(clf.predict_proba, given(X))
    assert UNIT in message
    assert file == __file__
    assert not others


@pytest.mark.parametrize(
    ("fitted", "given"),
    [
        (lambda X: X, lambda X: X.astype(np.float64)),
        (lambda X: X, lambda X: X[:1] * 0.5),
        (lambda X: X, lambda X: X * 0.0),
        (lambda X: X > 127, lambda X: (X > 127).astype(np.int8)),
        (lambda X: X / 255, lambda X: X / 25500),  # of the same kind
    ],
)
def test_same_unit_in_predict(images, fitted, given):
    X, y = images
    small().fit(fitted(X), y).predict(given(X))


def test_another_unit_in_validation_data(images):
    X, y = images
    with pytest.warns(UserWarning, match=UNIT):
        small().fit(X, y, X_val=X / 255, y_val=y)


def test_another_unit_in_transform(images):
    X, y = images
    transformer = CNNFeatureTransformer(small().fit(X, y)).fit(X)
    with pytest.warns(UserWarning, match=UNIT):
        transformer.transform(X / 255)


@pytest.mark.parametrize(
    ("length", "shape"), [(64, "(8, 8)"), (784, "(28, 28)"), (192, "(8, 8, 3)")]
)
def test_flattened_images(length, shape):
    X = np.random.default_rng(0).random((20, length))
    message = rf"rows of {length} values.*image_shape={shape}".replace("(", r"\(")
    with pytest.warns(UserWarning, match=message.replace(")", r"\)")):
        small().fit(X, np.arange(20) % 2)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((49,), None), ((150,), None), ((64, 1), None), ((64,), (64,)), ((64,), (8, 8))],
)
def test_signals_without_a_warning(shape, image_shape):
    X = np.random.default_rng(0).random((20, *shape))
    small(image_shape=image_shape).fit(X, np.arange(20) % 2)


def test_columns_of_unequal_scales():
    X, y = load_wine(return_X_y=True)
    with pytest.warns(UserWarning, match=r"scales from 0\.124 to 314.*StandardScaler"):
        CNNRegressor(n_layers=1, n_filters=2, max_epochs=1).fit(X, y)
    make_pipeline(StandardScaler(), small()).fit(X, y)
