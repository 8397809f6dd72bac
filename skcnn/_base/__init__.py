"""Base classes of the estimators, and the functions that they share."""

from . import array_input, sentence_input
from .base_cnn import BaseCNN
from .classification_targets import ClassTargets
from .fine_tuning import BaseFineTunedCNN
from .fitting import check_partial_fit, fitting
from .regression_targets import ScaledTargetMixin, ValueTargets

__all__ = [
    "BaseCNN",
    "BaseFineTunedCNN",
    "ClassTargets",
    "ScaledTargetMixin",
    "ValueTargets",
    "array_input",
    "check_partial_fit",
    "fitting",
    "sentence_input",
]
