import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skcnn.training.threads import MAX_SMALL_FITS, SMALL_BATCH_FLOPS, shared_threads

SMALL, LARGE = 1, 2 * SMALL_BATCH_FLOPS


class Load:
    """Counts the threads that compute."""

    def __init__(self):
        self.lock = threading.Lock()
        self.n_threads = self.most = self.n_fits = self.most_fits = 0

    def add(self, n_threads):
        with self.lock:
            self.n_threads += n_threads
            self.n_fits += 1 if n_threads > 0 else -1
            self.most = max(self.most, self.n_threads)
            self.most_fits = max(self.most_fits, self.n_fits)


def fit(flops, load, n_epochs=5):
    """Compute in some epochs; return the number of threads of each."""
    counts = []
    with shared_threads.fitting(flops):
        for _ in range(n_epochs):
            with shared_threads.computing():
                counts.append(torch.get_num_threads())
                load.add(counts[-1])
                time.sleep(0.002)
                load.add(-counts[-1])
    return counts


@pytest.mark.parametrize("before", [1, 2, 3])
def test_small_fits_use_one_thread_and_large_ones_all(set_threads, before):
    set_threads(before)
    with shared_threads.fitting(SMALL_BATCH_FLOPS / 2) as n_threads:
        assert n_threads == torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with shared_threads.fitting(LARGE) as n_threads:
        assert n_threads == torch.get_num_threads() == before
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("flops", [1, LARGE])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_number_of_threads_comes_back_after_an_exception(set_threads, flops, error):
    set_threads(3)
    with pytest.raises(error), shared_threads.fitting(flops):
        raise error
    assert torch.get_num_threads() == 3
    with shared_threads.fitting(LARGE) as n_threads:
        assert n_threads == 3


def test_the_number_of_threads_comes_back_after_nested_fits(set_threads):
    set_threads(3)
    with shared_threads.fitting(LARGE):
        with shared_threads.fitting(1):
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
                with shared_threads.fitting(flops):
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
    with shared_threads.fitting(1) as n_threads:
        assert n_threads == 1
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("total", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "fits", [[LARGE] * 4, [LARGE] * 9, [LARGE, SMALL] * 2], ids=len
)
def test_fits_together_have_no_more_threads_than_there_are(set_threads, total, fits):
    set_threads(total)
    load = Load()
    with ThreadPoolExecutor(len(fits)) as pool:
        counts = list(pool.map(fit, fits, [load] * len(fits)))
    assert 1 <= load.most <= total
    assert all(len(epochs) == 5 for epochs in counts)
    assert shared_threads._fits == {}


def test_few_small_fits_compute_at_once(set_threads):
    set_threads(4)
    load = Load()
    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(fit, [SMALL] * 6, [load] * 6))
    assert load.most_fits == MAX_SMALL_FITS
    assert {n for epochs in counts for n in epochs} == {1}


def test_fits_divide_all_threads_and_take_over_those_of_fits_that_end(set_threads):
    set_threads(4)
    turns = threading.Barrier(3, timeout=10)

    def fit(n_epochs):
        counts = []
        with shared_threads.fitting(LARGE):
            for _ in range(n_epochs):
                turns.wait()
                with shared_threads.computing():
                    counts.append(torch.get_num_threads())
                    turns.wait()
        turns.wait()
        for _ in range(4 - n_epochs):
            turns.wait()
            turns.wait()
        return counts

    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(fit, [2, 2, 4]))
    assert [sum(row) for row in zip(*counts, strict=False)] == [4, 4]
    assert counts[2][2:] == [4, 4]


def test_a_fit_shares_its_threads_while_it_computes(set_threads):
    set_threads(4)
    started, done = threading.Event(), threading.Event()

    def compute_long():
        with shared_threads.fitting(LARGE), shared_threads.computing():
            counts = [torch.get_num_threads()]
            started.set()
            while not done.wait(0.001):
                shared_threads.share()
            return [*counts, torch.get_num_threads()]

    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(compute_long)
        started.wait(10)
        assert fit(LARGE, Load(), n_epochs=1) == [2]
        done.set()
        assert long.result() == [4, 2]


def test_a_fit_with_one_thread_keeps_it_until_it_has_computed(set_threads):
    set_threads(1)
    with ThreadPoolExecutor(1) as pool, shared_threads.fitting(LARGE):
        with shared_threads.computing():
            waiting = pool.submit(fit, LARGE, Load(), 1)
            time.sleep(0.02)
            shared_threads.share()
            assert not waiting.done()
        assert waiting.result(10) == [1]


def test_a_fit_within_a_fit_has_all_threads(set_threads):
    set_threads(3)
    with shared_threads.fitting(SMALL):
        assert fit(LARGE, Load(), n_epochs=1) == [3]
        assert torch.get_num_threads() == 1


def test_what_is_no_fit_computes_without_a_share(set_threads):
    set_threads(3)
    with shared_threads.computing():
        shared_threads.share()
        assert torch.get_num_threads() == 3


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"
)
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_the_fits_of_others(set_threads):
    set_threads(1)
    with ThreadPoolExecutor(1) as pool:
        started, done = threading.Event(), threading.Event()

        def hold():
            with shared_threads.fitting(LARGE), shared_threads.computing():
                started.set()
                done.wait(20)

        pool.submit(hold)
        started.wait(10)
        child = multiprocessing.get_context("fork").Process(
            target=fit, args=(LARGE, Load(), 1)
        )
        child.start()
        child.join(10)
        done.set()
        code = child.exitcode
        child.kill()
    assert code == 0
