import pickle

import numpy as np
import pytest
import skops.io
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from torch import nn

from skcnn.localization import SlidingWindowDetector, stack_boxes


class CountingMaps(nn.Module):
    """A convolution of stride 8 that may note in a file the images that it sees."""

    def __init__(self, path=None):
        super().__init__()
        self.path = path
        self.conv = nn.Conv2d(3, 12, 8, stride=8)
        generator = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, generator=generator)

    def forward(self, x):
        if self.path is not None and not x.is_meta:
            with open(self.path, "a") as file:
                file.write(len(x) * ".")
        return self.conv(x).relu()


def small(**params):
    """Return a detector with a small network."""
    options = {"preprocessing": "resnet18", "layer": "conv", "random_state": 0}
    options |= {"n_windows": 2, "window_side": 32}
    return SlidingWindowDetector(**{"backbone": CountingMaps(), **options, **params})


@pytest.fixture(scope="module")
def detector(scenes):
    X, y, _, _ = scenes
    return SlidingWindowDetector(n_windows=1, random_state=0).fit(X, y)


def test_it_finds_digits_on_photographs(detector, scenes):
    _, _, X, y = scenes
    assert detector.score(X, y) > 0.7


def test_skops_reads_it_with_types_of_the_package_only(detector, scenes):
    _, _, X, _ = scenes
    data = skops.io.dumps(detector)
    types = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("skcnn.localization.") for name in types)
    loaded = skops.io.loads(data, trusted=types)
    for one, other in zip(detector.predict(X), loaded.predict(X), strict=True):
        np.testing.assert_equal(one, other)


def test_detections_are_boxes_best_first(detector, scenes):
    _, _, X, _ = scenes
    found = detector.predict(X)
    assert sum(len(one["boxes"]) for one in found) >= 5
    for one in found:
        assert (np.diff(one["scores"]) <= 0).all()
        assert (one["scores"] >= 0).all()
        assert (one["labels"] == 0).all()
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= X.shape[1]).all()
    frame = detector.predict_frame(X)
    assert len(frame) == sum(len(one["boxes"]) for one in found)


def test_score_maps_hold_the_best_score(detector, scenes):
    _, _, X, _ = scenes
    maps = detector.decision_function(X[:2])
    best = detector.predict(X[:1])[0]["scores"][0]
    assert max(one.max() for one in maps[0]) == pytest.approx(best)
    assert [one.ndim for one in maps[1]] == [3] * len(detector.window_sizes_)


def test_files_of_any_size_and_arrays_are_read_alike(detector, scenes):
    _, _, X, _ = scenes
    several = [Image.fromarray(X[0]), Image.fromarray(X[1][:80])]
    found = detector.predict(several)
    np.testing.assert_allclose(
        found[0]["boxes"], detector.predict(X[:1])[0]["boxes"], atol=1e-6
    )
    assert len(found) == 2


def test_a_copy_detects_the_same(detector, scenes):
    _, _, X, _ = scenes
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(
        copy.predict(X[:2])[0]["scores"], detector.predict(X[:2])[0]["scores"]
    )


def test_a_search_runs_the_backbone_once(scenes, tmp_path):
    X, y, _, _ = scenes
    y = [{"boxes": boxes, "labels": ["digit"] * len(boxes)} for boxes in y]
    path = tmp_path / "images"
    network = small(backbone=CountingMaps(str(path)), memory=tmp_path / "features")
    grid = {"estimator__C": [1e-3, 1e-1], "nms_threshold": [0.2, 0.5]}
    search = GridSearchCV(network, grid, cv=2).fit(X, y)
    scales = {size.scale for size in search.best_estimator_.window_sizes_}
    n_seen = len(path.read_text())
    assert len(X) <= n_seen <= len(X) * (len(scales) + 1)  # a fold may need another one
    assert search.best_estimator_.classes_.tolist() == ["digit"]
    search.predict(X)
    assert len(path.read_text()) == n_seen


def test_classes_and_other_linear_models(scenes):
    X, y, _, _ = scenes
    labels = [np.where(boxes[:, 0] < 30, "left", "right") for boxes in y]
    y = [{"boxes": boxes, "labels": one} for boxes, one in zip(y, labels, strict=True)]
    model = small(estimator=LinearSVC(C=1e-3)).fit(X, stack_boxes(y))
    assert model.classes_.tolist() == ["left", "right"]
    assert model.decision_function(X[:1])[0][0].shape[0] == 2
    assert set(model.set_params(threshold=-9.0).predict(X[:1])[0]["labels"]) == {
        "left",
        "right",
    }


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimator": KNeighborsClassifier()}, TypeError, "expected a linear"),
        ({"preprocessing": "auto"}, ValueError, "is not pretrained"),
        ({"layer": "nowhere"}, ValueError, "nowhere"),
        ({"n_windows": 0}, ValueError, "n_windows"),
        ({"nms_threshold": 2.0}, ValueError, "nms_threshold"),
    ],
)
def test_wrong_parameters_are_named(scenes, params, error, message):
    X, y, _, _ = scenes
    with pytest.raises(error, match=message):
        small(**params).fit(X, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[:-1], "19 images, but X has 20"),
        (lambda y: [[] for _ in y], "y has no boxes"),
        (lambda y: [*y[:-1], [[0, 0, 500, 5]]], r"y\[19\].*inside its image"),
        (lambda y: [*y[:-1], [[9, 9, 5, 5]]], r"y\[19\].*x_min < x_max"),
        (lambda y: [*y[:-1], [[np.nan, 9, 5, 5]]], r"y\[19\].*finite"),
    ],
)
def test_wrong_boxes_are_named(scenes, change, message):
    X, y, _, _ = scenes
    with pytest.raises(ValueError, match=message):
        small().fit(X, change(y))


def test_parameters_of_the_default_model_can_be_set():
    one, other = SlidingWindowDetector(), SlidingWindowDetector()
    one.set_params(estimator__C=3.0)
    assert one.estimator.C == 3.0
    assert other.estimator is None
    assert clone(one).get_params()["estimator__C"] == 3.0
    given = SlidingWindowDetector(LogisticRegression(C=2.0))
    assert given.set_params(estimator__C=4.0).estimator.C == 4.0


def test_it_has_to_be_fitted(scenes):
    with pytest.raises(NotFittedError):
        SlidingWindowDetector().predict(scenes[0])
