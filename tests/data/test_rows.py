"""Rows of features in the place of images."""

import numpy as np
import pytest
import torch

from skcnn.data import Rows


@pytest.fixture
def rows():
    return Rows(np.arange(12.0).reshape(4, 3), torch.device("cpu"), torch.float32)


def test_batches_are_rows(rows):
    assert len(rows) == 4
    batch = rows.take(torch.tensor([2, 0]))
    assert batch.tolist() == [[6, 7, 8], [0, 1, 2]]
    assert batch.dtype == torch.float32
    assert rows.take(slice(0, 1)).tolist() == [[0, 1, 2]]


def test_a_subset_leaves_the_rows_as_they_are(rows):
    subset = rows.subset(np.array([3, 1]))
    assert subset.take(slice(0, 2)).tolist() == [[9, 10, 11], [3, 4, 5]]
    assert len(subset) == 2
    assert subset.subset(np.array([2])).take(slice(0, 1)).tolist() == [[6, 7, 8]]
    assert len(rows.subset(None)) == len(rows) == 4
