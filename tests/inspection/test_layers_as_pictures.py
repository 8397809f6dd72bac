"""Filters, feature maps and the patches that excite filters."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.nn import functional as F

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.inspection import FeatureMapDisplay, FilterDisplay, TopPatchesDisplay

digits = load_digits()
X, y = digits.images[:200], digits.target[:200]


@pytest.fixture(scope="module")
def clf():
    return CNNClassifier(n_layers=2, n_filters=6, max_epochs=2, random_state=0).fit(
        X, y
    )


@pytest.fixture(scope="module")
def photographs():
    return np.stack(load_sample_images().images)[:, :224, :224]


@pytest.fixture(scope="module")
def transformer(photographs):
    return CNNFeatureTransformer(image_size=224).fit(photographs)


def first_maps(clf, images):
    """Return what the first convolution makes of digits, computed from its weights."""
    conv = clf.module_.block1.conv
    batch = (images[:, None] - clf.scaler_.mean_[0]) / clf.scaler_.scale_[0]
    batch = torch.as_tensor(batch, dtype=torch.float32)
    return F.conv2d(batch, conv.weight, conv.bias, padding=1).detach().numpy()


def test_filters_are_the_weights(clf):
    display = FilterDisplay.from_estimator(clf, "block2", n_filters=5, channel=3)
    weights = clf.module_.block2.conv.weight.detach().numpy()
    np.testing.assert_array_equal(display.filters, weights[:5])
    assert display.layer == "block2.conv"
    drawn = display.axes_.flat[4].images[0].get_array()
    np.testing.assert_allclose(
        drawn, 0.5 + weights[4, 3] / (2 * abs(weights[:5]).max()), rtol=1e-6
    )
    with pytest.raises(ValueError, match="channel=6, expected 0 to 5"):
        display.plot(channel=6)
    with pytest.raises(ValueError, match="without a convolution"):
        FilterDisplay.from_estimator(clf, "block2.pool")


def test_filters_of_colours_have_colours(transformer):
    display = FilterDisplay.from_estimator(transformer)
    weights = transformer.module_.conv_stem.weight.detach().numpy()
    np.testing.assert_array_equal(display.filters, weights)
    red, green, blue = np.moveaxis(display.axes_.flat[1].images[0].get_array(), 2, 0)
    drawn = (np.stack([red, green, blue]) - 0.5) * 2 * abs(weights).max()
    np.testing.assert_allclose(drawn, weights[1], atol=1e-6)


@pytest.mark.parametrize("wrap", [False, True], ids=["bare", "pipeline"])
def test_maps_are_what_the_layer_returns(clf, wrap):
    estimator = clf
    if wrap:
        estimator = make_pipeline(CNNFeatureTransformer(clf), LogisticRegression())
        estimator.fit(X, y)
    display = FeatureMapDisplay.from_estimator(
        estimator, X, ["block1.conv", "block2"], row=-2, n_maps=4
    )
    expected = first_maps(clf, X[-2:-1])[0]
    chosen = np.sort(np.argsort(-expected.std((1, 2)))[:4])
    np.testing.assert_array_equal(display.channels["block1.conv"], chosen)
    np.testing.assert_allclose(display.maps["block1.conv"], expected[chosen], atol=1e-5)
    assert display.maps["block2"].shape == (4, 2, 2)
    np.testing.assert_allclose(display.pixels[0], X[-2], atol=1e-5)


def test_maps_of_signals_are_curves():
    signals = np.random.default_rng(0).normal(size=(40, 2, 30))
    clf = CNNClassifier("fcn", channel_axis=1, max_epochs=1).fit(signals, y[:40] > 4)
    display = FeatureMapDisplay.from_estimator(clf, signals, n_maps=2)
    drawn = [line.get_ydata() for line in display.axes_[0, 0].lines]
    np.testing.assert_allclose(drawn, signals[0], atol=1e-5)
    maps = next(iter(display.maps.values()))
    np.testing.assert_array_equal(display.axes_[0, 1].lines[0].get_ydata(), maps[0])


def test_patches_are_where_a_filter_is_excited_most(clf):
    display = TopPatchesDisplay.from_estimator(
        clf, X, "block1.conv", filters=[4, 1], n_patches=3
    )
    maps = first_maps(clf, X)[:, [4, 1]]
    highest = maps.reshape(len(X), 2, -1).max(2)
    rows = np.argsort(-highest, axis=0, kind="stable")[:3].T
    np.testing.assert_array_equal(display.rows["block1.conv"], rows)
    for i in range(2):
        for j, row in enumerate(rows[i]):
            at = np.unravel_index(maps[row, i].argmax(), (8, 8))
            high, low = np.add(at, 2), np.maximum(np.subtract(at, 1), 0)
            patch = X[row][low[0] : high[0], low[1] : high[1]] / 16
            drawn = display.patches["block1.conv"][i][j]
            np.testing.assert_allclose(drawn * X[rows].max() / 16, patch, atol=1e-6)


def test_patches_hold_all_that_a_position_depends_on(transformer, photographs):
    display = TopPatchesDisplay.from_estimator(
        transformer, photographs, "blocks.2", filters=[7], n_patches=1
    )
    photograph = photographs[display.rows["blocks.2"][0, 0]]
    patch = (display.patches["blocks.2"][0][0] * 255).round().astype(np.uint8)
    assert 0 < len(patch) < 100
    windows = np.lib.stride_tricks.sliding_window_view(photograph, patch.shape)
    top, left = np.argwhere((windows[:, :, 0] == patch).all((2, 3, 4)))[0]
    alone = np.full_like(photograph, 128)
    alone[top : top + len(patch), left : left + patch.shape[1]] = patch
    again = TopPatchesDisplay.from_estimator(
        transformer, alone[None], "blocks.2", filters=[7], n_patches=1
    )
    highest, of_the_patch = (d.activations["blocks.2"][0, 0] for d in (display, again))
    assert of_the_patch >= highest - 1e-3


def test_layers_without_positions_are_refused(clf):
    with pytest.raises(ValueError, match="'output' returns shape"):
        FeatureMapDisplay.from_estimator(clf, X, "output")
    with pytest.raises(ValueError, match="expected channels of 'block1'"):
        TopPatchesDisplay.from_estimator(clf, X, "block1", filters=[6])
    with pytest.raises(ValueError, match="row=200, expected a row of X, 0 to 199"):
        FeatureMapDisplay.from_estimator(clf, X, row=200)
