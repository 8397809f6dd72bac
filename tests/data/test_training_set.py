import numpy as np
import pytest
import torch

from skcnn.data import Batches, Samples, TrainingSet
from skcnn.runtime import make_generator

SIZES = [(n, b) for n in (1, 2, 7, 16, 33, 100) for b in (1, 2, 3, 16, 32, 64, 200)]


@pytest.fixture
def make_dataset(make_images):
    """Return a function that makes a set whose sample, target and weight i tell i."""

    def make(n_samples, weighted=False, seed=0, read_only=False):
        X = np.tile(np.arange(n_samples, dtype=np.float32)[:, None], 3)
        X.flags.writeable = not read_only
        targets = torch.arange(n_samples)
        weights = 10.0 * targets if weighted else None
        return TrainingSet(make_images(X), targets, weights, make_generator(seed))

    return make


def identities(dataset, X):
    """Return which samples the images of a batch are."""
    scaler = dataset.images.scaler
    values = X[:, 0].double().numpy() * scaler.scale_ + scaler.mean_
    assert (np.ptp(values, axis=1) < 1e-3).all()
    return np.round(values[:, 0]).astype(int).tolist()


def targets_of_a_pass(batches):
    return torch.cat([y for _, y in batches]).tolist()


@pytest.mark.parametrize(("n_samples", "batch_size"), SIZES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_pass_is_a_permutation(make_dataset, n_samples, batch_size, shuffle):
    batches = Batches(make_dataset(n_samples), batch_size, shuffle)
    for _ in range(2):
        assert sorted(targets_of_a_pass(batches)) == list(range(n_samples))


@pytest.mark.parametrize(("n_samples", "batch_size"), SIZES)
def test_sizes_differ_by_at_most_one_and_stay_within_the_bound(
    make_dataset, n_samples, batch_size
):
    batches = Batches(make_dataset(n_samples), batch_size, shuffle=True)
    sizes = [len(X) for X, _ in batches]
    assert len(sizes) == len(batches)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) > 1 or batch_size == 1 or n_samples == 1
    if batch_size != 2:
        assert len(sizes) == -(-n_samples // batch_size)
        assert max(sizes) <= batch_size


@pytest.mark.parametrize("read_only", [False, True])
def test_images_targets_and_weights_stay_together(make_dataset, read_only):
    dataset = make_dataset(33, weighted=True, read_only=read_only)
    for X, (y, weights) in Batches(dataset, 8, shuffle=True):
        assert identities(dataset, X) == y.tolist()
        assert weights.tolist() == (10 * y).tolist()


def test_the_order_is_a_function_of_the_generator(make_dataset):
    def passes(seed):
        batches = Batches(make_dataset(100, seed=seed), 16, shuffle=True)
        return [targets_of_a_pass(batches) for _ in range(3)]

    assert passes(3) == passes(3)
    assert passes(3) != passes(4)


def test_each_pass_has_an_order_of_its_own(make_dataset):
    batches = Batches(make_dataset(100), 16, shuffle=True)
    orders = [targets_of_a_pass(batches) for _ in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_order_does_not_depend_on_the_batch_size(make_dataset):
    first, second = (
        targets_of_a_pass(Batches(make_dataset(100), size, shuffle=True))
        for size in (7, 64)
    )
    assert first == second


def test_without_shuffling_samples_keep_their_order(make_dataset):
    assert targets_of_a_pass(Batches(make_dataset(33), 8)) == list(range(33))


def test_shuffling_leaves_the_global_generator_alone(make_dataset):
    before = torch.get_rng_state()
    list(Batches(make_dataset(33), 8, shuffle=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_targets_of_several_outputs_come_as_rows(make_images, rng):
    y = torch.from_numpy(rng.normal(size=(10, 2)))
    images = make_images(rng.normal(size=(10, 5)))
    dataset = TrainingSet(images, y, None, make_generator(0))
    assert torch.equal(torch.cat([rows for _, rows in Batches(dataset, 4)]), y)


def test_an_item_is_a_batch_of_one_without_its_first_axis(make_dataset):
    dataset = make_dataset(5)
    X, y = dataset[3]
    assert torch.equal(X, dataset.take(torch.tensor([3]))[0][0])
    assert y == 3


def test_a_weighted_item_has_its_target_and_its_weight(make_dataset):
    _, (y, weight) = make_dataset(5, weighted=True)[3]
    assert y.shape == weight.shape == ()
    assert (y, weight) == (3, 30)


def test_length_is_the_number_of_samples(make_dataset):
    assert len(make_dataset(7)) == 7


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
