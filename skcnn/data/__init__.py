"""What X may be, and how it becomes batches of tensors."""

from .images import MEMORY_FORMATS, Images
from .layout import Layout, find_layout
from .samples import Samples
from .scaling import ChannelScaler
from .training_set import Batches, TrainingSet
from .validation import as_array, check_image_array, check_same_shape

__all__ = [
    "MEMORY_FORMATS",
    "Batches",
    "ChannelScaler",
    "Images",
    "Layout",
    "Samples",
    "TrainingSet",
    "as_array",
    "check_image_array",
    "check_same_shape",
    "find_layout",
]
