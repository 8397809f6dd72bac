"""Store of finished fits, which are loaded instead of repeated.

A fit is identified by a digest of all that it depends on: class, parameters, samples,
attributes learnt from these before training, versions, and the device. Its file holds
the attributes set by training. While a worker trains, it holds the lock of the fit, so
that other workers wait for the result.
"""

import os
import platform
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from numbers import Integral

import numpy as np
import torch

from ..backbones import find_digest
from ..features import find_fit_files
from ..runtime import check_device, count_processes, is_small_batch
from .backbone_features import wants_cache
from .net_building import remember_network_parameters

# Increased when the same parameters and samples give another network than before.
REVISION = 1
LIBRARIES = (
    "skcnn",
    "numpy",
    "scikit-learn",
    "skorch",
    "timm",
    "torch",
    "torchvision",
)
# Parameters that do not affect the network, or whose effects are in LEARNT_BEFORE.
LEFT_OUT = {"memory", "backbone", "embeddings", "callbacks"}
LEARNT_BEFORE = ("_random_state", "_targets", "_layout", "_backbone", "scaler_")
LEFT_BY_TRAINING = ("net_", "_random_state", "_memory_limit", "head_loss_curve_")


@contextmanager
def stored_fit(call, samples, held_out):
    """Find a fit in the store, and hold its lock if it is missing."""
    key = _find_key(call, samples, held_out)
    if key is None:
        yield NotStored()
        return
    files = find_fit_files(call.estimator.memory)
    fit = StoredFit(call, len(samples), files, key)
    lock = None if fit.is_found() else files.lock(f"fit-{key}.lock", timeout=-1)
    try:
        yield fit
    finally:
        if lock is not None:
            lock.release()
            with suppress(OSError):  # on Windows, others may have it open
                os.unlink(lock.lock_file)


class NotStored:
    """Fit that cannot be stored."""

    def restore(self):
        """Return False: nothing is restored."""
        return False

    def keep(self):
        """Store nothing."""


class StoredFit:
    """Fit that is stored, or can be."""

    def __init__(self, call, n_samples, files, key):
        self.call = call
        self.n_samples = n_samples
        self.files = files
        self.key = key
        self.state = None

    def is_found(self):
        """Return whether the fit is stored, for any number of threads or this one."""
        names = self._name(is_small=True), self._name(is_small=False)
        for name in names:
            self.state = self.state or self.files.load(name)
        return self.state is not None

    def restore(self):
        """Set the stored attributes; return whether the fit was found."""
        if not self.is_found():
            return False
        estimator = self.call.estimator
        vars(estimator).update(self.state)
        remember_network_parameters(estimator)
        estimator._resume_after_training()
        return True

    def keep(self):
        """Store the attributes set by training, unless it was interrupted."""
        if self.call.interrupt is not None:
            return
        known = vars(self.call.estimator)
        state = {name: known[name] for name in LEFT_BY_TRAINING if name in known}
        self.files.store(self._name(self._is_small()), state)

    def _is_small(self):
        """Return whether the number of threads did not affect the fit."""
        estimator = self.call.estimator
        net = estimator.net_
        flops = net.flops_ * min(net.batch_size, self.n_samples)
        is_plain = not hasattr(estimator, "_backbone")
        return is_plain and is_small_batch(flops, torch.device(net.device))

    def _name(self, is_small):
        return self.key if is_small else f"{self.key}-{torch.get_num_threads()}"


def _find_key(call, samples, held_out):
    """Return a digest of all that a fit depends on, None if it cannot be stored."""
    estimator = call.estimator
    if not (wants_cache(estimator.memory) and _is_repeatable(call)):
        return None
    parameters = estimator.get_params(deep=False)
    kept = {name: v for name, v in parameters.items() if name not in LEFT_OUT}
    learnt = {name: vars(estimator).get(name) for name in LEARNT_BEFORE}
    parts = map(_as_content, (samples, held_out))
    setting = REVISION, _find_versions(), _find_processor(estimator)
    besides = type(parameters.get("backbone")), estimator._read_besides()
    return find_digest((setting, type(estimator), kept, learnt, besides, *parts))


def _is_repeatable(call):
    """Return whether a fit is deterministic and without side effects."""
    estimator = call.estimator
    is_seeded = isinstance(estimator.random_state, Integral)
    is_watched = bool(estimator.callbacks) or call.progress.is_watched
    if count_processes() > 1:
        return False
    return call.is_first and not call.is_incremental and is_seeded and not is_watched


def _as_content(samples):
    """Return the class name of X, and samples with X as a plain array."""
    if samples is None or not isinstance(samples.X, np.ndarray):
        return samples
    return type(samples.X).__name__, replace(samples, X=np.ascontiguousarray(samples.X))


@cache
def _find_versions():
    return [version(name) for name in LIBRARIES]


def _find_processor(estimator):
    """Return a name of the processor, on which rounding depends."""
    device = check_device(estimator.device)
    if device.type == "cuda":
        return device.type, torch.cuda.get_device_name(device)
    return device.type, platform.machine(), torch.backends.cpu.get_cpu_capability()
