"""Kernels of a GPU that compute the same each time."""

import threading
from contextlib import contextmanager

import torch


class FixedKernels:
    """cuDNN's kernels that compute the same each time, for the fits of a process.

    cuDNN chooses them for all threads, so the first fit that begins switches
    them on, and the last one that ends back.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._n_fits = 0

    @contextmanager
    def fitting(self):
        """Within this context, a fit ends with the same bits each time."""
        cudnn = torch.backends.cudnn
        with self._lock:
            if not self._n_fits:
                self._before = cudnn.deterministic, cudnn.benchmark
                cudnn.deterministic, cudnn.benchmark = True, False
            self._n_fits += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_fits -= 1
                if not self._n_fits:
                    cudnn.deterministic, cudnn.benchmark = self._before


fixed_kernels = FixedKernels()
