"""Fits at the same time are spread over the GPUs; places are files, and need no GPU."""

import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from threading import Barrier

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback

from skcnn import CNNClassifier
from skcnn._base import net_building
from skcnn.runtime import check_device, devices, leased_gpu, leases
from skcnn.runtime.leases import lease

HOLD = """
import runpy, sys
with runpy.run_path(sys.argv[1])["lease"](["a", "b"]) as index:
    print(index, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep the places apart from those of fits that run beside the tests."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def two_gpus(monkeypatch):
    """Let there be two GPUs, as far as the choice of a device goes."""
    monkeypatch.setattr(devices, "count_gpus", lambda: 2)
    monkeypatch.setattr(devices, "identify_gpu", "gpu-{}".format)


def start(stack):
    """Start a process that holds a lease; return it and the position of its device."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", HOLD, leases.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    return process, int(process.stdout.readline())


def test_processes_are_spread_evenly_and_the_dead_leave_their_place():
    with ExitStack() as stack:
        holders = [start(stack) for _ in range(4)]
        assert sorted(index for _, index in holders) == [0, 0, 1, 1]
        process, index = holders[2]
        process.kill()
        process.wait()
        assert start(stack)[1] == index
        for process, _ in holders:
            process.kill()


@pytest.mark.parametrize("n_leases", [1, 3, 7])
def test_no_device_has_two_more_than_another(n_leases):
    with ExitStack() as stack:
        held = [stack.enter_context(lease("abc")) for _ in range(n_leases)]
    counts = [Counter(held)[index] for index in range(3)]
    assert max(counts) - min(counts) <= 1
    with lease("abc") as index:
        assert index == 0


def test_places_on_other_devices_do_not_count():
    with lease(["a", "b"]), lease(["c", "a"]) as index:
        assert index == 0


def test_the_first_device_is_taken_where_no_file_can_be_made(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", __file__)
    with lease(["a", "b"]) as first, lease(["a", "b"]) as second:
        assert first == second == 0


def test_auto_is_the_leased_gpu_within_the_lease(two_gpus):
    with lease(["gpu-0", "gpu-1"]):
        with leased_gpu("auto"):
            assert str(check_device("auto")) == "cuda:1"
            with leased_gpu("auto"):
                assert str(check_device("auto")) == "cuda:1"
            assert str(check_device("cuda:0")) == "cuda:0"
        assert str(check_device("auto")) == "cuda:0"


def test_who_names_a_device_leases_none(two_gpus, folder):
    with leased_gpu("cuda:1"):
        assert str(check_device("auto")) == "cuda:0"
    assert list(folder.iterdir()) == []


class Meeting(Callback):
    """Wait until all fits train."""

    barrier = Barrier(4)

    def on_train_begin(self, net, **kwargs):
        self.barrier.wait(timeout=30)


def test_four_fits_at_a_time_are_two_on_each_gpu(two_gpus, monkeypatch, rng):
    chosen = []

    def check_and_stay_on_cpu(device):
        chosen.append(str(check_device(device)))
        return torch.device("cpu")

    monkeypatch.setattr(net_building, "check_device", check_and_stay_on_cpu)
    X, y = rng.normal(size=(40, 8, 8)), np.arange(40) % 2
    clf = CNNClassifier(n_filters=2, max_epochs=1, callbacks=[Meeting], random_state=0)
    with joblib.parallel_config(backend="threading"):
        cross_val_score(clf, X, y, cv=4, n_jobs=4, error_score="raise")
    assert sorted(chosen) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
