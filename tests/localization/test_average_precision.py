import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from skcnn.localization import average_precision, box_iou

TRUE = [[[0, 0, 10, 10], [20, 0, 30, 10]], []]


def predicted(boxes, scores, others=((), ())):
    return [
        {"boxes": boxes, "scores": scores},
        {"boxes": others[0], "scores": others[1]},
    ]


def test_iou_is_that_of_torchvision(rng):
    from torch import as_tensor
    from torchvision.ops import box_iou as expected

    low = rng.uniform(0, 50, size=(30, 2))
    boxes = np.hstack([low, low + rng.uniform(1, 40, size=(30, 2))])
    values = expected(as_tensor(boxes[:10]), as_tensor(boxes[10:])).numpy()
    np.testing.assert_allclose(box_iou(boxes[:10], boxes[10:]), values)


@pytest.mark.parametrize(
    ("boxes", "scores", "others", "expected"),
    [
        (TRUE[0], [0.2, 0.9], ((), ()), 1),
        (TRUE[0][:1], [0.2], ((), ()), 1 / 2),
        ([], [], ((), ()), 0),
        (TRUE[0], [0.9, 0.5], ([[0, 0, 5, 5]], [0.7]), (1 + 2 / 3) / 2),
        (TRUE[0], [0.9, 0.8], ([[0, 0, 5, 5]], [0.7]), 1),
        ([TRUE[0][0]] * 2, [0.9, 0.8], ((), ()), 1 / 2),  # the second is a repeat
        ([[0, 0, 10, 4]], [1], ((), ()), 0),
    ],
)
def test_values_that_can_be_counted_by_hand(boxes, scores, others, expected):
    value = average_precision(TRUE, predicted(boxes, scores, others))
    assert value == pytest.approx(expected)


def test_without_ties_and_misses_it_bounds_that_of_scikit_learn(rng):
    is_object, scores = rng.random(200) < 0.3, rng.random(200)
    y_true = [[[0, 0, 9, 9]] if found else [] for found in is_object]
    y_pred = [{"boxes": [[0, 0, 9, 9]], "scores": [score]} for score in scores]
    raw = average_precision_score(is_object, scores)
    assert raw <= average_precision(y_true, y_pred) <= raw + 0.05


def test_classes_count_alike():
    y_true = [{"boxes": [[0, 0, 9, 9], [20, 20, 29, 29]], "labels": ["ant", "bee"]}]
    y_pred = [{"boxes": [[0, 0, 9, 9]], "labels": ["ant"], "scores": [1.0]}]
    assert average_precision(y_true, y_pred) == 0.5


def test_bad_input_is_an_error_and_no_truth_is_nan():
    with pytest.raises(ValueError, match="2 images and y_pred 1"):
        average_precision(TRUE, [{"boxes": [], "scores": []}])
    with pytest.raises(ValueError, match="no 'scores'"):
        average_precision(TRUE, TRUE)
    assert np.isnan(average_precision([[]], [{"boxes": [], "scores": []}]))
