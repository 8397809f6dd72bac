"""Pictures of networks: what they look like, what they see and where they looked."""

from .confusion_images import ConfusionImagesDisplay
from .embedding import EmbeddingDisplay
from .feature_maps import FeatureMapDisplay
from .filters import FilterDisplay
from .history import HistoryDisplay
from .neighbors import NeighborsDisplay
from .summary import NetworkSummary, summary
from .top_patches import TopPatchesDisplay

__all__ = [
    "ConfusionImagesDisplay",
    "EmbeddingDisplay",
    "FeatureMapDisplay",
    "FilterDisplay",
    "HistoryDisplay",
    "NeighborsDisplay",
    "NetworkSummary",
    "TopPatchesDisplay",
    "summary",
]
