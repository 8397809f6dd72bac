"""Tools for model inspection: displays, class activation maps and summaries."""

from .class_activation import class_activation_maps
from .class_activation_display import ClassActivationDisplay
from .confusion_images import ConfusionImagesDisplay
from .embedding import EmbeddingDisplay
from .feature_maps import FeatureMapDisplay
from .filters import FilterDisplay
from .history import HistoryDisplay
from .neighbors import NeighborsDisplay
from .occlusion_display import OcclusionDisplay
from .summary import NetworkSummary, summary
from .top_patches import TopPatchesDisplay

__all__ = [
    "ClassActivationDisplay",
    "ConfusionImagesDisplay",
    "EmbeddingDisplay",
    "FeatureMapDisplay",
    "FilterDisplay",
    "HistoryDisplay",
    "NeighborsDisplay",
    "NetworkSummary",
    "OcclusionDisplay",
    "TopPatchesDisplay",
    "class_activation_maps",
    "summary",
]
