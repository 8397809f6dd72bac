from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from skcnn.training.kernels import FixedKernels


@pytest.fixture
def cudnn():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = False, True
    yield cudnn
    cudnn.deterministic, cudnn.benchmark = before


def test_kernels_are_fixed_within_the_context_only(cudnn):
    kernels = FixedKernels()
    with kernels.fitting():
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_kernels_are_as_before_where_a_fit_fails(cudnn):
    with pytest.raises(KeyError), FixedKernels().fitting():
        raise KeyError
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_the_last_fit_of_several_threads_switches_back(cudnn):
    kernels, all_begun, one_ended = FixedKernels(), Barrier(3), Barrier(3)

    def fit(is_first):
        with kernels.fitting():
            all_begun.wait(30)
            if not is_first:
                one_ended.wait(30)
                return cudnn.deterministic
        one_ended.wait(30)
        return True

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(fit, [True, False, False]))
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)
