import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from torch import nn

from skcnn.backbones import WeightsError, load_backbone, load_weights, weights_digest


def small_net(n_outputs=2):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, n_outputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_are_cast_to_the_precision_of_the_network(dtype):
    given = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in small_net().state_dict().items()
    }
    net = small_net()
    load_weights(net, given, "a file")
    for name, tensor in net.state_dict().items():
        assert tensor.dtype in (torch.float32, torch.int64)
        assert torch.equal(tensor, given[name].to(tensor.dtype))


def test_the_counters_of_batch_normalisation_may_be_left_out():
    for version in (None, small_net().state_dict()._metadata):
        given = OrderedDict(small_net().state_dict())
        del given["1.num_batches_tracked"]
        given._metadata = version
        net = small_net()
        load_weights(net, given, "a file")
        assert torch.equal(net[0].weight, given["0.weight"])


def test_missing_names_are_an_error_that_names_the_first():
    given = small_net().state_dict()
    for name in [name for name in given if name.startswith("1.")]:
        del given[name]
    message = (
        r"a\.pth does not fit.*Missing: 1.weight; 1.bias; 1.running_mean and 1 more"
    )
    with pytest.raises(WeightsError, match=message):
        load_weights(small_net(), given, "a.pth")


def test_unexpected_names_are_an_error_that_names_them():
    given = small_net().state_dict() | {"head.weight": torch.ones(2)}
    with pytest.raises(WeightsError, match=r"Unexpected: head\.weight"):
        load_weights(small_net(), given, "a.pth")


def test_shapes_that_differ_are_an_error_that_names_both():
    message = r"2\.weight is \(3, 4\), expected \(2, 4\); 2\.bias is \(3,\), expected"
    with pytest.raises(WeightsError, match=message):
        load_weights(small_net(), small_net(3).state_dict(), "a.pth")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_that_are_not_finite_are_an_error_that_names_the_tensor(value, dtype):
    given = small_net().state_dict()
    given["1.running_var"] = torch.tensor([1, 1, value, 1], dtype=dtype)
    with pytest.raises(WeightsError, match=r"1\.running_var contains NaN, infinity"):
        load_weights(small_net(), given, "a.pth")


def test_a_network_with_the_same_weights_has_the_same_digest():
    net, twin = small_net(), small_net()
    assert weights_digest(net) != weights_digest(twin)
    twin.load_state_dict(net.state_dict())
    assert weights_digest(net) == weights_digest(twin)


def change_weight(net):
    net[0].weight.data[0, 0, 0, 0] += 1e-6


def change_buffer(net):
    net[1].running_var[0] += 1e-6


def change_dtype(net):
    net.double()


def change_layer(net):
    net[1] = nn.GroupNorm(1, 4)


def change_activation(net):
    net.append(nn.ReLU())


@pytest.mark.parametrize(
    "change",
    [change_weight, change_buffer, change_dtype, change_layer, change_activation],
)
def test_any_change_changes_the_digest(change):
    net = small_net()
    before = weights_digest(net)
    change(net)
    assert weights_digest(net) != before


@pytest.mark.slow
def test_the_digest_is_the_same_in_another_process():
    code = (
        "import torch; from skcnn.backbones import load_backbone; torch.manual_seed(3);"
        "print(load_backbone('resnet20', None).digest)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    torch.manual_seed(3)
    assert run.stdout.strip() == load_backbone("resnet20", None).digest
