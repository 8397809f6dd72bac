import numpy as np
import pytest

from skcnn.data import Samples


@pytest.fixture
def samples(rng):
    return Samples(rng.normal(size=(6, 2)), np.arange(6), np.linspace(1, 2, 6))


def test_taken_samples_share_the_array_and_keep_their_targets(samples):
    taken = samples.take(np.array([4, 1]))
    assert taken.X is samples.X
    assert len(taken) == 2
    assert taken.targets.tolist() == taken.rows.tolist() == [4, 1]


def test_taken_weights_keep_their_ratio_and_have_a_mean_of_1(samples):
    taken = samples.take(np.array([5, 0]))
    assert taken.weights.mean() == pytest.approx(1)
    assert taken.weights[0] / taken.weights[1] == pytest.approx(2)


def test_samples_of_samples_are_rows_of_the_first(samples):
    taken = samples.take(np.array([5, 3, 0])).take(np.array([1, 2]))
    assert taken.rows.tolist() == taken.targets.tolist() == [3, 0]
