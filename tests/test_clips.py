"""Clips go through the same door as images."""

import numpy as np
import pytest

from skcnn import CNNClassifier

SMALL = {"n_layers": 2, "n_filters": 8, "max_epochs": 10, "batch_size": 16}
N_CLIPS, N_FRAMES, SIDE = 120, 6, 8


@pytest.fixture(params=[1, 3])
def bars(request, rng):
    """Return clips of a bar that moves to the left or to the right, as bytes.

    It enters again on the other side, so that frames and pixels do not tell where
    it moves.
    """
    X = np.zeros((N_CLIPS, N_FRAMES, SIDE, SIDE, request.param), np.uint8)
    y = np.arange(N_CLIPS) % 2
    for clip, is_right, start in zip(X, y, rng.integers(0, SIDE, N_CLIPS), strict=True):
        for t, frame in enumerate(clip):
            frame[:, (start + t * (1 if is_right else -1)) % SIDE] = 200
    return X, np.array(["left", "right"])[y]


def test_the_direction_of_motion_is_learnt(bars):
    X, y = bars
    clf = CNNClassifier(**SMALL, random_state=0).fit(X[:80], y[:80])
    assert clf.score(X[80:], y[80:]) == 1
    backwards = np.where(y == "left", "right", "left")
    assert clf.score(X[80:, ::-1], backwards[80:]) > 0.9


def test_frames_on_their_own_do_not_tell_it(bars):
    X, y = bars
    frames = X[:, N_FRAMES // 2]
    clf = CNNClassifier(**SMALL, random_state=0).fit(frames[:80], y[:80])
    assert clf.score(frames[80:], y[80:]) < 0.8


def test_channels_of_clips_may_be_first(bars):
    X, y = bars
    clf = CNNClassifier(**SMALL, random_state=0).fit(X[:40], y[:40])
    first = np.moveaxis(X, -1, 1)
    other = CNNClassifier(**SMALL, channel_axis=1, random_state=0).fit(
        first[:40], y[:40]
    )
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(first))
