"""Export of estimators and pipelines to ONNX."""

from .onnx_model import to_onnx

__all__ = ["to_onnx"]
