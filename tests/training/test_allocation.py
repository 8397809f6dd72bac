import subprocess
import sys
from contextlib import suppress

import pytest

from skcnn.training import allocation
from skcnn.training.allocation import MemoryKeeper

KEPT = [(allocation.M_MMAP_THRESHOLD, 2**25), (allocation.M_TRIM_THRESHOLD, -1)]
GIVEN_BACK = [
    (allocation.M_MMAP_THRESHOLD, 2**25),
    (allocation.M_TRIM_THRESHOLD, 2**26),
]

# Prints the page faults of ten steps without and within the context, and by how many
# megabytes the process is larger afterwards.
STEPS = """
import resource
import torch
from skcnn.training.allocation import memory_keeper

def steps(n):
    for _ in range(n):
        tensors = [torch.ones(5, 2**20) for _ in range(8)]
        del tensors

def count_faults():
    steps(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    steps(10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

torch.set_num_threads(1)
faults, before = count_faults(), size()
with memory_keeper.keep():
    kept_faults = count_faults()
steps(1)
print(faults, kept_faults, size() - before)
"""


@pytest.fixture
def calls(monkeypatch):
    """The options that are set."""
    calls = []
    monkeypatch.setattr(allocation, "_mallopt", lambda *args: calls.append(args))
    for name in allocation.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or allocation._mallopt is None,
    reason="the allocator is not GNU's",
)
def test_memory_is_kept_within_the_context_and_given_back_afterwards(monkeypatch):
    for name in allocation.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    ran = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True
    )
    faults, kept_faults, growth = map(float, ran.stdout.split())
    assert faults > 100
    assert kept_faults < faults / 10
    assert growth < 100


def test_contexts_within_each_other_are_one(calls):
    keeper = MemoryKeeper()
    with suppress(ValueError), keeper.keep():
        with keeper.keep():
            assert calls == KEPT
        assert calls == KEPT
        raise ValueError
    assert calls == KEPT + GIVEN_BACK


@pytest.mark.parametrize("name", allocation.SETTINGS)
def test_settings_of_the_environment_are_left_as_they_are(calls, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with MemoryKeeper().keep():
        pass
    assert calls == []


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocation, "_mallopt", None)
    with MemoryKeeper().keep():
        pass
