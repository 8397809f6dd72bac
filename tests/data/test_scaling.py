import numpy as np
import pytest
import torch

from skcnn.data import ChannelScaler, Layout, find_layout
from skcnn.data import scaling as scaling_module

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
DTYPES += [">u2", ">i4", ">f4", ">f8", "g"]
TORCH_DTYPES = ["?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
LAYOUT = Layout((4, 5, 3), (4, 5, 3), 2)


def integers(rng, dtype, shape=(7, 4, 5, 3)):
    """Draw values that `dtype` holds exactly."""
    high = 2 if dtype == "?" else 120
    return rng.integers(0, high, size=shape).astype(dtype)


def moments(X, weight=None):
    """Return mean and standard deviation of the last axis by NumPy, in float64."""
    X = X.astype(np.float64)
    weight = np.ones(len(X)) if weight is None else weight
    weight = np.broadcast_to(weight[:, None, None, None], X.shape)
    mean = np.average(X, axis=(0, 1, 2), weights=weight)
    variance = np.average((X - mean) ** 2, axis=(0, 1, 2), weights=weight)
    return mean, np.sqrt(variance)


def assert_same_moments(scaler, expected, rtol=1e-12):
    np.testing.assert_allclose(scaler.mean_, expected[0], rtol=rtol)
    np.testing.assert_allclose(scaler.scale_, expected[1], rtol=rtol)
    assert scaler.mean_.dtype == scaler.scale_.dtype == np.float64


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_and_scale_are_numpys_in_double_precision(rng, dtype):
    X = integers(rng, dtype)
    weight = rng.uniform(0.1, 3, size=len(X))
    assert_same_moments(ChannelScaler(LAYOUT).fit(X), moments(X))
    assert_same_moments(ChannelScaler(LAYOUT).fit(X, weight), moments(X, weight))


def test_mean_and_scale_are_those_of_X_mean_and_X_std(rng):
    X = rng.normal(3, 2, size=(50, 6, 7))
    scaler = ChannelScaler(find_layout(X.shape[1:])).fit(X)
    assert scaler.mean_.shape == scaler.scale_.shape == (1,)
    np.testing.assert_allclose(scaler.mean_, X.mean(), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, X.std(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(9,), (4, 5), (4, 5, 3), (2, 4, 5, 3)])
def test_channels_first_and_last_have_the_same_scale(rng, shape):
    channel_axis = -1 if len(shape) > 2 else None
    X = rng.normal(size=(6, *shape))
    last = ChannelScaler(find_layout(shape, channel_axis=channel_axis)).fit(X)
    moved = X[:, np.newaxis] if channel_axis is None else np.moveaxis(X, -1, 1)
    first = ChannelScaler(find_layout(moved.shape[1:], channel_axis=1)).fit(moved)
    np.testing.assert_allclose(first.mean_, last.mean_, rtol=1e-12)
    np.testing.assert_allclose(first.scale_, last.scale_, rtol=1e-12)


def test_a_read_only_memory_map_is_read(rng, tmp_path):
    X = integers(rng, "u1")
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_same_moments(ChannelScaler(LAYOUT).fit(mapped), moments(X))


@pytest.mark.parametrize("strides", [(2, 1, 1), (1, -1, 1), (1, 2, -2)])
def test_strided_arrays_are_read(rng, strides):
    X = integers(rng, "u2", (9, 8, 6, 3))[tuple(slice(None, None, s) for s in strides)]
    layout = find_layout(X.shape[1:], channel_axis=-1)
    assert_same_moments(ChannelScaler(layout).fit(X), moments(X))


@pytest.mark.parametrize("chunk_values", [1, 59, 60, 61, 180, 419, 420, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_chunks_do_not_matter(rng, monkeypatch, chunk_values, weighted):
    X = integers(rng, "u1")  # seven samples of 60 values
    weight = rng.uniform(0.1, 3, size=len(X)) if weighted else None
    monkeypatch.setattr(scaling_module, "CHUNK_VALUES", chunk_values)
    assert_same_moments(ChannelScaler(LAYOUT).fit(X, weight), moments(X, weight))


@pytest.mark.parametrize("order", ["C", "F"])
def test_other_rows_are_as_absent(rng, monkeypatch, order):
    monkeypatch.setattr(scaling_module, "CHUNK_VALUES", 180)  # three samples
    X = np.asarray(rng.normal(size=(20, 4, 5, 3)), order=order)
    rows = np.flatnonzero(np.arange(20) % 5)
    expected = ChannelScaler(LAYOUT).fit(X[rows])
    X[::5] = 1e300
    scaler = ChannelScaler(LAYOUT).fit(X, rows=rows)
    np.testing.assert_array_equal(scaler.mean_, expected.mean_)
    np.testing.assert_array_equal(scaler.scale_, expected.scale_)


def test_a_weight_is_a_number_of_copies(rng):
    X = rng.normal(size=(7, 4, 5, 3))
    copies = np.array([1, 0, 2, 3, 0, 1, 5])
    weighted = ChannelScaler(LAYOUT).fit(X, copies.astype(float))
    repeated = ChannelScaler(LAYOUT).fit(np.repeat(X, copies, axis=0))
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


@pytest.mark.parametrize("offset", [1e3, -1e6, 1e9, -1e12])
def test_a_large_offset_does_not_drown_the_scale(rng, offset):
    noise = rng.normal(size=(50, 4, 5, 3))
    scaler = ChannelScaler(LAYOUT).fit(noise + offset)
    np.testing.assert_allclose(scaler.scale_, moments(noise)[1], rtol=1e-3)
    np.testing.assert_allclose(scaler.mean_, offset + moments(noise)[0], rtol=1e-12)


@pytest.mark.parametrize("factor", [1e-100, 1e-10, 1e10, 1e100])
def test_scale_follows_the_unit_of_X(rng, factor):
    X = rng.normal(5, 1, size=(7, 4, 5, 3))
    expected = moments(X)
    scaler = ChannelScaler(LAYOUT).fit(X * factor)
    assert_same_moments(scaler, [m * factor for m in expected], rtol=1e-10)


@pytest.mark.parametrize("value", [0, 1, 255, 0.1, 1 / 3, -7.3e15, 1e-300, 1e100])
def test_a_constant_channel_has_a_scale_of_1(rng, value):
    X = rng.normal(size=(101, 4, 5, 3))
    X[..., 1] = value
    for weight in (None, rng.uniform(0.1, 3, size=len(X))):
        scaler = ChannelScaler(LAYOUT).fit(X, weight)
        assert scaler.scale_[1] == 1
        assert scaler.mean_[1] == pytest.approx(value, rel=1e-12)
        assert (np.delete(scaler.scale_, 1) != 1).all()


def test_a_channel_that_hardly_varies_is_not_constant(rng):
    X = 1 + 1e-10 * rng.normal(size=(50, 4, 5, 3))
    np.testing.assert_allclose(
        ChannelScaler(LAYOUT).fit(X).scale_, X.std(axis=(0, 1, 2)), rtol=1e-4
    )


def test_values_whose_squares_overflow_are_refused():
    X = np.array([-1e200, 1e200]).reshape(2, 1)
    with pytest.raises(ValueError, match=r"too large .* Divide X"):
        ChannelScaler(find_layout((1,))).fit(X)


def test_values_whose_sum_overflows_are_refused_without_a_warning():
    X = np.full((4, 3), 1e308)
    with pytest.raises(ValueError, match=r"too large .* Divide X"):
        ChannelScaler(find_layout((3,))).fit(X)


def transformed(X, layout, dtype):
    batch = layout.channels_first(torch.from_numpy(X))
    return ChannelScaler(layout).fit(X).scale_batch(batch, dtype)


def standardised(X):
    mean, scale = moments(X)
    return np.moveaxis((X.astype(np.float64) - mean) / scale, -1, 1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)]
)
@pytest.mark.parametrize("kind", TORCH_DTYPES)
def test_transform_standardises_each_channel(rng, kind, dtype, tolerance):
    X = integers(rng, kind)
    batch = transformed(X, LAYOUT, dtype)
    assert batch.dtype == dtype
    np.testing.assert_allclose(batch, standardised(X), rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize("kind", ["i4", "i8", "f8"])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_transform_keeps_differences_that_float32_cannot_hold(rng, kind, n_channels):
    X = rng.integers(10**9, 10**9 + 50, size=(20, 4, 5, n_channels)).astype(kind)
    layout = find_layout(X.shape[1:], channel_axis=-1)
    batch = transformed(X, layout, torch.float32)
    np.testing.assert_allclose(batch, standardised(X), rtol=0, atol=1e-6)


def test_transform_turns_a_constant_channel_into_zeros(rng):
    X = rng.normal(size=(20, 4, 5, 3))
    X[..., 1] = 0.1
    batch = transformed(X, LAYOUT, torch.float32)
    np.testing.assert_allclose(batch[:, 1], 0, atol=1e-14)


def test_transform_leaves_its_input_alone(rng):
    X = rng.normal(size=(7, 4, 5, 3)).astype(np.float32)
    before = X.copy()
    transformed(X, LAYOUT, torch.float32).zero_()
    np.testing.assert_array_equal(X, before)
