"""Metrics of boxes: intersection over union and average precision."""

import numpy as np

from .boxes import check_box_targets


def box_iou(first, second):
    """Return the intersection over union of all pairs of boxes.

    Parameters
    ----------
    first, second : array-like of shape (n, 4) and (m, 4)
        Left, top, right and bottom side of each box, in pixels.

    Returns
    -------
    ndarray of shape (n, m)
        Values in [0, 1].

    Examples
    --------
    >>> from skcnn.localization import box_iou
    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 1], [5, 5, 6, 6]])
    array([[0.5, 0. ]])
    """
    first, second = (np.asarray(b, dtype=float).reshape(-1, 4) for b in (first, second))
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    return common / np.where(union > 0, union, 1)


def paired_iou(first, second):
    """Return the intersection over union of boxes, row by row.

    Parameters
    ----------
    first, second : array-like of shape (n, 4)
        Boxes.

    Returns
    -------
    ndarray of shape (n,)
        Values in [0, 1].
    """
    pairs = zip(np.asarray(first), np.asarray(second), strict=True)
    return np.array([box_iou(a, b)[0, 0] for a, b in pairs])


def average_precision(y_true, y_pred, *, iou_threshold=0.5):
    """Return the average precision of detections, averaged over classes [1]_.

    A detection is a true positive if its intersection over union with a true box of its
    class is at least `iou_threshold`, and no detection with a higher score matches that
    box. The average precision is the area under the precision-recall curve, with the
    precision at each recall replaced by the maximum at that or a higher recall.

    Parameters
    ----------
    y_true : list of array-like or list of dict
        True boxes of each image, as for :func:`stack_boxes`.

    y_pred : list of dict
        Predicted `boxes`, `labels` and `scores` of each image.

    iou_threshold : float, default=0.5
        Minimum intersection over union, in (0, 1], of a true positive.

    Returns
    -------
    float
        Mean over the classes of y_true, in [0, 1]. NaN if y_true has no boxes.

    Raises
    ------
    ValueError
        If lengths differ, boxes are not valid, or `y_pred` has no scores.

    References
    ----------
    .. [1] M. Everingham et al., "The Pascal visual object classes (VOC) challenge",
       IJCV 88(2), 2010; with the area under the curve, as in VOC since 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.localization import average_precision
    >>> y_pred = [{"boxes": [[0, 0, 9, 9], [20, 0, 30, 9]], "scores": [0.9, 0.6]}]
    >>> average_precision([[[0, 0, 10, 10]]], y_pred)
    1.0

    Make a scorer of it:

    >>> from sklearn.metrics import make_scorer
    >>> scorer = make_scorer(average_precision, iou_threshold=0.7)
    """
    y_true, y_pred = check_box_targets(y_true), check_box_targets(y_pred, name="y_pred")
    if len(y_true) != len(y_pred):
        raise ValueError(
            f"y_true has {len(y_true)} images and y_pred {len(y_pred)}, expected one "
            "entry for each image in both."
        )
    if any("scores" not in target for target in y_pred):
        raise ValueError("y_pred has no 'scores', expected one for each detection.")
    classes = {label for target in y_true for label in target["labels"].tolist()}
    if not classes:
        return float("nan")
    return float(
        np.mean([_of_class(c, y_true, y_pred, iou_threshold) for c in classes])
    )


def match_detections(y_true, y_pred, iou_threshold=0.5):
    """Return which detections are true positives, see :func:`average_precision`.

    Parameters
    ----------
    y_true, y_pred : list of ndarray of shape (k, 4)
        Boxes of one class in each image; those of y_pred with the best first.

    iou_threshold : float, default=0.5
        Minimum intersection over union of a true positive.

    Returns
    -------
    list of ndarray of shape (k,), bool
        Whether each detection is a true positive, image by image.
    """
    return [_match(t, p, iou_threshold) for t, p in zip(y_true, y_pred, strict=True)]


def _match(boxes_true, boxes_pred, iou_threshold):
    """Match detections of an image, best first, to the true boxes they overlap most."""
    is_right = np.zeros(len(boxes_pred), dtype=bool)
    if not len(boxes_true):
        return is_right
    overlaps = box_iou(boxes_pred, boxes_true)
    for i, row in enumerate(overlaps):
        best = row.argmax()
        if row[best] >= iou_threshold:
            is_right[i] = True
            overlaps[:, best] = 0  # matched
    return is_right


def _of_class(label, y_true, y_pred, iou_threshold):
    """Return the average precision of one class."""
    boxes_true = [t["boxes"][t["labels"] == label] for t in y_true]
    chosen = [np.flatnonzero(p["labels"] == label) for p in y_pred]
    chosen = [
        rows[np.argsort(-p["scores"][rows], kind="stable")]
        for rows, p in zip(chosen, y_pred, strict=True)
    ]
    boxes = [p["boxes"][rows] for rows, p in zip(chosen, y_pred, strict=True)]
    scores = [p["scores"][rows] for rows, p in zip(chosen, y_pred, strict=True)]
    is_right = np.concatenate(match_detections(boxes_true, boxes, iou_threshold))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    n_right = np.cumsum(is_right[order])
    precision = n_right / np.arange(1, len(order) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    gains = highest[is_right[order]]  # each true positive adds a step of recall
    return gains.sum() / sum(map(len, boxes_true))
