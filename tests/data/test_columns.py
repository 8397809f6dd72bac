from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer

from skcnn.data import as_image_list, is_image_files
from skcnn.data.columns import is_missing

NAMES = ["a.jpg", "b.png", "c.gif"]
PICTURE = Image.new("RGB", (3, 2))


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


HOLDERS = {
    "list": list,
    "tuple": tuple,
    "array": lambda values: objects(*values),
    "column of an array": lambda values: objects(*values)[:, None],
    "pandas series": lambda values: pd.Series(values, index=range(7, 7 + len(values))),
    "pandas frame": lambda values: pd.DataFrame({"img": values}),
    "pandas object frame": lambda values: pd.DataFrame({5: values}, dtype=object),
    "polars series": lambda values: pl.Series(values, dtype=pl.Object),
    "polars frame": lambda values: pl.DataFrame(
        {"img": pl.Series(values, dtype=pl.Object)}
    ),
}
TEXT_HOLDERS = {
    "numpy text": np.array,
    "column of numpy text": lambda values: np.array(values)[:, None],
    "numpy variable text": lambda values: np.array(values, np.dtypes.StringDType()),
    "pandas text": lambda values: pd.Series(values, dtype="string"),
    "pandas array": lambda values: pd.array(values, dtype="string"),
    "pandas index": pd.Index,
    "pandas array of categories": pd.Categorical,
    "pandas categories": lambda values: pd.Series(values, dtype="category"),
    "polars text": pl.Series,
    "polars frame of text": lambda values: pl.DataFrame({"img": values}),
    "polars categories": lambda values: pl.Series(values, dtype=pl.Categorical),
}
ENTRIES = {
    "text": NAMES,
    "encoded": [b"\x89PNG\0", b"\xff\xd8\0", b"GIF\0"],
    "path": [Path(name) for name in NAMES],
    "path of another system": [PurePosixPath(name) for name in NAMES],
    "picture": [PICTURE, Image.new("L", (1, 1)), PICTURE],
    "all kinds": ["a.jpg", Path("b.png"), PICTURE],
}


@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES.keys())
@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS.keys())
def test_image_files_are_known_and_listed_in_any_container(hold, entries):
    X = hold(entries)
    assert is_image_files(X)
    assert type(as_image_list(X)) is list
    assert as_image_list(X) == entries


@pytest.mark.parametrize("hold", TEXT_HOLDERS.values(), ids=TEXT_HOLDERS.keys())
def test_containers_of_text_hold_paths(hold):
    X = hold(NAMES)
    assert is_image_files(X)
    assert as_image_list(X) == NAMES


@pytest.mark.parametrize("column", ["img", ["img"]])
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_column_that_a_column_transformer_passes_is_listed(frame, column):
    X = frame({"n": [1, 2, 3], "img": NAMES})
    seen = []
    collect = FunctionTransformer(lambda X: seen.append(X) or np.zeros((3, 1)))
    ColumnTransformer([("files", collect, column)]).fit_transform(X)
    assert is_image_files(seen[0])
    assert as_image_list(seen[0]) == NAMES


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((3, 4)),
        np.zeros((3, 1), dtype=object),
        np.zeros(3),
        objects(np.zeros((2, 2)), np.zeros((2, 2))),
        objects({"a": 1}, {"a": 2}),
        [np.zeros((2, 2)), np.zeros((2, 2))],
        [np.zeros(2), np.zeros(3)],
        [np.zeros((2, 2)), np.zeros(3)],
        [[0.0, 1.0], [1.0, 0.0]],
        [["a.jpg", "b.jpg"]],
        torch.zeros(3, 4),
        sparse.csr_array(np.eye(3)),
        pd.DataFrame(np.eye(3)),
        pd.DataFrame({"a": [1, 2]}, dtype="Int64"),
        pd.Series([1.0, 2.0]),
        pl.DataFrame({"a": [1, 2]}),
        pl.Series([1.0, 2.0]),
        pd.DataFrame(),
        None,
        3,
    ],
    ids=lambda X: type(X).__name__,
)
def test_what_holds_no_file_is_not_image_files(X):
    assert not is_image_files(X)


