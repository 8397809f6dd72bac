"""Convolutional neural networks as scikit-learn estimators."""

from ._classifier import CNNClassifier
from ._feature_transformer import CNNFeatureTransformer
from ._fine_tuned_classifier import FineTunedClassifier
from ._fine_tuned_regressor import FineTunedRegressor
from ._fixed_filters import FixedFilterTransformer
from ._regressor import CNNRegressor
from ._text_classifier import TextCNNClassifier
from .backbones import list_backbones
from .export import to_onnx
from .features import clear_cache
from .inspection.summary import summary

__version__ = "0.1.0"

__all__ = [
    "CNNClassifier",
    "CNNFeatureTransformer",
    "CNNRegressor",
    "FineTunedClassifier",
    "FineTunedRegressor",
    "FixedFilterTransformer",
    "TextCNNClassifier",
    "__version__",
    "clear_cache",
    "list_backbones",
    "summary",
    "to_onnx",
]
