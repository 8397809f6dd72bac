import pytest
import torch

from skcnn.runtime import DTYPES, check_device
from skcnn.runtime.devices import autocast, available_devices

CPU = torch.device("cpu")


def test_the_cpu_is_always_there():
    assert available_devices()[0] == "cpu"
    assert check_device("cpu") == CPU


def test_auto_is_a_gpu_where_there_is_one_and_the_cpu_otherwise():
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert str(check_device("auto")) == expected


@pytest.mark.parametrize("name", available_devices())
def test_what_is_there_is_taken_by_name_and_as_a_device(name):
    assert check_device(name) == check_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize(
    "device",
    ["cuda:99", "gpu", "", "meta", "cpu:x", "xpu", torch.device("meta")],
    ids=str,
)
def test_what_is_not_there_is_answered_by_what_is(device):
    with pytest.raises(ValueError, match="is not available") as error:
        check_device(device)
    assert repr(str(device)) in str(error.value)
    assert all(name in str(error.value) for name in available_devices())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")], ids=str)
def test_cuda_is_refused_on_a_machine_without(device):
    with pytest.raises(ValueError, match="Available devices: cpu"):
        check_device(device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_has_the_index_of_its_device():
    assert str(check_device("cuda")) == "cuda:0"


@pytest.mark.parametrize("precision", DTYPES)
def test_layers_compute_in_the_precision(precision):
    dtype = DTYPES[precision]
    layer = torch.nn.Linear(3, 3, dtype=dtype)
    with autocast(CPU, precision):
        out = layer(torch.ones(2, 3, dtype=dtype))
    assert out.dtype == getattr(torch, precision)
    assert layer.weight.dtype == dtype
