"""Input of box regression: images, with one box each in fractions of the image size."""

import numpy as np

from .._base import backbone_input
from .._base.backbone_input import (
    COPIES_ROWS,
    blank_sample,
    check_parts,
    find_scaling,
    images,
    input_shape,
    learn,
    network_input,
)
from .boxes import check_box_targets, check_boxes
from .image_sequence import image_sizes

__all__ = [
    "COPIES_ROWS",
    "blank_sample",
    "check_X_y",
    "check_parts",
    "find_scaling",
    "images",
    "input_shape",
    "learn",
    "network_input",
]


def check_X_y(estimator, X, y, is_first):
    """Return validated X, and y as four fractions and a class code per image."""
    sizes = image_sizes(X, estimator.channel_axis)
    y = one_box_each(y, sizes)
    labels = np.concatenate([target["labels"] for target in y])
    if is_first:
        estimator.classes_ = np.unique(labels)
    unknown = np.setdiff1d(labels, estimator.classes_)
    if len(unknown):
        raise ValueError(f"y contains previously unseen labels: {unknown.tolist()}")
    codes = np.searchsorted(estimator.classes_, labels)
    boxes = np.concatenate([target["boxes"] for target in y]) / np.tile(sizes, 2)
    targets = np.column_stack([boxes, codes])
    return backbone_input.check_X_y(estimator, X, targets, is_first)


def one_box_each(y, sizes):
    """Return the boxes of images, checked to be one per image and inside it."""
    y = check_box_targets(y, len(sizes))
    for i, (target, size) in enumerate(zip(y, sizes, strict=True)):
        if len(target["boxes"]) != 1:
            raise ValueError(
                f"y[{i}] has {len(target['boxes'])} boxes, expected one for each "
                "image. For several objects, use SlidingWindowDetector."
            )
        check_boxes(target["boxes"], f"y[{i}]['boxes']", size)
    return y
