import pickle
import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skcnn.backbones import (
    WeightsError,
    load_backbone,
    load_weights,
    read_state_dict,
    weights_digest,
)


def small_net(n_outputs=2):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, n_outputs))


def assert_same(state_dict, other):
    assert list(state_dict) == list(other)
    assert all(torch.equal(state_dict[name], other[name]) for name in other)


class Bomb:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    expected = small_net().state_dict()
    save_file(expected, path)
    found = read_state_dict(str(path))
    assert_same({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".bin"])
def test_what_torch_saves_is_read(tmp_path, suffix, zipped):
    expected = small_net().state_dict()
    path = tmp_path / f"weights{suffix}"
    torch.save(expected, path, _use_new_zipfile_serialization=zipped)
    assert_same(read_state_dict(path), expected)


@pytest.mark.parametrize("nest", ["state_dict", "model"])
def test_checkpoints_and_parallel_networks_are_unwrapped(path, nest):
    net = small_net()
    parallel = nn.DataParallel(net)
    torch.save({nest: parallel.state_dict(), "epoch": 7, "best": 0.9}, path)
    assert_same(read_state_dict(path), net.state_dict())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_prefix_of_a_parallel_network_is_taken_off_a_plain_dict(tmp_path, suffix):
    expected = small_net().state_dict()
    prefixed = {f"module.{name}": value for name, value in expected.items()}
    save, path = (torch.save, save_file)[suffix != ".pt"], tmp_path / f"w{suffix}"
    save(prefixed, path)
    found = read_state_dict(path)
    assert_same({name: found[name] for name in expected}, expected)


def test_the_version_of_each_layer_is_kept(path):
    expected = small_net().state_dict()
    torch.save(expected, path)
    assert read_state_dict(path)._metadata == expected._metadata


def test_a_pickle_that_would_run_code_is_refused_and_not_run(path, tmp_path):
    target = tmp_path / "created"
    for content in (
        Bomb(target),
        {"weight": Bomb(target)},
        {"state_dict": Bomb(target)},
    ):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="without running code"):
            read_state_dict(path)
    path.write_bytes(pickle.dumps({"weight": Bomb(target)}))
    with pytest.raises(WeightsError, match="without running code"):
        read_state_dict(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())["weight"].close()  # it does what is said of it
    assert target.exists()


def test_a_whole_network_is_refused(path):
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"torch.save\(module.state_dict\(\)"):
        read_state_dict(path)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused(path):
    traced = torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2))
    torch.jit.save(traced, path)
    with pytest.raises(WeightsError, match="TorchScript archive, which holds code"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [b"", b"not weights", b"\x80\x02}q\x00.", b"PK\3\4"]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_files_are_an_error_that_names_them(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"weights{suffix}"):
        read_state_dict(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_an_error(path, zipped):
    torch.save(small_net().state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        read_state_dict(path)


def test_a_truncated_safetensors_file_is_an_error(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(small_net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list"),
        ({}, "holds dict"),
        (torch.ones(2), "holds Tensor"),
        ({"weight": torch.ones(2), "epoch": 3}, "holds int as 'epoch'"),
    ],
)
def test_anything_but_tensors_is_an_error(path, content, message):
    torch.save(content, path)
    with pytest.raises(WeightsError, match=message):
        read_state_dict(path)


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="no weights file at"):
        read_state_dict(tmp_path / "missing.pth")


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
    with pytest.raises(WeightsError, match=r"1\.running_var has values.*not finite"):
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
