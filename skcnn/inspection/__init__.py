"""Pictures of networks: what they look like, what they see and where they looked."""

from .confusion_images import ConfusionImagesDisplay
from .embedding import EmbeddingDisplay
from .history import HistoryDisplay
from .neighbors import NeighborsDisplay
from .summary import NetworkSummary, summary

__all__ = [
    "ConfusionImagesDisplay",
    "EmbeddingDisplay",
    "HistoryDisplay",
    "NeighborsDisplay",
    "NetworkSummary",
    "summary",
]
