import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skcnn.training.threads import SMALL_BATCH_FLOPS, fitting_threads

LARGE = 2 * SMALL_BATCH_FLOPS


@pytest.mark.parametrize("before", [1, 2, 3])
def test_small_fits_use_one_thread_and_large_ones_all(set_threads, before):
    set_threads(before)
    with fitting_threads(SMALL_BATCH_FLOPS / 2) as n_threads:
        assert n_threads == torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with fitting_threads(LARGE) as n_threads:
        assert n_threads == torch.get_num_threads() == before
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("flops", [1, LARGE])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_number_of_threads_comes_back_after_an_exception(set_threads, flops, error):
    set_threads(3)
    with pytest.raises(error), fitting_threads(flops):
        raise error
    assert torch.get_num_threads() == 3
    with fitting_threads(LARGE) as n_threads:
        assert n_threads == 3


def test_the_number_of_threads_comes_back_after_nested_fits(set_threads):
    set_threads(3)
    with fitting_threads(LARGE):
        with fitting_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_comes_back_after_overlapping_fits(set_threads, fails):
    set_threads(3)
    barrier = threading.Barrier(4)

    def fit(worker):
        for turn in range(5):
            barrier.wait()
            flops = LARGE if (worker + turn) % 2 else 1
            try:
                with fitting_threads(flops):
                    torch.ones(100).sum()
                    if fails and worker == turn % 4:
                        raise ValueError
            except ValueError:
                pass
        barrier.wait()
        return torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fit, range(4))) == {3}
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


def test_threads_that_start_during_a_small_fit_have_as_many_as_before(set_threads):
    set_threads(3)
    with fitting_threads(1) as n_threads:
        assert n_threads == 1
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
        assert torch.get_num_threads() == 1
