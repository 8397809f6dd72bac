"""Kernels of a GPU that compute the same each time."""

import torch

from ..modules import SharedSetting


def _read():
    cudnn = torch.backends.cudnn
    return cudnn.deterministic, cudnn.benchmark


def _write(value):
    cudnn = torch.backends.cudnn
    cudnn.deterministic, cudnn.benchmark = value


fixed_kernels = SharedSetting(_read, _write, (True, False))
