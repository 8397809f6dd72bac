"""Localisation and detection of objects by bounding boxes."""

from ._activation_localizer import ActivationLocalizer
from ._box_regressor import BoxRegressor
from ._pretrained_detector import PretrainedDetector
from ._sliding_window_detector import SlidingWindowDetector
from .average_precision import average_precision, box_iou
from .box_display import BoxDisplay
from .boxes import check_boxes, stack_boxes, unstack_boxes

__all__ = [
    "ActivationLocalizer",
    "BoxDisplay",
    "BoxRegressor",
    "PretrainedDetector",
    "SlidingWindowDetector",
    "average_precision",
    "box_iou",
    "check_boxes",
    "stack_boxes",
    "unstack_boxes",
]
