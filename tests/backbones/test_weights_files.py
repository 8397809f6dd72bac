import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skcnn.backbones import WeightsError, is_weights_file, read_state_dict


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


@pytest.mark.parametrize("weights", ["weights.bin", "a/weights", "here.txt"])
def test_paths_are_told_from_names_of_sets(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").touch()
    assert is_weights_file(weights)
    assert is_weights_file(tmp_path / "IMAGENET1K_V1")
    assert not is_weights_file("IMAGENET1K_V1")
