import itertools
import re

import numpy as np
import pytest
import torch

from skcnn.data import Layout, find_layout

IMAGE_SHAPES = [(5,), (1,), (5, 6), (3, 5), (4, 5, 3), (3, 4, 5), (2, 4, 5, 3)]
LAYOUTS = [
    Layout(sample_shape, image_shape, axis)
    for image_shape in IMAGE_SHAPES
    for axis in (None, *range(len(image_shape)))
    for sample_shape in {image_shape, (int(np.prod(image_shape)),)}
]


def channels_first_by_numpy(X, layout):
    X = X.reshape(len(X), *layout.image_shape)
    if layout.channel_axis is None:
        return X[:, np.newaxis]
    return np.moveaxis(X, layout.channel_axis + 1, 1)


def samples(layout, n_samples=3):
    shape = (n_samples, *layout.sample_shape)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_channels_first_is_numpys_transpose(layout):
    X = samples(layout)
    expected = channels_first_by_numpy(X, layout)
    assert expected.shape[1:] == layout.input_shape
    np.testing.assert_array_equal(layout.channels_first(X), expected)
    np.testing.assert_array_equal(layout.channels_first(torch.from_numpy(X)), expected)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_channels_first_is_a_view(layout):
    X = samples(layout)
    assert np.shares_memory(layout.channels_first(X), X)
    assert np.shares_memory(layout.channels_first(torch.from_numpy(X)).numpy(), X)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_channels_and_spatial_axes_make_up_the_image(layout):
    assert layout.n_channels * np.prod(layout.spatial_shape) == np.prod(
        layout.sample_shape
    )
    assert layout.input_shape == (layout.n_channels, *layout.spatial_shape)


@pytest.mark.parametrize(
    "shape", [(1,), (64,), (2, 2), (16, 31), (17, 300), (300, 17), (28, 28)]
)
def test_auto_reads_signals_and_images_as_without_channels(shape):
    layout = find_layout(shape)
    assert layout.channel_axis is None
    assert layout.input_shape == (1, *shape)


@pytest.mark.parametrize("length", [1, 2, 50])
def test_auto_reads_an_axis_of_length_one_as_the_channel_of_signals(length):
    assert find_layout((1, length)).input_shape == (1, length)
    assert find_layout((length, 1)).input_shape == (1, length)


@pytest.mark.parametrize(
    ("n_channels", "length"), [(2, 4), (6, 100), (12, 29), (16, 32)]
)
def test_auto_refuses_images_that_may_be_signals(n_channels, length):
    for shape in (n_channels, length), (length, n_channels):
        with pytest.raises(ValueError, match="channels first, as in sktime and aeon"):
            find_layout(shape)
        image = find_layout((n_channels * length,), image_shape=shape)
        assert image.input_shape == find_layout(shape, image_shape=shape).input_shape
        assert image.input_shape == (1, *shape)


def test_two_axes_are_an_image_where_nothing_else_can_be():
    for shape in [(6, 100), (100, 6), (1, 9), (9, 1)]:
        assert find_layout(shape, images_only=True).input_shape == (1, *shape)


@pytest.mark.parametrize("between", [(7,), (3,), (1,), (7, 8), (2, 3)], ids=str)
@pytest.mark.parametrize(
    ("first", "last"), list(itertools.product((1, 2, 3, 4, 5, 32), repeat=2))
)
def test_auto_finds_the_channels_where_one_outer_axis_has_one_to_four(
    first, between, last
):
    shape = (first, *between, last)
    candidates = [axis for axis in (0, len(shape) - 1) if shape[axis] <= 4]
    if set(shape) == {1}:
        assert find_layout(shape).channel_axis == len(shape) - 1
    elif len(candidates) == 1:
        assert find_layout(shape).channel_axis == candidates[0]
    else:
        with pytest.raises(ValueError, match="is ambiguous"):
            find_layout(shape)


@pytest.mark.parametrize(
    "shape", [(6, 99), (99, 6), (3, 5, 3), (5, 6, 7), (3, 5, 6, 1), (5, 6, 7, 8)]
)
def test_the_error_of_auto_names_all_readings_and_each_of_them_works(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))) as error:
        find_layout(shape)
    readings = re.findall(r"channel_axis=(-1|1|None) \(([^)]*)\)", str(error.value))
    expected = ["-1", "1", "None"] if len(shape) <= 3 else ["-1", "1"]
    assert [axis for axis, _ in readings] == expected
    for axis, description in readings:
        layout = find_layout(shape, channel_axis=None if axis == "None" else int(axis))
        assert " x ".join(map(str, layout.spatial_shape)) in description
        if axis != "None":
            assert f"{layout.n_channels} channels" in description


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 7, 3), (4, 9)])
def test_a_channel_axis_counts_from_either_end_with_the_samples_as_axis_0(shape):
    for axis in range(1, len(shape) + 1):
        layout = find_layout(shape, channel_axis=axis)
        assert layout.n_channels == shape[axis - 1]
        assert find_layout(shape, channel_axis=axis - len(shape) - 1) == layout
        assert find_layout(shape, channel_axis=np.int64(axis)) == layout


@pytest.mark.parametrize("axis", [0, -4])
def test_the_sample_axis_cannot_hold_the_channels(axis):
    with pytest.raises(ValueError, match="sample axis"):
        find_layout((5, 6, 7), channel_axis=axis)


@pytest.mark.parametrize("axis", [4, -5, 1.0])
def test_an_axis_that_X_does_not_have_is_refused(axis):
    with pytest.raises(ValueError, match="is not an axis of X, which has 4 axes"):
        find_layout((5, 6, 7), channel_axis=axis)


@pytest.mark.parametrize(
    ("shape", "axis", "n_axes"), [((64,), 1, 0), ((5, 6, 7, 8), None, 4)]
)
def test_there_are_one_to_three_axes_to_convolve_over(shape, axis, n_axes):
    with pytest.raises(ValueError, match=f"with {n_axes} spatial axes"):
        find_layout(shape, channel_axis=axis)


@pytest.mark.parametrize("image_shape", [(64,), (8, 8), (8, 4, 2), (4, 4, 2, 2)])
def test_flat_rows_are_read_like_the_images_they_hold(image_shape):
    axis = "auto" if len(image_shape) < 4 else -1
    flat = find_layout((64,), image_shape=list(image_shape), channel_axis=axis)
    shaped = find_layout(image_shape, channel_axis=axis)
    assert flat.image_shape == image_shape
    assert flat.sample_shape == (64,)
    assert flat.input_shape == shaped.input_shape


def test_image_shape_agrees_with_images_of_that_shape():
    assert find_layout((8, 9), image_shape=(8, 9)) == find_layout((8, 9))
    with pytest.raises(ValueError, match=r"\(8, 9\), but image_shape=\(9, 8\)"):
        find_layout((8, 9), image_shape=(9, 8))


def test_a_wrong_number_of_columns_names_both_sizes():
    with pytest.raises(ValueError, match=r"63 features, but .*\(8, 8\) needs 64"):
        find_layout((63,), image_shape=(8, 8))


@pytest.mark.parametrize("image_shape", [(8, 0), (-8, -8), (8.0, 8), ("8", 8)])
def test_image_shape_holds_positive_integers(image_shape):
    with pytest.raises(ValueError, match="expected a tuple of positive integers"):
        find_layout((64,), image_shape=image_shape)
