"""Features of images: extraction at full speed, and the cache that keeps them."""

from .cache import (
    FeatureCache,
    clear_cache,
    default_cache_folder,
    find_cache_folder,
)
from .computing import CachedFeatures, compute_features
from .extraction import PRECISIONS, FeatureExtractor
from .input_size import explain_refused_shape
from .pooling import POOLINGS, pool
from .sources import ArraySource, FileSource, PublishedScaling

__all__ = [
    "POOLINGS",
    "PRECISIONS",
    "ArraySource",
    "CachedFeatures",
    "FeatureCache",
    "FeatureExtractor",
    "FileSource",
    "PublishedScaling",
    "clear_cache",
    "compute_features",
    "default_cache_folder",
    "explain_refused_shape",
    "find_cache_folder",
    "pool",
]