def test_a_numeric_table_is_not_looked_through():
    class Guarded(pd.DataFrame):
        def __getitem__(self, name):
            raise AssertionError("a column was read")

    assert not is_image_files(Guarded(np.zeros((2, 3))))


@pytest.mark.parametrize("X", ["a.jpg", Path("a.jpg"), b"\x89PNG", PICTURE])
def test_a_file_alone_is_an_error_that_says_to_pass_a_list(X):
    assert is_image_files(X)
    with pytest.raises(ValueError, match=r"X is a single \w+\. Pass a list: \[X\]"):
        as_image_list(X)


@pytest.mark.parametrize(
    "X", [[], (), objects(), np.array([], dtype="<U4"), pd.Series([], dtype="string")]
)
def test_no_samples_are_an_error_in_the_words_of_scikit_learn(X):
    assert is_image_files(X)
    words = r"Found array with 0 sample\(s\) \(shape=\(0,\)\) while a minimum of 1 is"
    with pytest.raises(ValueError, match=words):
        as_image_list(X)


@pytest.mark.parametrize(
    "X",
    [
        ["a.jpg", np.zeros((2, 2))],
        [np.zeros((2, 2)), "a.jpg"],
        objects("a.jpg", np.zeros((2, 2))),
        objects(PICTURE, {"a": 1}),
        ["a.jpg", 3],
        [["a.jpg"], "b.jpg"],
    ],
)
def test_files_mixed_with_other_objects_are_an_error_that_names_the_row(X):
    assert is_image_files(X)
    with pytest.raises(TypeError, match=r"row [01] is a (ndarray|dict|int|list)"):
        as_image_list(X)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, np.float32("nan")])
@pytest.mark.parametrize("hold", [list, lambda values: objects(*values), pd.Series])
def test_missing_values_are_listed(hold, missing):
    X = hold(["a.jpg", "b.jpg", missing])
    assert is_image_files(X)
    assert [is_missing(source) for source in as_image_list(X)] == [False, False, True]


@pytest.mark.parametrize(
    "X",
    [
        [None, None],
        objects(np.nan, np.nan),
        pd.Series([None, None], dtype="string"),
        pd.DataFrame({"img": [None, None]}),
        pl.DataFrame({"img": pl.Series([None, None], dtype=pl.String)}),
    ],
    ids=lambda X: type(X).__name__,
)
def test_missing_values_alone_may_be_image_files(X):
    assert is_image_files(X)
    assert all(map(is_missing, as_image_list(X)))


def test_a_column_of_missing_objects_among_others_holds_no_files():
    assert not is_image_files(pd.DataFrame({"a": [None, None], "b": [1.0, 2.0]}))


@pytest.mark.parametrize("dtype", ["string", "str", object])
def test_missing_values_in_a_column_of_text_are_listed(dtype):
    X = pd.DataFrame({"img": pd.Series(["a.jpg", None], dtype=dtype)})
    for frame in (X, pl.DataFrame({"img": ["a.jpg", None]})):
        assert is_missing(as_image_list(frame)[1])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_several_columns_are_an_error_that_names_them_and_the_one_to_choose(frame):
    X = frame({"id": [1, 2, 3], "img": NAMES, "label": ["ant", "bee", "ant"]})
    assert is_image_files(X)
    with pytest.raises(ValueError, match="X has 3 columns") as caught:
        as_image_list(X)
    assert "('id', 'img', 'label')" in str(caught.value)
    assert "X['img']" in str(caught.value)


@pytest.mark.parametrize("X", [np.zeros((2, 3)), pd.DataFrame({"a": [1]}), 3, {"a": 1}])
def test_anything_else_is_an_error_that_says_what_came(X):
    with pytest.raises(TypeError, match=f"X is a {type(X).__name__}, expected a list"):
        as_image_list(X)


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS.keys())
def test_arrays_of_unequal_shapes_are_listed_like_images(hold):
    arrays = [np.zeros((4, 5, 3)), np.zeros((5, 4, 3)), np.zeros((4, 5))]
    X = hold(arrays)
    assert is_image_files(X)
    assert all(map(np.shares_memory, as_image_list(X), arrays))
