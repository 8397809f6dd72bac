"""Neighbours and embeddings: what is drawn against plain computations."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.inspection import EmbeddingDisplay, NeighborsDisplay
from skcnn.inspection.feature_space import compute_features

X, y = load_digits(return_X_y=True)
X, y = X[:120], y[:120]


@pytest.fixture(scope="module")
def network():
    return CNNClassifier(
        n_layers=1, n_filters=4, image_shape=(8, 8), max_epochs=1, random_state=0
    ).fit(X, y)


def test_features_are_those_that_an_estimator_uses(network):
    features = CNNFeatureTransformer(network).fit(X).transform(X)
    np.testing.assert_array_equal(compute_features(network, X), features)
    transformer = CNNFeatureTransformer(network).fit(X)
    np.testing.assert_array_equal(compute_features(transformer, X), features)
    scaled = StandardScaler().fit_transform(features)
    pipeline = make_pipeline(transformer, StandardScaler(), SVC()).fit(X, y)
    np.testing.assert_allclose(compute_features(pipeline, X), scaled, atol=1e-6)
    search = GridSearchCV(pipeline, {"svc__C": [1]}, cv=2).fit(X, y)
    np.testing.assert_allclose(compute_features(search, X), scaled, atol=1e-6)
    ending = make_pipeline("passthrough", network).fit(X, y)
    refitted = CNNFeatureTransformer(ending[-1]).fit(X).transform(X)
    np.testing.assert_array_equal(compute_features(ending, X), refitted)
    with pytest.raises(TypeError, match="SVC computes no features"):
        compute_features(SVC(), X)


def test_neighbours_are_the_nearest_of_the_other_rows(network):
    display = NeighborsDisplay.from_estimator(
        network, X, y, queries=[3, 50], n_neighbors=4
    )
    features = compute_features(network, X)
    for i, query in enumerate([3, 50]):
        distances = cdist(features[[query]], features)[0]
        distances[query] = np.inf
        expected = np.sort(distances)[:4]
        np.testing.assert_allclose(display.distances[i], expected, rtol=1e-5)
        np.testing.assert_allclose(distances[display.rows[i]], expected, rtol=1e-5)
        np.testing.assert_array_equal(display.labels[i], y[display.rows[i]])
        np.testing.assert_array_equal(display.query_labels[i], y[query])
        image = X[display.rows[i, 1]].reshape(8, 8)
        drawn = np.asarray(display.axes_[i, 2].images[0].get_array())
        np.testing.assert_allclose(drawn * 16, image)
    frames = [ax.spines["top"].get_linestyle() for ax in display.axes_[:, 1:].flat]
    same = (display.labels == display.query_labels[:, None]).ravel()
    assert [frame == "-" for frame in frames] == same.tolist()


def test_queries_and_rows_without_features(rng):
    features = rng.normal(size=(6, 3))
    features[2] = np.nan
    display = NeighborsDisplay.from_features(features, np.zeros((6, 4, 4)))
    assert 2 not in display.rows
    assert display.rows.shape == (4, 4)  # five rows have features
    with pytest.raises(ValueError, match="queries holds 2, expected rows"):
        NeighborsDisplay.from_features(features, np.zeros((6, 4, 4)), queries=[2])
    with pytest.raises(ValueError, match="5 rows, but X has 6 images"):
        NeighborsDisplay.from_features(features[:5], np.zeros((6, 4, 4)))


def overlap(first, second):
    a, b = first, second
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


SLOW_METHODS = [pytest.param(name, marks=pytest.mark.slow) for name in ("tsne", "lle")]


@pytest.mark.parametrize("method", ["pca", KernelPCA(2), *SLOW_METHODS])
def test_thumbnails_are_at_their_places_and_do_not_overlap(method, network):
    display = EmbeddingDisplay.from_estimator(
        network, X, y, method=method, random_state=0
    )
    boxes = list(display.boxes_.values())
    assert len(boxes) > 10
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(overlap(a, b) for a, b in pairs)
    for row, (left, right, bottom, top) in display.boxes_.items():
        centre = (left + right) / 2, (bottom + top) / 2
        np.testing.assert_allclose(centre, display.embedding[row], atol=1e-9)
        np.testing.assert_allclose(
            display.thumbnails[row] * 16, X[row].reshape(8, 8), atol=1e-9
        )
    size = np.ptp(display.embedding, axis=0)
    for row, place in enumerate(display.embedding):  # and the others have no room
        shown = display.embedding[list(display.boxes_)]
        gaps = (np.abs(shown - place) / size).max(axis=1)
        assert row in display.boxes_ or gaps.min() < display.side


def test_principal_components_of_the_features(network):
    display = EmbeddingDisplay.from_estimator(network, X)
    expected = PCA(2, svd_solver="full").fit_transform(compute_features(network, X))
    np.testing.assert_allclose(display.embedding, expected, rtol=1e-4, atol=1e-4)
    assert display.ax_.get_xlabel().startswith("Component 1 (")


def test_values_have_a_colour_bar_and_skipped_rows_are_left_out(network):
    features = compute_features(network, X)
    features[5] = np.nan
    display = EmbeddingDisplay.from_features(
        features, X, X.mean(axis=1), image_shape=(8, 8)
    )
    assert len(display.embedding) == len(display.labels) == len(X) - 1
    assert len(display.figure_.axes) == 2
    with pytest.raises(ValueError, match="Unknown method 'umap'"):
        EmbeddingDisplay.from_features(features, X, method="umap")


@pytest.mark.slow
def test_real_photographs_as_files(data_dir):
    folder = data_dir / "images" / "hymenoptera" / "val"
    files = [
        f for name in ("ants", "bees") for f in sorted((folder / name).iterdir())[:10]
    ]
    labels = [file.parent.name for file in files]
    transformer = CNNFeatureTransformer(image_size=96)
    pipeline = make_pipeline(transformer, StandardScaler(), LogisticRegression())
    pipeline.fit(files, labels)
    features = pipeline[:-1].transform(files)
    display = NeighborsDisplay.from_estimator(pipeline, files, labels)
    for query, rows in zip([0, 5, 10, 15], display.rows, strict=True):
        distances = cdist(features[[query]], features)[0]
        np.testing.assert_array_equal(rows, np.argsort(distances)[1:6])
    display = EmbeddingDisplay.from_estimator(pipeline, files, labels)
    boxes = list(display.boxes_.values())
    assert not any(overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
