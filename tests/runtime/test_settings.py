from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from skcnn.runtime import SharedSetting, usual_torch
from skcnn.runtime.settings import fixed_kernels


@pytest.fixture
def cudnn():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = False, True
    yield cudnn
    cudnn.deterministic, cudnn.benchmark = before


def test_kernels_are_fixed_within_the_context_only(cudnn):
    with fixed_kernels.held():
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_kernels_are_as_before_where_a_fit_fails(cudnn):
    with pytest.raises(KeyError), fixed_kernels.held():
        raise KeyError
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_the_last_fit_of_several_threads_switches_back(cudnn):
    all_begun, one_ended = Barrier(3), Barrier(3)

    def fit(is_first):
        with fixed_kernels.held():
            all_begun.wait(30)
            if not is_first:
                one_ended.wait(30)
                return cudnn.deterministic
        one_ended.wait(30)
        return True

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(fit, [True, False, False]))
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


def test_whoever_comes_within_finds_what_is_needed():
    values = [1]
    setting = SharedSetting(lambda: values[-1], values.append, 2)
    with setting.held(), setting.held():
        assert values == [1, 2]
    assert values == [1, 2, 1]


def test_a_setting_that_suits_is_not_written():
    values = [2]
    setting = SharedSetting(lambda: values[-1], values.append, 2)
    with setting.held():
        pass
    assert values == [2]


@pytest.mark.parametrize("first", [1, 2])
def test_what_somebody_else_sets_meanwhile_stays(first):
    values = [first]
    setting = SharedSetting(lambda: values[-1], values.append, 2)
    with setting.held():
        values.append(3)
    assert values[-1] == 3
    with setting.held():
        assert values[-1] == 2
    assert values[-1] == 3


def test_who_comes_after_a_change_finds_what_is_needed():
    values = [2]
    setting = SharedSetting(lambda: values[-1], values.append, 2)
    with setting.held():
        values.append(3)
        with setting.held():
            assert values[-1] == 2
    assert values[-1] == 3


@pytest.fixture
def default_dtype():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch.float64
    torch.set_default_dtype(before)


def test_torch_is_as_usual_within_the_context_only(default_dtype):
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.device("meta"),
        torch.inference_mode(),
    ):
        with usual_torch():
            x = torch.ones(2, 2, requires_grad=True)
            out = x @ x
        assert (out.dtype, out.device.type) == (torch.float32, "cpu")
        assert out.requires_grad
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == default_dtype
        assert torch.ones(1).device.type == "meta"
