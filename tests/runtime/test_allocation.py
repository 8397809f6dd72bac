import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from skcnn.runtime import allocation
from skcnn.runtime.allocation import MemoryKeeper

KEPT = [(allocation.M_MMAP_THRESHOLD, 2**25), (allocation.M_TRIM_THRESHOLD, -1)]
GIVEN_BACK = [
    (allocation.M_MMAP_THRESHOLD, 2**25),
    (allocation.M_TRIM_THRESHOLD, 2**26),
    (2**26,),
]

# Prints how many megabytes of addresses steps within the context add to the process,
# and how many of memory are left when it has ended.
STEPS = """
import resource
import torch
from skcnn.runtime.allocation import memory_keeper

def steps(n_values):
    for _ in range(3):
        tensors = [torch.ones(n_values) for _ in range(8)]
        del tensors

def sizes():
    with open("/proc/self/statm") as file:
        pages = map(int, file.read().split()[:2])
    return [n * resource.getpagesize() / 2**20 for n in pages]

torch.set_num_threads(1)
steps(5)
addresses, memory = sizes()
with memory_keeper.keep():
    steps(5 * 2**20)
    kept = sizes()[0] - addresses
print(kept, sizes()[1] - memory)
"""


@pytest.fixture
def calls(monkeypatch):
    """The options that are set."""
    calls = []
    allocator = SimpleNamespace(
        mallopt=lambda *args: calls.append(args),
        malloc_trim=lambda *args: calls.append(args),
    )
    monkeypatch.setattr(allocation, "_allocator", allocator)
    for name in allocation.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or allocation._allocator is None,
    reason="the allocator is not GNU's",
)
def test_memory_is_kept_within_the_context_and_given_back_afterwards(monkeypatch):
    for name in allocation.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    ran = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True
    )
    kept, left = map(float, ran.stdout.split())
    assert kept > 150
    assert left < 100


def test_contexts_within_each_other_are_one(calls):
    keeper = MemoryKeeper()
    with suppress(ValueError), keeper.keep():
        with keeper.keep():
            assert calls == KEPT
        assert calls == KEPT
        raise ValueError
    assert calls == KEPT + GIVEN_BACK


def test_a_child_that_leaves_the_context_of_its_parent_starts_anew(calls):
    keeper = MemoryKeeper()
    with keeper.keep():
        keeper.__init__()  # as in a child process
    del calls[:]
    with keeper.keep():
        assert calls == KEPT
    assert calls == KEPT + GIVEN_BACK


@pytest.mark.parametrize("name", allocation.SETTINGS)
def test_settings_of_the_environment_are_left_as_they_are(calls, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with MemoryKeeper().keep():
        pass
    assert calls == []


def test_other_allocators_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocation, "_allocator", None)
    with MemoryKeeper().keep():
        pass
