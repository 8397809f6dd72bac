import numpy as np
import pytest
import torch

from skcnn.data import Batches, Sentences, TrainingSet

CPU = torch.device("cpu")
LENGTHS = [3, 0, 5, 1, 1, 2]


def make(lengths):
    """Return sentences of some lengths; each word of the sentence i is i + 1."""
    codes = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), lengths)
    return Sentences(codes, np.cumsum([0, *lengths]), CPU)


def numbers(batch):
    return batch.amax(1).tolist()


def test_a_batch_is_as_long_as_its_longest_sentence():
    sentences = make(LENGTHS)
    batch = sentences.take(torch.tensor([5, 0, 1]))
    assert batch.dtype == torch.int64
    assert batch.tolist() == [[6, 6, 0], [1, 1, 1], [0, 0, 0]]
    assert sentences.take(slice(3, 5)).tolist() == [[4], [5]]


def test_a_batch_of_empty_sentences_has_a_place_without_a_word():
    assert make([0, 0, 1]).take(torch.tensor([0, 1])).tolist() == [[0], [0]]


def test_subsets_are_of_all_sentences():
    sentences = make(LENGTHS)
    subset = sentences.subset(np.array([5, 2, 0]))
    assert len(subset) == 3
    assert subset.lengths.tolist() == [2, 5, 3]
    assert numbers(subset.take(torch.tensor([1, 0]))) == [3, 6]
    again = subset.subset(np.array([4]))
    assert numbers(again.take(slice(None))) == [5]
    assert len(subset.subset(None)) == len(sentences) == 6


def test_reading_goes_by_length():
    batches = make(LENGTHS).reading_batches(4)
    assert [batch.tolist() for batch in batches] == [[2, 0, 5, 3], [4, 1]]
    (batch,) = make(LENGTHS).subset(np.array([1, 2])).reading_batches(4)
    assert batch.tolist() == [1, 0]


@pytest.fixture
def few_places(monkeypatch):
    """Let batches of several sentences have at most 60 places."""
    monkeypatch.setattr("skcnn.data.sentences.MAX_PLACES", 60)
    return 60


def places(sentences, batch):
    return len(batch) * int(sentences.lengths[batch].max())


def test_a_long_sentence_among_short_ones_is_read_in_a_batch_of_its_own(few_places):
    sentences = make([5] * 20 + [500] + [25, 7])
    batches = sentences.reading_batches(16)
    assert [len(batch) for batch in batches] == [1, 2, 12, 8]
    assert all(places(sentences, batch) <= few_places for batch in batches[1:])
    assert sorted(torch.cat(batches).tolist()) == list(range(23))


def test_training_batches_are_bounded_by_their_places(few_places, rng):
    lengths = rng.permutation([*rng.integers(0, 16, 100), *[16, 25, 25, 29, 500, 90]])
    sentences, generator = make(lengths), torch.Generator().manual_seed(0)
    dataset = TrainingSet(sentences, torch.arange(106), None, generator)
    for batch_size in (1, 2, 4, 64):
        for _ in range(2):
            order = torch.randperm(106, generator=generator)
            batches = sentences.group(order, batch_size, generator)
            assert len(batches) == len(Batches(dataset, batch_size, shuffle=True))
            assert sorted(torch.cat(batches).tolist()) == list(range(106))
            for batch in batches:
                assert len(batch) == 1 or places(sentences, batch) <= few_places
                assert len(batch) <= max(batch_size, 3)


def test_sentences_that_are_all_long_have_smaller_batches(few_places):
    sentences, generator = make([20] * 10), torch.Generator().manual_seed(0)
    batches = sentences.group(torch.arange(10), 8, generator)
    assert sorted(map(len, batches)) == [1, 3, 3, 3]
    assert sentences.n_batches(8) == 4


def batches_of(lengths, batch_size, seed=0, n_passes=1):
    generator = torch.Generator().manual_seed(seed)
    dataset = TrainingSet(
        make(lengths), torch.arange(1, len(lengths) + 1), None, generator
    )
    batches = Batches(dataset, batch_size, shuffle=True)
    return [list(batches) for _ in range(n_passes)]


@pytest.mark.parametrize("n_samples", [1, 7, 120, 501])
@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_each_pass_has_every_sentence_once_in_batches_of_nearly_equal_size(
    rng, n_samples, batch_size
):
    lengths = rng.integers(1, 30, n_samples)
    for batches in batches_of(lengths, batch_size, n_passes=2):
        seen = [number for X, _ in batches for number in numbers(X)]
        assert sorted(seen) == list(range(1, n_samples + 1))
        sizes = [len(X) for X, _ in batches]
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        assert all(numbers(X) == y.tolist() for X, y in batches)


def test_batches_have_sentences_of_like_length(rng):
    lengths = rng.integers(1, 50, 800)
    [batches] = batches_of(lengths, 8)
    places = sum(X.numel() for X, _ in batches)
    assert places < 1.1 * lengths.sum()
    longest = [X.shape[1] for X, _ in batches]
    assert longest != sorted(longest)  # the batches are shuffled


def test_sentences_meet_others_in_each_pass(rng):
    lengths = rng.integers(1, 50, 800)
    first, second = batches_of(lengths, 8, n_passes=2)
    first, second = ({frozenset(numbers(X)) for X, _ in b} for b in (first, second))
    assert not first & second


def test_the_batches_are_a_function_of_the_generator(rng):
    lengths = rng.integers(1, 50, 100)

    def passes(seed):
        return [
            [X.tolist() for X, _ in batches]
            for batches in batches_of(lengths, 8, seed, n_passes=2)
        ]

    assert passes(0) == passes(0) != passes(1)


def test_batches_that_are_not_shuffled_are_in_order():
    dataset = TrainingSet(make(LENGTHS), torch.arange(6), None, None)
    order = [y.tolist() for _, y in Batches(dataset, 2)]
    assert order == [[0, 1], [2, 3], [4, 5]]
