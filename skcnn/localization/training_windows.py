"""Training windows of a detector: positives, windows near boxes, hard negatives."""

import numpy as np

from .average_precision import box_iou
from .linear_windows import BACKGROUND
from .offsets import box_offsets

POSITIVE_IOU = 0.5  # minimum of a positive window with its box
WORST_IOU = 0.4  # minimum of the best window of a box, if none reaches POSITIVE_IOU
NEGATIVE_IOU = 0.4  # upper limit of a negative, as of one shifted by half a box
N_POSITIVES = 10  # windows per box
NEAR_IOU = 0.5  # minimum of a window that offsets are learnt from
N_NEAR = 10  # windows per box
N_NEGATIVES = 20  # windows per image and round
MARGIN = -1.0  # negatives with a lower score are too easy to be useful


def sample_windows(candidates, boxes, codes, model, rng):
    """Sample training windows of an image.

    Parameters
    ----------
    candidates : list of Windows
        All windows of the image.

    boxes : ndarray of shape (k, 4)
        Boxes of the objects.

    codes : ndarray of shape (k,)
        Codes of the objects' classes.

    model : LinearWindows or None
        Model of the previous round, whose hardest negatives are returned. None returns
        positives and random negatives.

    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    X : list of ndarray of shape (n, n_features)
        Features.

    y : list of ndarray of shape (n,)
        Codes.
    """
    overlaps = np.concatenate([box_iou(w.boxes(), boxes) for w in candidates])
    is_free = overlaps.max(axis=1, initial=0) < NEGATIVE_IOU
    if model is None:
        hardness = rng.random(len(overlaps))
    else:
        hardness = np.concatenate([_highest(model, w) for w in candidates])
        is_free &= hardness > MARGIN
    negatives = _top(np.where(is_free, hardness, -np.inf), N_NEGATIVES)
    chosen = [(negatives[is_free[negatives]], BACKGROUND)]
    if model is None:
        chosen += zip(map(_positives, overlaps.T), codes, strict=True)
    parts = [
        (_features(candidates, rows), np.full(len(rows), code)) for rows, code in chosen
    ]
    return map(list, zip(*parts, strict=True))


def near_windows(candidates, boxes, rng):
    """Sample windows near the boxes of an image, with the offsets of the boxes.

    Parameters
    ----------
    candidates : list of Windows
        All windows of the image.

    boxes : ndarray of shape (k, 4)
        Boxes of the objects.

    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    X : ndarray of shape (n, n_features)
        Features.

    offsets : ndarray of shape (n, 4)
        Offsets of the boxes, as `box_offsets` returns them.
    """
    windows = np.concatenate([w.boxes() for w in candidates])
    overlaps = box_iou(windows, boxes).T
    rows = [rng.permutation(np.flatnonzero(o >= NEAR_IOU))[:N_NEAR] for o in overlaps]
    own = np.repeat(boxes, [len(some) for some in rows], axis=0)
    rows = np.concatenate([*rows, np.empty(0, int)])
    order = np.argsort(rows)  # `_features` returns rows in this order
    return _features(candidates, rows[order]), box_offsets(windows[rows], own)[order]


def _positives(overlap):
    """Return the positive windows of a box, best first."""
    rows = _top(overlap, N_POSITIVES)
    limit = min(POSITIVE_IOU, max(WORST_IOU, overlap[rows[0]]))
    return rows[overlap[rows] >= limit]


def _top(values, n):
    """Return the positions of the n largest values, the largest first."""
    return np.argsort(-values, kind="stable")[:n]


def _highest(model, windows):
    """Return the highest class score of each window."""
    return model.values(windows).amax(0).flatten().numpy()


def _features(candidates, rows):
    """Return the features of windows whose `rows` count through all sizes."""
    ends = np.cumsum([np.prod(windows.shape) for windows in candidates])
    starts = np.concatenate([[0], ends])
    parts = []
    for windows, start, end in zip(candidates, starts, ends, strict=False):
        inside = rows[(rows >= start) & (rows < end)] - start
        parts.append(windows.features(inside))
    return np.concatenate(parts)
