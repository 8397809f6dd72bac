"""Suppression of exporters' warnings about their own code."""

import logging
import warnings
from contextlib import contextmanager


@contextmanager
def silenced_warnings():
    """Silence exporters' warnings about their own code within this context."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category)
        try:
            yield
        finally:
            logger.setLevel(level)
