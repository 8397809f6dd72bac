import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skcnn.localization import BoxRegressor, stack_boxes
from skcnn.localization.average_precision import paired_iou
from skcnn.localization.box_network import BoxHead
from skcnn.localization.box_targets import BoxLoss


def make_squares(n, rng, side=64):
    """Return dark images with a bright square each, its box, and its colour."""
    X = rng.integers(0, 60, size=(n, side, side, 3), dtype=np.uint8)
    low = rng.integers(0, side // 2, size=(n, 2))
    y = np.hstack([low, low + rng.integers(side // 4, side // 2, size=(n, 1))])
    colors = np.arange(n) % 2
    for image, (left, top, right, bottom), color in zip(X, y, colors, strict=True):
        image[top:bottom, left:right, color] = 255
    return X, y, np.array(["red", "green"])[colors]


@pytest.fixture(scope="module")
def fitted():
    X, y, labels = make_squares(40, np.random.default_rng(0))
    frame = pd.DataFrame({"image": range(40), "label": labels})
    frame[["x_min", "y_min", "x_max", "y_max"]] = y
    reg = BoxRegressor(
        image_size=64, head_epochs=60, max_epochs=1, trainable="head", random_state=0
    )
    return reg.fit(X, frame)


def test_files_hold_plain_data_of_the_package_only(fitted):
    X, _, _ = make_squares(3, np.random.default_rng(1))
    data = skops.io.dumps(fitted)
    types = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("skcnn.") for name in types)
    for loaded in (
        skops.io.loads(data, trusted=types),
        pickle.loads(pickle.dumps(fitted)),
    ):
        np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))


@pytest.mark.slow
def test_it_is_better_than_the_mean_box(fitted):
    X, y, labels = make_squares(20, np.random.default_rng(1))
    boxes = fitted.predict(X)
    mean = np.tile(y.mean(axis=0), (20, 1))
    assert fitted.score(X, y) == pytest.approx(paired_iou(boxes, y).mean())
    assert fitted.score(X, y) > paired_iou(mean, y).mean() + 0.05
    assert (boxes >= 0).all()
    assert (boxes <= 64).all()
    assert fitted.classes_.tolist() == ["green", "red"]
    assert (fitted.predict_labels(X) == labels).mean() > 0.8


@pytest.mark.slow
def test_boxes_are_in_pixels_of_the_images_as_given(fitted):
    X, _, _ = make_squares(2, np.random.default_rng(2))
    wide = X.repeat(3, axis=2)
    np.testing.assert_allclose(
        fitted.predict([*wide, X[0]])[:2, 1::2],
        fitted.predict(X)[:, 1::2],
        atol=3,
    )
    assert fitted.predict([*wide, X[0]])[:2, 2].max() > 64


@pytest.mark.slow
def test_a_stored_fit_predicts_the_same(tmp_path):
    X, y, _ = make_squares(8, np.random.default_rng(4))
    options = {"trainable": "head", "head_epochs": 2, "max_epochs": 1}
    reg = BoxRegressor(image_size=64, memory=tmp_path, random_state=0, **options)
    first = reg.fit(X, y).predict(X)
    assert len(list(tmp_path.glob("fit-*.pickle"))) == 1
    np.testing.assert_array_equal(clone(reg).fit(X, y).predict(X), first)


@pytest.mark.slow
def test_the_network_takes_what_to_input_returns(fitted):
    X, _, _ = make_squares(4, np.random.default_rng(3))
    with torch.inference_mode():
        outputs = fitted.module_.eval()(fitted.to_input(X)).numpy()
    boxes = outputs[:, :4].clip(0, 1) * 64
    np.testing.assert_allclose(fitted.predict(X), boxes, atol=1e-3)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_loss_is_that_of_torchvision(reduction):
    from torchvision.ops import generalized_box_iou_loss

    low, size = torch.rand(2, 5, 2)
    boxes = torch.cat([low, low + size], 1)
    logits, codes = torch.rand(5, 3), torch.tensor([0, 1, 2, 1, 0])
    loss = BoxLoss(reduction)
    value = loss(
        torch.cat([boxes, logits], 1), torch.cat([boxes.flip(0), codes[:, None]], 1)
    )
    expected = generalized_box_iou_loss(boxes, boxes.flip(0), reduction="none")
    expected = expected + torch.nn.functional.cross_entropy(
        logits, codes, reduction="none"
    )
    torch.testing.assert_close(
        value, expected.mean() if reduction == "mean" else expected
    )


def test_the_head_proposes_the_middle_first_and_takes_flat_maps():
    head = BoxHead((2, 4, 6), 0)
    feature_map = torch.rand(3, 2, 4, 6)
    out = head(feature_map)
    torch.testing.assert_close(out[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(head(feature_map.flatten(1)), out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: [*y[:-1], []], r"y\[5\] has 0 boxes, expected one"),
        (lambda y: [*y[:-1], [y[0], y[1]]], r"y\[5\] has 2 boxes"),
        (lambda y: y[:-1], "5 images, but X has 6"),
        (lambda y: [*y[:-1], [5, 5, 100, 20]], "inside its image"),
    ],
)
def test_wrong_boxes_are_named(change, message):
    X, y, _ = make_squares(6, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        BoxRegressor().fit(X, change(list(y)))


@pytest.mark.slow
def test_it_has_to_be_fitted_and_can_be_cloned(fitted):
    with pytest.raises(NotFittedError):
        clone(fitted).predict(np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.slow
def test_augmented_fine_tuning_with_validation_data(scenes):
    X, y, X_test, _ = scenes
    one = [i for i, boxes in enumerate(y) if len(boxes) == 1]
    y = [{"boxes": y[i], "labels": ["digit"]} for i in one]
    reg = BoxRegressor(
        image_size=96,
        augmentation=["flip", "shift", "scale"],
        max_epochs=3,
        random_state=0,
    )
    reg.fit(X[one], stack_boxes(y), X_val=X[one[:3]], y_val=y[:3])
    assert len(reg.validation_scores_) == 3
    assert reg.loss_curve_[-1] < reg.loss_curve_[0]
    assert reg.predict_labels(X_test).tolist() == ["digit"] * len(X_test)
