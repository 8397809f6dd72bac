import threading

import numpy as np
import pytest
import torch

from skcnn.data import receive, send, send_ahead
from skcnn.data.device_transfer import BATCHES_AHEAD, ahead, thread_pool

CPU = torch.device("cpu")


def test_a_tensor_that_is_there_is_not_copied():
    tensor = torch.arange(3)
    assert send(tensor, CPU) is tensor


def test_tensors_are_sent_with_what_they_were_read_of():
    sent = list(send_ahead(["a", "bcd"], CPU, lambda text: torch.tensor(len(text))))
    assert sent == [("a", torch.tensor(1)), ("bcd", torch.tensor(3))]


def test_received_tensors_are_arrays():
    values = torch.arange(6.0).reshape(2, 3), torch.ones(2, dtype=torch.float64)
    for array, value in zip(receive(values)(), values, strict=True):
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, value)


def make_ahead(function, items):
    with thread_pool(1, "skcnn-send") as pool:
        for item, future in ahead(items, lambda item: pool.submit(function, item)):
            yield item, future.result()


def threads_that_send():
    return [t for t in threading.enumerate() if t.name.startswith("skcnn-send")]


def test_items_are_worked_on_ahead_and_in_order():
    taken, reached = [], threading.Semaphore(0)

    def items():
        for i in range(9):
            taken.append(i)
            yield i

    def double(item):
        reached.release()
        return 2 * item

    made = make_ahead(double, items())
    assert next(made) == (0, 0)
    assert taken == list(range(BATCHES_AHEAD + 1))
    for _ in taken:
        assert reached.acquire(timeout=30)
    assert list(made) == [(i, 2 * i) for i in range(1, 9)]
    assert not threads_that_send()


def test_an_error_is_raised_where_its_item_is_due():
    def invert(item):
        return 1 / item

    made = make_ahead(invert, [2, 1, 0, 1])
    assert [next(made), next(made)] == [(2, 0.5), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert not threads_that_send()


def test_the_thread_ends_with_an_iterator_that_is_closed_early():
    made = make_ahead(abs, range(100))
    next(made)
    made.close()
    assert not threads_that_send()
