import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold
from sklearn.utils import _safe_indexing

from skcnn.localization import check_boxes, stack_boxes, unstack_boxes
from skcnn.localization.boxes import check_box_targets

Y = [
    {"boxes": [[0, 0, 8, 9], [1, 2, 3, 4]], "labels": ["ant", "bee"]},
    {"boxes": [], "labels": []},
    {"boxes": [[5, 5, 9, 9]], "labels": ["ant"]},
]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, np.nan, 5]], "finite"),
        ([[0, 0, np.inf, 5]], "finite"),
        ([[9, 0, 5, 5]], "x_min < x_max"),
        ([[0, 5, 5, 5]], "x_min < x_max"),
        ([[0, 0, 5]], r"shape \(1, 3\)"),
        (np.zeros((2, 2, 4)), r"shape \(2, 2, 4\)"),
        ([[0, 0, 5, 5], [0, 0, 22, 5]], "in row 1, expected a box inside"),
        ([[-3, 0, 5, 5]], "20 x 10 pixels"),
    ],
)
def test_wrong_boxes_are_named(boxes, message):
    with pytest.raises(ValueError, match=message):
        check_boxes(boxes, image_size=(20, 10))


@pytest.mark.parametrize("boxes", [[], np.empty((0, 4)), [[]]])
def test_an_image_may_have_no_boxes(boxes):
    assert check_boxes(boxes).shape == (0, 4)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, TypeError, "y is None"),
        ("boxes", TypeError, "a str"),
        (Y[0], TypeError, "a dict"),
        (Y, ValueError, "3 images, but X has 2"),
        ([{"labels": []}, []], ValueError, "expected 'boxes'"),
        ([{"boxes": [[0, 0, 1, 1]], "labels": []}, []], ValueError, "0 labels"),
        ([[], [[0, 0, 1, 0]]], ValueError, r"y\[1\]\['boxes'\]"),
    ],
)
def test_wrong_targets_are_named(y, error, message):
    with pytest.raises(error, match=message):
        check_box_targets(y, 2)


def test_a_frame_holds_what_a_list_does():
    names = ["a.jpg", "b.jpg", "c.jpg"]
    frame = stack_boxes(Y, names)
    assert frame["image"].tolist() == ["a.jpg", "a.jpg", "c.jpg"]
    back = unstack_boxes(frame, names)
    for expected, target in zip(check_box_targets(Y), back, strict=True):
        np.testing.assert_array_equal(target["boxes"], expected["boxes"])
        assert target["labels"].tolist() == expected["labels"].tolist()


def test_scores_stay_in_the_frame():
    frame = stack_boxes([{"boxes": [[0, 0, 1, 1]], "scores": [0.5]}])
    assert unstack_boxes(frame, [0])[0]["scores"].tolist() == [0.5]


def test_a_frame_of_unknown_images_or_columns_is_an_error():
    frame = stack_boxes(Y)
    with pytest.raises(ValueError, match="boxes of image 2"):
        unstack_boxes(frame, [0, 1])
    with pytest.raises(ValueError, match="no column 'y_max'"):
        unstack_boxes(frame.drop(columns="y_max"), [0, 1, 2])
    assert isinstance(frame, pd.DataFrame)


def test_cross_validation_indexes_the_list():
    train, test = next(KFold(3).split(Y))
    assert [len(y["boxes"]) for y in _safe_indexing(Y, train)] == [0, 1]
    assert _safe_indexing(Y, test) == [Y[0]]
