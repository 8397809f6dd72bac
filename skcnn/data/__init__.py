"""Validation of X, and batches of tensors."""

from .arrays import (
    as_array,
    check_image_array,
    check_one_shape,
    check_same_shape,
    first_sample,
)
from .augmentation import make_augmentation
from .batch_readers import FeatureVectors
from .columns import as_image_list, as_texts, is_image_files
from .device_transfer import receive, send, send_ahead
from .image_batches import Images, ScaledImages, find_farthest_value
from .image_files import ImageFiles, decode_files
from .layout import Layout, find_layout
from .memory_formats import MEMORY_FORMATS, with_channels_last
from .scaling import ChannelScaler, find_scale, is_constant
from .sentences import Sentences
from .signals import pad_signals
from .training_set import Batches, Samples, TrainingSet
from .vocabulary import N_SPECIAL, TOKEN_PATTERN, Vocabulary

__all__ = [
    "MEMORY_FORMATS",
    "N_SPECIAL",
    "TOKEN_PATTERN",
    "Batches",
    "ChannelScaler",
    "FeatureVectors",
    "ImageFiles",
    "Images",
    "Layout",
    "Samples",
    "ScaledImages",
    "Sentences",
    "TrainingSet",
    "Vocabulary",
    "as_array",
    "as_image_list",
    "as_texts",
    "check_image_array",
    "check_one_shape",
    "check_same_shape",
    "decode_files",
    "find_farthest_value",
    "find_layout",
    "find_scale",
    "first_sample",
    "is_constant",
    "is_image_files",
    "make_augmentation",
    "pad_signals",
    "receive",
    "send",
    "send_ahead",
    "with_channels_last",
]
