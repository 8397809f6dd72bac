from contextlib import suppress

import pytest
import torch

from skcnn.runtime import limit_threads


@pytest.mark.parametrize("limit", [1, 2, 3, 8])
@pytest.mark.parametrize("before", [1, 3])
def test_threads_are_limited_within_the_context(set_threads, before, limit):
    set_threads(before)
    with suppress(ValueError), limit_threads(limit):
        assert torch.get_num_threads() == min(before, limit)
        raise ValueError
    assert torch.get_num_threads() == before
