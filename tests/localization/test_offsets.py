"""Offsets of boxes from windows."""

import numpy as np
import torch

from skcnn.localization.offsets import box_offsets, fit_offsets, move_boxes
from skcnn.localization.windows import Windows


def random_boxes(rng, n):
    low = rng.uniform(100, 200, size=(n, 2))
    return np.hstack([low, low + rng.uniform(50, 70, size=(n, 2))])


def test_a_window_moved_by_its_offsets_is_the_box(rng):
    windows, boxes = random_boxes(rng, 50), random_boxes(rng, 50)
    boxes = windows + 0.2 * (boxes - windows)
    moved = move_boxes(windows, box_offsets(windows, boxes), (640, 480))
    np.testing.assert_allclose(moved, boxes)


def test_moved_boxes_stay_in_the_image(rng):
    windows = random_boxes(rng, 50)
    moved = move_boxes(windows, rng.normal(size=(50, 4)), (180, 160))
    assert (moved >= 0).all()
    assert (moved <= [180, 160, 180, 160]).all()


def test_offsets_that_depend_on_features_are_learnt(rng):
    X, weight = rng.normal(size=(500, 8)).astype(np.float32), rng.normal(size=(8, 4))
    offsets = X @ weight
    X[:, 0] *= 100  # features are standardised
    learnt = fit_offsets(X[:400], offsets[:400], n_cells=2)
    maps = (Windows(torch.from_numpy(x).view(2, 2, 2), np.ones(2), 2) for x in X[400:])
    found = np.stack([learnt.values(one).flatten().numpy() for one in maps])
    assert np.corrcoef(found.ravel(), offsets[400:].ravel())[0, 1] > 0.99
