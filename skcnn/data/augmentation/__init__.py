"""Augmentation of training batches, on their device.

An augmentation is a function from a batch and a generator to a batch, see
`make_augmentation`.
"""

from .box_mapping import make_box_augmentation, map_boxes
from .geometric import HorizontalFlip, RandomResizedCrop, Rotation, Scale, Shift
from .intensity import ColorJitter, Cutout, Noise, Scaling
from .mixup import Mix, Mixup, mix_targets
from .presets import AUGMENTATIONS, PRESETS, Augmentation, make_augmentation

__all__ = [
    "AUGMENTATIONS",
    "PRESETS",
    "Augmentation",
    "ColorJitter",
    "Cutout",
    "HorizontalFlip",
    "Mix",
    "Mixup",
    "Noise",
    "RandomResizedCrop",
    "Rotation",
    "Scale",
    "Scaling",
    "Shift",
    "make_augmentation",
    "make_box_augmentation",
    "map_boxes",
    "mix_targets",
]
