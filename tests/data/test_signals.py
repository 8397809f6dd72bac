import re

import numpy as np
import pytest
import torch

from skcnn.data import pad_signals

LENGTHS = [7, 29, 1, 12]


@pytest.fixture(params=["f4", "f8", "i2", "u1", "?"])
def signals(request, rng):
    return [rng.integers(0, 2, (3, n)).astype(request.param) for n in LENGTHS]


@pytest.mark.parametrize("length", [None, 29, 40])
def test_signals_keep_their_values_and_are_followed_by_the_fill_value(signals, length):
    padded = pad_signals(signals, length, fill_value=1)
    assert padded.shape == (4, 3, length or max(LENGTHS))
    for row, signal in zip(padded, signals, strict=True):
        np.testing.assert_array_equal(row[:, : signal.shape[1]], signal)
        assert (row[:, signal.shape[1] :] == 1).all()


def test_numbers_keep_their_dtype(signals):
    expected = int if signals[0].dtype == bool else signals[0].dtype
    assert pad_signals(signals).dtype == expected
    assert pad_signals(signals, fill_value=0.5).dtype.kind == "f"


def test_signals_of_one_length_stay_as_they_are(rng):
    X = rng.normal(size=(5, 2, 9))
    np.testing.assert_array_equal(pad_signals(X), X)
    np.testing.assert_array_equal(pad_signals(list(torch.from_numpy(X))), X)
    np.testing.assert_array_equal(pad_signals(X.tolist()), X)


def test_signals_without_channels_get_one():
    padded = pad_signals([[1, 2], [3], np.array([4, 5, 6])])
    assert padded.tolist() == [[[1, 2, 0]], [[3, 0, 0]], [[4, 5, 6]]]


def test_longer_signals_are_cut_only_where_that_is_asked_for(signals):
    with pytest.raises(ValueError, match=r"29 steps.*length=12.*truncate=True"):
        pad_signals(signals, 12)
    padded = pad_signals(signals, 12, truncate=True)
    np.testing.assert_array_equal(padded, pad_signals(signals)[..., :12])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "has no signals"),
        ([np.zeros((2, 5)), np.zeros((3, 5))], "of 2 and of 3 channels"),
        (
            [np.zeros((2, 5)), np.zeros((1, 2, 5))],
            r"Signal 1 of X has shape \(1, 2, 5\)",
        ),
        ([[1.0], []], r"Signal 1 of X has shape \(0,\)"),
        ([[1.0], ["a"]], "Signal 1 of X has .*dtype <U1"),
        ([3.0], r"Signal 0 of X has shape \(\)"),
    ],
    ids=str,
)
def test_what_cannot_be_signals_is_refused_in_words(X, message):
    with pytest.raises(ValueError, match=message):
        pad_signals(X)


@pytest.mark.parametrize("length", [0, -1])
def test_a_length_is_positive(length):
    with pytest.raises(ValueError, match="length"):
        pad_signals([[1.0]], length, truncate=True)


def test_a_length_is_an_integer():
    with pytest.raises(TypeError, match="length"):
        pad_signals([[1.0]], 2.5)


@pytest.mark.parametrize("fill_value", [0.5, np.nan, np.inf, -1e300])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "?"])
def test_integers_become_floats_where_the_fill_value_is_one(dtype, fill_value):
    padded = pad_signals([np.ones(3, dtype), np.ones(2, dtype)], fill_value=fill_value)
    assert padded.dtype == float
    np.testing.assert_array_equal(padded[:, 0], [[1, 1, 1], [1, 1, fill_value]])


@pytest.mark.parametrize(
    ("dtype", "fill_value", "limits"),
    [
        ("u1", -1, "0 to 255"),
        ("u1", 256, "0 to 255"),
        ("i2", 40_000, "-32768 to 32767"),
        ("f2", 1e5, "-65504.0 to 65504.0"),
        ("f4", -1e300, r"-3.40\d+e\+38 to 3.40\d+e\+38"),
    ],
)
def test_a_fill_value_that_the_dtype_does_not_hold_is_refused(
    dtype, fill_value, limits
):
    signals = [np.ones(3, dtype), np.ones(2, dtype)]
    name, value = np.dtype(dtype).name, re.escape(repr(fill_value))
    words = rf"fill_value={value} .*{name},.*: {limits}\. Choose"
    with pytest.raises(ValueError, match=words):
        pad_signals(signals, fill_value=fill_value)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("fill_value", [np.nan, np.inf, -np.inf])
def test_a_fill_value_may_be_what_is_not_finite(dtype, fill_value):
    padded = pad_signals([np.ones(2, dtype), np.ones(1, dtype)], fill_value=fill_value)
    assert padded.dtype == dtype
    np.testing.assert_array_equal(padded[1], [[1, fill_value]])


@pytest.mark.parametrize("make", [np.int16, np.float32])
def test_a_fill_value_may_be_a_number_of_a_library(make):
    padded = pad_signals([np.ones(2, "u1"), np.ones(1, "u1")], fill_value=make(-1))
    assert padded.tolist() == [[[1, 1]], [[1, -1]]]


@pytest.mark.parametrize("fill_value", [[0, 1], np.zeros(2), None, "a"], ids=repr)
def test_a_fill_value_is_one_number(fill_value):
    with pytest.raises(TypeError, match="fill_value must be an instance of"):
        pad_signals([np.ones(2), np.ones(1)], fill_value=fill_value)
