"""Feature maps, filters and the patches that excite them."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcnn import CNNClassifier
from skcnn.inspection import FeatureMapDisplay, FilterDisplay, TopPatchesDisplay


def block_outputs(clf, X):
    """Return what the first two blocks return, by plain calls."""
    net, scaler = clf.module_.eval(), clf.scaler_
    x = torch.as_tensor((X - scaler.mean_) / scaler.scale_, dtype=torch.float32)
    with torch.no_grad():
        first = net.block1(x[:, None])
        return first.numpy(), net.block2(first).numpy()


def test_feature_maps_are_what_layers_return(digits, digits_clf):
    display = FeatureMapDisplay.from_estimator(
        digits_clf, digits[0], row=3, layers=["block1", "block2"], n_maps=5
    )
    expected = block_outputs(digits_clf, digits[0][3:4])
    for maps, channels, output in zip(
        display.maps, display.channels, expected, strict=True
    ):
        np.testing.assert_allclose(maps, output[0, channels], rtol=1e-4, atol=1e-5)
        deviations = output[0].std(axis=(1, 2))
        assert deviations[channels].min() >= np.sort(deviations)[-5] - 1e-6
    np.testing.assert_allclose(
        display.axes_[1, 2].images[0].get_array(), display.maps[1][1]
    )
    np.testing.assert_allclose(
        display.picture * digits[0][3].max(), digits[0][3], atol=1e-5
    )


def test_blocks_are_shown_if_no_layers_are_chosen(digits, digits_clf):
    display = FeatureMapDisplay.from_estimator(digits_clf, digits[0], channels=[2, 0])
    assert display.layers == ["block1", "block2", "block3"]
    assert [channels.tolist() for channels in display.channels] == [[2, 0]] * 3


def test_signals_have_feature_maps(rng):
    X = rng.normal(size=(20, 3, 50))
    clf = CNNClassifier("fcn", max_epochs=1, channel_axis=1).fit(X, np.arange(20) % 2)
    display = FeatureMapDisplay.from_estimator(clf, X, n_maps=2)
    assert [maps.shape for maps in display.maps] == [(2, 50)] * 3
    assert FilterDisplay.from_estimator(clf).filters.shape == (32, 3, 8)
    with pytest.raises(ValueError, match="two spatial axes"):
        TopPatchesDisplay.from_estimator(clf, X)


def test_filters_are_the_weights(digits_clf):
    pipeline = make_pipeline(FunctionTransformer(), digits_clf)
    display = FilterDisplay.from_estimator(pipeline, layer="block2", n_filters=7)
    weights = digits_clf.module_.block2.conv.weight.detach().numpy()
    np.testing.assert_allclose(display.filters, weights[:7])
    assert display.layer == "block2.conv"
    image = display.axes_[0, 6].images[0]
    np.testing.assert_allclose(image.get_array(), weights[6].mean(axis=0), rtol=1e-5)
    assert image.norm.vmax == -image.norm.vmin
    first = FilterDisplay.from_estimator(digits_clf)
    assert first.layer == "block1.conv"
    with pytest.raises(ValueError, match="has no convolution"):
        FilterDisplay.from_estimator(digits_clf, layer="output")


def test_top_patches_are_those_of_a_search_of_all(digits, digits_clf):
    X = digits[0][:40]
    display = TopPatchesDisplay.from_estimator(
        digits_clf, X, layers=["block1", "block2"], channels=[4, 9], n_patches=3
    )
    outputs = block_outputs(digits_clf, X)
    for top, output in zip(display.layers, outputs, strict=True):
        for index, channel in enumerate([4, 9]):
            largest = output[:, channel].max(axis=(1, 2))
            expected = np.sort(largest)[::-1][:3]
            np.testing.assert_allclose(top.responses[index], expected, rtol=1e-4)
            for row, place in zip(top.rows[index], top.positions[index], strict=True):
                response = output[row, channel][tuple(place)]
                np.testing.assert_allclose(response, largest[row], rtol=1e-5)


def test_a_patch_is_what_a_response_depends_on(digits, digits_clf):
    """What is outside of it may change without changing the response."""
    X = digits[0][:40]
    top = TopPatchesDisplay.from_estimator(
        digits_clf, X, layers="block1", channels=[4], n_patches=5
    ).layers[0]
    n_inside = 0
    for index, row in enumerate(top.rows[0]):
        place = top.positions[0, index]
        if place.min() == 0 or place.max() == 3:
            continue  # at the border, where the patch was moved into the image
        n_inside += 1
        start = 2 * place - 1  # of a filter of 3 and a pooling of 2
        part = np.s_[start[0] : start[0] + 4, start[1] : start[1] + 4]
        np.testing.assert_allclose(top.patches[0, index], X[row][part] / 16, atol=1e-6)
        other = np.zeros_like(X[row])
        other[part] = X[row][part]
        response = block_outputs(digits_clf, other[None])[0][0, 4][tuple(place)]
        np.testing.assert_allclose(response, top.responses[0, index], rtol=1e-4)
    assert n_inside


def test_unknown_layers_and_channels_are_an_error(digits, digits_clf):
    with pytest.raises(ValueError, match="Close ones are 'block1'"):
        FeatureMapDisplay.from_estimator(digits_clf, digits[0], layers="blok1")
    with pytest.raises(ValueError, match="channels 0 to 31"):
        TopPatchesDisplay.from_estimator(
            digits_clf, digits[0][:5], layers="block1", channels=[32]
        )
