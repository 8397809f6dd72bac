"""Boxes around objects: localisation and detection."""

from ._sliding_window_detector import SlidingWindowDetector
from .average_precision import average_precision, box_iou
from .boxes import check_boxes, stack_boxes, unstack_boxes

__all__ = [
    "SlidingWindowDetector",
    "average_precision",
    "box_iou",
    "check_boxes",
    "stack_boxes",
    "unstack_boxes",
]
