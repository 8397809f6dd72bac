import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.base import BaseEstimator

from skcnn import CNNClassifier
from skcnn.data import as_array, check_image_array, check_same_shape

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2"]
SHAPES = [(6, 1), (6, 9), (6, 4, 5), (6, 4, 5, 3), (6, 2, 4, 5, 3)]


class Estimator(BaseEstimator):
    """What the checks name and set attributes on."""


def check(X, *args, reset=True, **kwargs):
    return check_image_array(Estimator(), X, *args, reset=reset, **kwargs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_keeps_its_dtype_and_its_memory(rng, shape, dtype):
    X = rng.integers(0, 2, size=shape).astype(dtype)
    checked = check(X)
    assert checked.dtype == X.dtype
    assert np.shares_memory(checked, X)


def test_a_memory_map_is_not_read_into_memory(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((6, 4, 5), np.uint8))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(check(X), X)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bool, torch.float64])
def test_a_tensor_keeps_its_dtype_and_its_memory(dtype):
    X = torch.ones(6, 4, 5).to(dtype)
    array = as_array(X)
    assert np.shares_memory(array, X.numpy())
    assert np.shares_memory(check(X), X.numpy())


def test_a_tensor_may_be_bfloat16_or_require_a_gradient():
    X = torch.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(as_array(X.bfloat16()), X)
    np.testing.assert_array_equal(as_array(X.clone().requires_grad_()), X)


def test_what_is_no_tensor_is_left_as_it_is():
    X = [[1, 2]]
    assert as_array(X) is X


@pytest.mark.parametrize("make", [list, tuple, np.ndarray.tolist])
def test_lists_of_images_are_stacked(rng, make):
    X = rng.normal(size=(4, 5, 6))
    np.testing.assert_array_equal(check(make(X)), X)


def test_tensors_in_a_list_may_be_bfloat16_or_require_a_gradient():
    x = torch.ones(2, 3)
    for tensors in ([x.bfloat16()] * 2, [x.clone().requires_grad_()] * 2):
        assert check(tensors).shape == (2, 2, 3)


def test_a_list_of_tensors_is_stacked():
    X = torch.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(check(list(X)), X)


def test_a_frame_leaves_its_column_names():
    estimator = Estimator()
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    check_image_array(estimator, frame, reset=True)
    assert estimator.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        check_image_array(estimator, frame[["b", "a"]], reset=False)


def test_y_is_returned_where_it_is_given():
    X, y = check(np.zeros((3, 4, 5)), [1, 2, 3])
    assert X.shape == (3, 4, 5)
    assert y.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (3.0, r"Expected 2D array, got scalar array instead"),
        (np.zeros(5), r"Expected 2D array, got 1D array instead"),
        (np.zeros((2,) * 6), r"dim 6, while dim <= 5 is required by Estimator"),
        (np.zeros((0, 4, 5)), r"Found array with 0 sample\(s\)"),
        (np.zeros((3, 0)), r"0 feature\(s\)"),
        (np.zeros((3, 4, 0)), r"samples of shape \(4, 0\).*0 feature\(s\)"),
        (np.zeros((3, 4, 5, 0)), r"samples of shape \(4, 5, 0\)"),
        (np.full((3, 4, 5), np.nan), "contains NaN"),
        (np.full((3, 4, 5), -np.inf), "contains infinity"),
        (torch.full((3, 4, 5), torch.nan), "contains NaN"),
        (np.zeros((3, 4, 5), complex), "Complex data not supported"),
        ([[1, 2], [3]], "inhomogeneous"),
        (np.array([["a", "b"]]), "not compatible with arrays of bytes/strings"),
    ],
    ids=str,
)
def test_what_cannot_be_images_is_refused_in_words(X, message):
    with pytest.raises(ValueError, match=message):
        check(X)


@pytest.mark.parametrize("make", [list, tuple, "object array"])
def test_images_of_unequal_shapes_are_named(make):
    images = [np.zeros((4, 5)), np.zeros((5, 4)), np.zeros((4, 5))]
    if make == "object array":
        X = np.empty(3, object)
        X[:] = images
    else:
        X = make(images)
    with pytest.raises(ValueError, match=re.escape("(4, 5) and (5, 4)")):
        check(X)


@pytest.mark.parametrize("shapes", [[(7,), (9,)], [(12, 7), (12, 9), (12, 29)]])
def test_the_error_for_signals_of_unequal_lengths_says_how_to_pad(shapes):
    with pytest.raises(ValueError, match=r"unequal shapes.*pad_signals"):
        check([np.zeros(shape) for shape in shapes])


@pytest.mark.parametrize("shapes", [[(7, 12), (9, 12)], [(3, 4, 5), (3, 4, 6)]])
def test_the_error_for_images_of_unequal_shapes_does_not(shapes):
    with pytest.raises(ValueError, match=r"unequal shapes.*in one array\.$"):
        check([np.zeros(shape) for shape in shapes])


