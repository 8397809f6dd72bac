import math
import warnings
import weakref

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skcnn import CNNClassifier
from skcnn.runtime import explain_out_of_memory, halve_until_it_fits
from skcnn.runtime.memory import find_memory_size


def too_much_memory():
    return torch.empty(2**60, dtype=torch.uint8)


def raise_memory_error():
    raise MemoryError


@pytest.mark.parametrize("allocate", [too_much_memory, raise_memory_error])
def test_out_of_memory_names_the_batch_size_and_a_smaller_one(allocate):
    with (
        pytest.raises(MemoryError, match=r"batch_size=64\..*batch_size=32\."),
        explain_out_of_memory(64),
    ):
        allocate()


def test_out_of_memory_with_one_sample_does_not_advise_the_same_batch_size():
    with pytest.raises(MemoryError) as error, explain_out_of_memory(1):
        raise_memory_error()
    assert "for example batch_size=1" not in str(error.value)


@pytest.mark.parametrize("error", [RuntimeError("other"), ValueError("memory")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, explain_out_of_memory(64):
        raise error
    assert caught.value is error


# What estimators do


@pytest.mark.parametrize("width", [10**12, 10**18])
@pytest.mark.parametrize("batch_size", ["auto", 16])
def test_a_network_that_does_not_fit_is_no_matter_of_the_batch(batch_size, width):
    clf = CNNClassifier(hidden_layer_sizes=(width,), batch_size=batch_size)
    with pytest.raises(MemoryError, match="weights of the network") as error:
        clf.fit(np.ones((40, 4, 4)), np.arange(40) % 2)
    assert "batch" not in str(error.value)


def test_a_network_is_not_begun_that_memory_cannot_hold(monkeypatch):
    """Each block doubles the filters; what is promised for them is never written to."""
    monkeypatch.setattr("skcnn.runtime.memory.find_memory_size", lambda: 2**27)
    clf = CNNClassifier(n_layers=20, random_state=0)
    with pytest.raises(MemoryError, match="fewer or narrower layers"):
        clf.fit(np.ones((40, 8, 8)), np.arange(40) % 2)


def test_the_size_of_memory_is_in_bytes():
    assert find_memory_size() > 2**28  # torch alone takes that much


def limited(largest):
    """Return an architecture that runs out of memory above a batch size."""

    class Limited(torch.nn.Sequential):
        def forward(self, x):
            if len(x) > largest:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    def build(input_shape, n_outputs):
        size = math.prod(input_shape)
        return Limited(torch.nn.Flatten(), torch.nn.Linear(size, n_outputs))

    return build


def make(largest, **parameters):
    return CNNClassifier(limited(largest), max_epochs=2, random_state=0, **parameters)


@pytest.fixture
def data(rng):
    return rng.normal(size=(1500, 4, 4)), np.arange(1500) % 2  # "auto" is 32


@pytest.mark.slow
def test_auto_is_halved_until_it_fits(data):
    with pytest.warns(RuntimeWarning, match="Trying batch_size=") as caught:
        estimator = make(10).fit(*data)
    tried = [str(warning.message) for warning in caught]
    assert ["=32," in tried[0], "=16," in tried[1], len(tried)] == [True, True, 2]
    assert estimator.net_.batch_size == 8
    assert estimator.n_iter_ == 2
    same = make(10, batch_size=8).fit(*data)
    np.testing.assert_array_equal(
        estimator.module_[1].weight.detach(), same.module_[1].weight.detach()
    )


def test_a_size_that_is_given_stands(data):
    with pytest.raises(MemoryError, match=r"batch_size=32\..*batch_size=16\."):
        make(10, batch_size=32).fit(*data)


def test_four_samples_are_the_last_attempt(data):
    estimator = make(3)
    with (
        pytest.warns(RuntimeWarning, match="Trying batch_size="),
        pytest.raises(MemoryError, match="batch_size=4"),
    ):
        estimator.fit(*data)
    with pytest.raises(NotFittedError):
        estimator.predict(data[0])


@pytest.mark.filterwarnings("ignore:Out of memory:RuntimeWarning")
def test_what_fitted_once_is_what_a_warm_start_begins_with(data):
    estimator = make(10, warm_start=True).fit(*data)
    with warnings.catch_warnings(action="error"):
        estimator.fit(*data)
        estimator.partial_fit(*data)
    assert estimator.net_.batch_size == 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Out of memory:RuntimeWarning")
def test_predict_halves_auto_as_well(data):
    estimator = make(10).fit(*data)
    with pytest.warns(RuntimeWarning, match="batch_size=128"):
        probabilities = estimator.predict_proba(data[0])
    expected = estimator.set_params(batch_size=8).predict_proba(data[0])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_the_range_test_halves_auto_as_well(data):
    with pytest.warns(RuntimeWarning, match="batch_size=32"):
        curve = make(20).find_lr(*data, n_steps=5)
    assert len(curve.lrs) == 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Out of memory:RuntimeWarning")
def test_callbacks_of_scikit_learn_bear_another_attempt(data):
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    estimator = make(20).set_callbacks(monitor).fit(*data)
    assert estimator.net_.batch_size == 16
    assert [row["task_name"] for row in monitor.get_logs().data].count("epoch") == 2


def test_a_failed_attempt_is_not_kept_in_memory():
    attempts = []

    def function(batch_size):
        assert all(attempt() is None for attempt in attempts)
        tensor = torch.zeros(3)
        attempts.append(weakref.ref(tensor))
        if batch_size > 8:
            raise torch.OutOfMemoryError
        return batch_size

    with pytest.warns(RuntimeWarning, match="Out of memory"):
        assert halve_until_it_fits(function, 32) == 8
