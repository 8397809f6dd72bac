"""Settings of torch for a whole process or thread, for a while."""

import os
import threading
from contextlib import ExitStack, contextmanager

import torch

DEVICES_OF_AUTOCAST = ("cpu", "cuda", "mps")


class SharedSetting:
    """A setting that holds for all threads, changed while anybody needs it.

    It is written only if it has another value than the one that is needed, and
    who leaves last changes it back, unless somebody else has changed it since.

    Parameters
    ----------
    read : callable
        Without arguments, returns the value.

    write : callable
        Takes the value.

    value : object
        What is needed.
    """

    def __init__(self, read, write, value):
        self._read, self._write, self._value = read, write, value
        self._lock = threading.Lock()
        self._n_users = 0
        self._before = []

    @contextmanager
    def held(self):
        """Within this context, the setting has the value that is needed."""
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
# Kernels of a GPU that compute the same each time.
fixed_kernels = SharedSetting(_read_kernels, _write_kernels, (True, False))


class ForkedProcess:
    """Whether this process is a copy of one whose threads are not there any more."""

    is_new = False

    def note(self):
        """Note that this is a copy."""
        self.is_new = True

    def use_one_thread(self):
        """Let torch use one thread in a copy, which would wait for others for ever."""
        if self.is_new:
            torch.set_num_threads(1)
            self.is_new = False


forked_process = ForkedProcess()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forked_process.note)


@contextmanager
def usual_torch():
    """Within this context, torch computes as it does if nobody says otherwise.

    Whoever calls may have switched off gradients, or switched on autocast or another
    default dtype or device for networks of their own. Other processes do not see
    that: what an estimator learns and computes must not depend on it. Of these, only
    the default dtype is one for all threads. In a process that was forked, torch uses
    one thread from then on.
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
