"""What X may be, and how it becomes batches of tensors."""

from .augmentation import make_augmentation
from .decoded import decode_files
from .files import ImageFiles
from .images import Images, find_farthest_value
from .layout import Layout, find_layout
from .memory_formats import MEMORY_FORMATS, with_channels_last
from .rows import Rows
from .samples import Samples
from .scaled import ScaledImages
from .scaling import ChannelScaler, find_scale, is_constant
from .sentences import Sentences
from .signals import pad_signals
from .sources import as_image_list, is_image_files
from .texts import as_texts
from .training_set import Batches, TrainingSet
from .transfer import fetch, send, send_ahead
from .validation import (
    as_array,
    check_image_array,
    check_same_shape,
    first_sample,
)
from .vocabulary import N_SPECIAL, TOKEN_PATTERN, Vocabulary

__all__ = [
    "MEMORY_FORMATS",
    "N_SPECIAL",
    "TOKEN_PATTERN",
    "Batches",
    "ChannelScaler",
    "ImageFiles",
    "Images",
    "Layout",
    "Rows",
    "Samples",
    "ScaledImages",
    "Sentences",
    "TrainingSet",
    "Vocabulary",
    "as_array",
    "as_image_list",
    "as_texts",
    "check_image_array",
    "check_same_shape",
    "decode_files",
    "fetch",
    "find_farthest_value",
    "find_layout",
    "find_scale",
    "first_sample",
    "is_constant",
    "is_image_files",
    "make_augmentation",
    "pad_signals",
    "send",
    "send_ahead",
    "with_channels_last",
]
