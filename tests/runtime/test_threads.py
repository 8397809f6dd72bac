import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch

from skcnn.runtime import map_in_threads, use_threads, use_threads_for

CPU = torch.device("cpu")


def count_threads(_=None):
    return torch.get_num_threads()


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("before", [1, 3])
def test_threads_are_as_many_as_asked_for_within_the_context(
    set_threads, before, n_threads
):
    set_threads(before)
    with suppress(ValueError), use_threads(n_threads):
        assert torch.get_num_threads() == n_threads
        with ThreadPoolExecutor(1) as pool:  # starts within the context
            assert pool.submit(count_threads).result() == before
        raise ValueError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("flops", "device", "expected"),
    [(1e6, CPU, 1), (1e9, CPU, 3), (1e6, torch.device("cuda"), 3)],
)
def test_small_batches_on_the_cpu_get_one_thread(set_threads, flops, device, expected):
    set_threads(3)
    with use_threads_for(flops, device):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_results_come_in_the_order_of_the_items(set_threads, n_threads, n_items):
    set_threads(n_threads)

    def work(item):
        time.sleep(0.002 * (n_items - item))
        return item, torch.get_num_threads()

    results = map_in_threads(work, range(n_items))
    assert results == [(item, 1) for item in range(n_items)]
    assert torch.get_num_threads() == n_threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count_threads).result() == n_threads


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_the_work_and_leaves_the_threads(set_threads, error):
    set_threads(2)
    done = []

    def work(item):
        if item == 1:
            raise error
        time.sleep(0.01)
        done.append(item)

    with pytest.raises(error):
        map_in_threads(work, range(100))
    assert len(done) < 50
    assert torch.get_num_threads() == 2
