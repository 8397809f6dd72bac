"""Signals of one and several channels, made and real."""

import gzip

import numpy as np
import pytest
from sklearn.base import clone

from skcnn import CNNClassifier
from skcnn.data import pad_signals
from skcnn.data.augmentation import RandomResizedCrop

SMALL = {"n_layers": 2, "n_filters": 8, "batch_size": 16, "random_state": 0}


@pytest.fixture
def waves(rng):
    """Return signals of two channels, (n, 2, 40), and which of them has a wave."""
    X, y = rng.normal(scale=0.3, size=(120, 2, 40)), np.arange(120) % 2
    X[np.arange(120), y] += np.sin(np.linspace(0, 12, 40) + rng.uniform(0, 6, (120, 1)))
    return X, y


def read_ts(path):
    """Return signals, (n_channels, length) each, and labels of a .ts.gz file."""
    with gzip.open(path, "rt") as file:
        lines = file.read().partition("@data\n")[2].splitlines()
    rows = [line.split(":") for line in lines]
    X = [np.array([c.split(",") for c in row[:-1]], dtype=np.float32) for row in rows]
    return X, np.array([row[-1] for row in rows])


def read_archive(data_dir, name):
    """Return signals and labels to train on, and to test."""
    path = data_dir / "series" / "ucr" / name
    return *read_ts(f"{path}_TRAIN.ts.gz"), *read_ts(f"{path}_TEST.ts.gz")


def test_channels_first_and_channels_last_are_the_same_signals(waves):
    X, y = waves
    clf = CNNClassifier(**SMALL, max_epochs=2, channel_axis=1).fit(X, y)
    other = CNNClassifier(**SMALL, max_epochs=2, channel_axis=-1)
    other.fit(X.transpose(0, 2, 1), y)
    assert clf.module_.block1.conv.weight.shape == (8, 2, 3)
    np.testing.assert_array_equal(
        clf.predict_proba(X), other.predict_proba(X.transpose(0, 2, 1))
    )


def test_one_channel_needs_no_axis(waves):
    X, y = waves
    expected = (
        CNNClassifier(**SMALL, max_epochs=2).fit(X[:, 0], y).predict_proba(X[:, 0])
    )
    for axis in (1, 2):
        signals = np.expand_dims(X[:, 0], axis)
        clf = CNNClassifier(**SMALL, max_epochs=2).fit(signals, y)
        np.testing.assert_allclose(clf.predict_proba(signals), expected, atol=1e-5)


def test_signals_that_may_be_images_are_refused_with_the_readings(waves):
    for axis in (-1, 1, None):
        with pytest.raises(ValueError, match=rf"channel_axis={axis} \("):
            CNNClassifier().fit(*waves)


@pytest.mark.parametrize(
    "augmentation",
    [
        "jitter",
        "scaling",
        "shift",
        "crop",
        "light",
        "strong",
        RandomResizedCrop((0.8, 1.0)),
    ],
    ids=str,
)
def test_augmented_signals_are_learnt(waves, augmentation):
    X, y = waves
    plain = CNNClassifier(**SMALL, max_epochs=10, channel_axis=1).fit(X[:80], y[:80])
    clf = clone(plain).set_params(augmentation=augmentation).fit(X[:80], y[:80])
    assert clf.score(X[80:], y[80:]) > 0.9
    assert clf.loss_curve_ != plain.loss_curve_


@pytest.mark.slow
def test_italy_power_demand_by_the_fcn(data_dir):
    X, y, X_test, y_test = read_archive(data_dir, "ItalyPowerDemand")
    clf = CNNClassifier("fcn", max_epochs=100, random_state=0).fit(np.stack(X), y)
    assert clf.score(np.stack(X_test), y_test) >= 0.93


@pytest.mark.slow
def test_basic_motions_of_six_channels(data_dir):
    X, y, X_test, y_test = read_archive(data_dir, "BasicMotions")
    clf = CNNClassifier(max_epochs=50, channel_axis=1, random_state=0)
    assert clf.fit(np.stack(X), y).score(np.stack(X_test), y_test) >= 0.9


@pytest.mark.slow
def test_japanese_vowels_of_unequal_lengths(data_dir):
    X, y, X_test, y_test = read_archive(data_dir, "JapaneseVowels")
    with pytest.raises(ValueError, match="pad_signals"):
        CNNClassifier(channel_axis=1).fit(X, y)
    X = pad_signals(X)
    X_test = pad_signals(X_test, X.shape[2], truncate=True)
    clf = CNNClassifier("fcn", max_epochs=20, channel_axis=1, random_state=0)
    assert clf.fit(X, y).score(X_test, y_test) >= 0.95
