"""Extraction of image features, and the feature cache."""

from .accepted_sizes import explain_refused_shape
from .backbone_input import ArraySource, FileSource, PublishedScaling
from .cache import (
    FeatureCache,
    clear_cache,
    default_cache_folder,
    find_cache_folder,
    find_fit_files,
)
from .computing import CachedFeatures, compute_features
from .extraction import PRECISIONS, FeatureExtractor
from .pooling import POOLINGS, pool

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
    "find_fit_files",
    "pool",
]
