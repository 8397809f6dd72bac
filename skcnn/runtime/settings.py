"""Temporary settings of torch for a process or thread."""

import os
import threading
from contextlib import ExitStack, contextmanager

import torch

DEVICES_OF_AUTOCAST = ("cpu", "cuda", "mps")


class SharedSetting:
    """Setting of all threads that is changed while at least one caller needs it.

    The setting is written only if its value differs from the required one. The last
    caller restores the previous value, unless other code has changed it since.

    Parameters
    ----------
    read : callable
        Function without arguments that returns the value.

    write : callable
        Function that sets the value.

    value : object
        Required value.
    """

    def __init__(self, read, write, value):
        self._read, self._write, self._value = read, write, value
        self._lock = threading.Lock()
        self._n_users = 0
        self._before = []

    @contextmanager
    def held(self):
        """Set the required value within this context."""
        with self._lock:
            now = self._read()
            if now != self._value:
                self._before = [now]
                self._write(self._value)
            self._n_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if not self._n_users:
                    self._change_back()

    def _change_back(self):
        if self._before and self._read() == self._value:
            self._write(*self._before)
        self._before = []


def _read_kernels():
    cudnn = torch.backends.cudnn
    return cudnn.deterministic, cudnn.benchmark


def _write_kernels(value):
    cudnn = torch.backends.cudnn
    cudnn.deterministic, cudnn.benchmark = value


float32_default = SharedSetting(
    torch.get_default_dtype, torch.set_default_dtype, torch.float32
)
# Deterministic GPU kernels.
fixed_kernels = SharedSetting(_read_kernels, _write_kernels, (True, False))


class ForkedProcess:
    """Record of a fork, after which the threads of the parent no longer exist."""

    is_new = False

    def note(self):
        """Note that this process was forked."""
        self.is_new = True

    def use_one_thread(self):
        """Let torch use one thread in a forked process, which would otherwise hang."""
        if self.is_new:
            torch.set_num_threads(1)
            self.is_new = False


forked_process = ForkedProcess()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forked_process.note)


@contextmanager
def usual_torch():
    """Use the default settings of torch within this context.

    Callers may have disabled gradients, enabled autocast or changed the default dtype
    or device for their own networks. Worker processes do not inherit these settings,
    so the results of an estimator must not depend on them. Only the default dtype is
    shared by all threads. In a forked process, torch uses one thread from then on.
    """
    forked_process.use_one_thread()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in filter(torch.is_autocast_enabled, DEVICES_OF_AUTOCAST):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(float32_default.held())
        yield
