"""Fixed filters: values, shapes, names, and scikit-learn's contract."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcnn import CNNClassifier, FixedFilterTransformer
from skcnn._fixed_filters import FILTERS, MODES

X, y = load_digits(return_X_y=True)
images = X.reshape(-1, 8, 8)


@pytest.mark.filterwarnings("ignore:X has rows")
@parametrize_with_checks([FixedFilterTransformer()])
def test_scikit_learn_check(estimator, check):
    check(estimator)


def filter_plainly(image, weights):
    """Return a grey image after a filter of 3×3, zeros beyond its border."""
    padded = np.pad(image, 1)
    rows, columns = image.shape
    windows = [
        [padded[i : i + 3, j : j + 3] for j in range(columns)] for i in range(rows)
    ]
    return (np.array(windows) * weights).sum(axis=(2, 3))


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_is_a_weighted_sum_of_the_pixels_beneath(name, rng):
    image = rng.normal(size=(7, 9))
    filtered = FixedFilterTransformer(name, mode="constant").fit_transform(image[None])
    np.testing.assert_allclose(
        filtered[0], filter_plainly(image, FILTERS[name]), atol=1e-12
    )


@pytest.mark.parametrize("mode", MODES)
def test_equals_scipy_in_each_mode(mode, rng):
    batch, weights = rng.normal(size=(2, 6, 7, 3)).astype("f4"), rng.normal(size=(5, 3))
    filtered = FixedFilterTransformer(weights, mode=mode).fit_transform(batch)
    expected = [
        [ndimage.correlate(image[..., c], weights, mode=mode) for c in range(3)]
        for image in batch.astype("f8")
    ]
    expected = np.moveaxis(np.array(expected), 1, -1)
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(filtered, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((2, 8, 9), {}, (2, 8, 9, 7)),
        ((2, 8, 9, 3), {}, (2, 8, 9, 21)),
        ((2, 3, 8, 9), {}, (2, 21, 8, 9)),
        ((2, 5, 8, 9, 3), {}, (2, 5, 8, 9, 21)),
        ((2, 72), {"image_shape": (8, 9)}, (2, 504)),
        ((2, 192), {"image_shape": (3, 8, 8)}, (2, 1344)),
        ((2, 3, 30), {"channel_axis": 1}, (2, 21, 30)),
    ],
)
def test_channels_stay_where_they_are(shape, options, expected, rng):
    X = rng.normal(size=shape)
    transformer = FixedFilterTransformer(**options)
    assert transformer.fit_transform(X).shape == expected
    identity = FixedFilterTransformer("identity", **options).fit_transform(X)
    np.testing.assert_array_equal(identity, X)
    names = transformer.get_feature_names_out()
    assert (
        len(names)
        == len(set(names))
        == 7
        * transformer._layout.n_channels
        * (72 if len(shape) == 2 and options["image_shape"] == (8, 9) else 1)
        or len(names) == expected[1]
    )


def test_names_tell_filter_and_feature_of_rows():
    filters = {"mean": np.ones((2, 2)) / 4, "same": [[1.0]]}
    transformer = FixedFilterTransformer(filters, image_shape=(8, 8)).fit(X)
    rows = transformer.transform(X[:3])
    names = list(transformer.get_feature_names_out())
    np.testing.assert_array_equal(rows[:, names.index("same_x11")], X[:3, 11])
    expected = X[:3, [1, 2, 9, 10]].mean(axis=1)  # an even filter looks back
    np.testing.assert_allclose(rows[:, names.index("mean_x10")], expected)


def test_uint8_does_not_wrap_around():
    X = np.full((1, 4, 4), 255, np.uint8)
    filtered = FixedFilterTransformer(["box_blur", "sharpen"]).fit_transform(X)
    np.testing.assert_allclose(filtered, 255, rtol=1e-6)


def test_pipelines_of_rows_and_of_images():
    rows = make_pipeline(
        FixedFilterTransformer(["identity", "edges_8"], image_shape=(8, 8)),
        RidgeClassifier(),
    )
    assert rows.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.85
    network = CNNClassifier(n_layers=1, max_epochs=1, channel_axis=-1)
    pipeline = make_pipeline(FixedFilterTransformer(), network)
    assert pipeline.fit(images[:50], y[:50]).predict(images[:2]).shape == (2,)
    assert network.image_shape_ == (8, 8, 7)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("blur", "Unknown filter 'blur'. Use 'all', 'identity'"),
        ([], "filters is empty"),
        ([np.ones((3, 3, 3))], r"shape \(3, 3, 3\)"),
        ([[np.nan]], "finite"),
        ({"a": [1, 2]}, r"shape \(2,\)"),
    ],
)
def test_what_is_no_filter(filters, message):
    with pytest.raises(ValueError, match=message):
        FixedFilterTransformer(filters).fit(images[:2])


def test_another_size_than_in_fit():
    transformer = FixedFilterTransformer().fit(images)
    with pytest.raises(ValueError, match=r"\(7, 8\).*fitted on \(8, 8\)"):
        transformer.transform(images[:, 1:])
