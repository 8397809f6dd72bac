"""Parts are computed by one thread each, in OpenMP's threads and in Python's."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skcnn.parallel import map_parts, workers


@pytest.fixture(params=["openmp", "threads"], autouse=True)
def team(request, monkeypatch):
    if request.param == "threads":
        monkeypatch.setattr(workers, "_openmp", None)
    elif workers._openmp is None:
        pytest.skip("torch does not compute with GNU's OpenMP here")


@pytest.mark.parametrize("n_tasks", [1, 2, 9])
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_workers_compute_on_one_thread_and_in_order(set_threads, n_threads, n_tasks):
    set_threads(n_threads)

    def task(index, factor):
        time.sleep(0.001 * (n_tasks - index))
        return torch.get_num_threads(), index * factor

    results = map_parts(task, range(n_tasks), [2] * n_tasks)
    assert results == [(1, 2 * index) for index in range(n_tasks)]
    assert torch.get_num_threads() == n_threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == n_threads


def test_as_many_workers_as_threads_compute_at_once(set_threads):
    set_threads(3)
    barrier = threading.Barrier(3, timeout=10)
    assert sorted(map_parts(lambda _: barrier.wait(), range(3))) == [0, 1, 2]


def test_workers_record_no_gradients(set_threads):
    set_threads(2)
    x = torch.ones(2, requires_grad=True)
    products = map_parts(lambda factor: factor * x, range(3))
    assert not any(product.requires_grad for product in products)
    assert (2 * x).requires_grad


def test_an_error_in_a_worker_is_raised_and_the_others_go_on(set_threads):
    set_threads(2)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            map_parts(lambda x: 1 / x, [0, 1, 0, 2])
    assert map_parts(lambda x: 1 / x, [1, 2]) == [1, 0.5]


def test_an_interruption_reaches_the_caller(set_threads):
    set_threads(2)

    def interrupt(index):
        if index:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_parts(interrupt, range(2))


def test_parts_of_several_callers_at_once_are_right(set_threads):
    set_threads(2)
    x = torch.arange(8.0)

    def total(_):
        return [float(sum(map_parts(torch.sum, x.split(2)))) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        assert {t for totals in pool.map(total, range(4)) for t in totals} == {28.0}
