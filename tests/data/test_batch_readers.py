import numpy as np
import pytest
import torch

from skcnn.data import FeatureVectors


@pytest.fixture
def vectors():
    return FeatureVectors(
        np.arange(12.0).reshape(4, 3), torch.device("cpu"), torch.float32
    )


def test_batches_are_rows(vectors):
    assert len(vectors) == 4
    batch = vectors.take(torch.tensor([2, 0]))
    assert batch.tolist() == [[6, 7, 8], [0, 1, 2]]
    assert batch.dtype == torch.float32
    assert vectors.take(slice(0, 1)).tolist() == [[0, 1, 2]]


def test_a_subset_leaves_the_rows_as_they_are(vectors):
    subset = vectors.subset(np.array([3, 1]))
    assert subset.take(slice(0, 2)).tolist() == [[9, 10, 11], [3, 4, 5]]
    assert len(subset) == 2
    assert subset.subset(np.array([2])).take(slice(0, 1)).tolist() == [[6, 7, 8]]
    assert len(vectors.subset(None)) == len(vectors) == 4