@pytest.mark.parametrize(
    "X",
    [
        sparse.csr_matrix(np.eye(3)),
        sparse.csr_array(np.eye(3)),
        np.array([[{}, {}], [{}, {}]], dtype=object),
    ],
    ids=["sparse matrix", "sparse array", "dictionaries"],
)
def test_what_is_of_the_wrong_kind_is_a_type_error(X):
    with pytest.raises(TypeError, match=r"dense|dict"):
        check(X)


def test_lengths_of_X_and_y_agree():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        check(np.zeros((3, 4, 5)), [1, 2])


@pytest.mark.parametrize("shape", [(9,), (4, 5), (3, 4, 5)])
def test_samples_of_the_shape_in_fit_pass(shape):
    check_same_shape(Estimator(), np.zeros((2, *shape)), shape)


@pytest.mark.parametrize(
    ("came", "fitted"),
    [((8, 9), (8, 8)), ((3, 8, 8), (8, 8, 3)), ((64,), (8, 8)), ((8, 8), (64,))],
)
def test_samples_of_another_shape_name_both_shapes(came, fitted):
    message = f"shape {came}, but Estimator was fitted on {fitted}"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_same_shape(Estimator(), np.zeros((2, *came)), fitted)


def test_signals_of_another_length_are_told_to_be_padded():
    with pytest.raises(
        ValueError, match=r"\(12, 26\).*fitted on \(12, 29\).*pad_signals"
    ):
        check_same_shape(Estimator(), np.zeros((2, 12, 26)), (12, 29))


def test_rows_of_another_length_are_named_as_scikit_learn_does():
    message = "X has 8 features, but Estimator is expecting 9 features as input"
    with pytest.raises(ValueError, match=message):
        check_same_shape(Estimator(), np.zeros((2, 8)), (9,))


def test_images_of_pil_of_unequal_size_are_refused_in_words():
    X = [Image.new("RGB", (9, 8)), Image.new("RGB", (8, 8))]
    with pytest.raises(ValueError, match=r"such as \(8, 8, 3\) and \(8, 9, 3\)"):
        check(X)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
@pytest.mark.parametrize("make", [list, "object array", pd.Series, pd.DataFrame])
def test_pil_images_are_refused(mode, make):
    images = [Image.new(mode, (9, 8)) for _ in range(3)]
    column = np.empty(3, object)
    column[:] = images
    X = column if make == "object array" else make(images if make is list else column)
    words = r"X holds PIL images, but Estimator takes arrays.*convert\('RGB'\)"
    with pytest.raises(TypeError, match=words):
        check(X)
    assert check(np.stack([i.convert("RGB") for i in images])).shape == (3, 8, 9, 3)


def test_one_pil_image_is_refused():
    with pytest.raises(TypeError, match="X holds PIL images"):
        check(Image.new("L", (9, 8)))


def masked(shape, *rows):
    X = np.ma.masked_array(np.arange(np.prod(shape)).reshape(shape), mask=False)
    X[list(rows)] = np.ma.masked
    return X


def test_masked_values_are_an_error_that_says_how_to_fill_them():
    words = r"X is a masked array with 20 masked values.*Pass X\.filled\(value\)"
    with pytest.raises(ValueError, match=words):
        check(masked((6, 4, 5), 2))
    with pytest.raises(ValueError, match=r"X\[1\] is a masked array with 5 masked"):
        check([np.zeros((4, 5)), masked((4, 5), 3)])
    with pytest.raises(ValueError, match=r"y is a masked array.*Pass y\.filled"):
        as_array(masked((6,), 2), "y")


def test_masked_arrays_without_masked_values_are_arrays():
    for X in (masked((6, 4, 5)), np.ma.asarray(np.ones((6, 4, 5)))):
        checked = check(X)
        assert type(checked) is np.ndarray
        assert np.shares_memory(checked, X.data)
    assert check(list(masked((6, 4, 5)))).shape == (6, 4, 5)


@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_targets_and_weights_have_no_masked_values(name):
    data = {"y": np.arange(6) % 2, "sample_weight": np.ones(6)}
    data[name] = np.ma.masked_array(data[name], mask=[0, 0, 1, 0, 0, 0])
    with pytest.raises(ValueError, match=f"{name} is a masked array with 1 masked"):
        CNNClassifier(max_epochs=1).fit(np.zeros((6, 4, 5)), **data)


@pytest.mark.parametrize("missing", [pd.NA, None, np.nan, pd.NaT])
@pytest.mark.parametrize("make", [list, "object array", pd.Series])
def test_a_missing_value_in_y_is_named(missing, make):
    y = ["ant", "bee", missing, "ant"]
    if make is not list:
        column = np.empty(4, dtype=object)
        column[:] = y
        y = column if make == "object array" else make(column)
    with pytest.raises(
        ValueError, match=r"y contains NaN or a missing value \(.*\) in row 2"
    ):
        as_array(y, "y")
