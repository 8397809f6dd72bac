import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from skcnn.modules import ARCHITECTURES, CIFARResNet
from skcnn.modules.resnet import BasicBlock

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


@pytest.mark.parametrize(("depth", "n_parameters"), [(20, 269_722), (56, 853_018)])
def test_parameters_are_as_many_as_published(depth, n_parameters):
    net = CIFARResNet((3, 32, 32), 10, depth=depth)
    assert sum(p.numel() for p in net.parameters()) == n_parameters


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_depth_counts_the_layers_with_weights(depth):
    net = ARCHITECTURES[f"resnet{depth}"]((3, 8, 8), 10)
    assert sum(p.ndim > 1 for p in net.parameters()) == depth


@pytest.mark.parametrize("depth", [2, 21, 19])
def test_depths_that_no_network_has_are_refused(depth):
    with pytest.raises(ValueError, match="depth"):
        CIFARResNet((3, 32, 32), 10, depth=depth)


@pytest.mark.parametrize("sides", [(1, 1), (7, 5)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_it_takes_images_of_any_size(sides, n_channels):
    net = CIFARResNet((n_channels, *sides), 7).eval()
    assert net(torch.zeros(2, n_channels, *sides)).shape == (2, 7)


@pytest.mark.parametrize("sides", [(8,), (8, 8, 8)])
def test_there_are_two_axes(sides):
    with pytest.raises(ValueError, match="takes images with two spatial axes"):
        CIFARResNet((1, *sides), 10)


def test_the_shortcut_takes_every_second_pixel_and_pads_with_zero_maps():
    x = torch.randn(2, 16, 7, 8)
    out = BasicBlock(16, 32, stride=2).shortcut(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_the_shortcut_of_an_equal_block_is_its_input():
    x = torch.randn(2, 16, 7, 8)
    assert BasicBlock(16, 16).shortcut(x) is x


def test_convolutions_start_as_he_et_al_have_them():
    torch.manual_seed(0)
    weight = CIFARResNet((3, 8, 8), 10).layer3[1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert abs(weight.mean().item()) < 0.001


def load_published(data_dir, depth):
    net = CIFARResNet((3, 32, 32), 10, depth=depth)
    weights = load_file(data_dir / "weights" / f"resnet{depth}_cifar10.safetensors")
    net.load_state_dict(weights, strict=True)
    return net.eval()


@pytest.mark.parametrize("depth", [20, 56])
def test_published_weights_load(data_dir, depth):
    state = load_published(data_dir, depth).state_dict()
    weights = load_file(data_dir / "weights" / f"resnet{depth}_cifar10.safetensors")
    assert all(torch.equal(state[name], value) for name, value in weights.items())
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert set(state) == set(weights) | counters


def load_cifar10_test(data_dir):
    """Return the test images standardised, channels first, and their labels."""
    folder = data_dir / "images" / "cifar10"
    mosaic = np.asarray(Image.open(folder / "test.png"))
    tiles = mosaic.reshape(25, 32, 40, 32, 3).transpose(0, 2, 1, 3, 4)
    X = (tiles.reshape(-1, 32, 32, 3) / np.float32(255) - MEAN) / STD
    with np.load(folder / "labels.npz") as labels:
        return torch.from_numpy(X.transpose(0, 3, 1, 2)), labels["test"]


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "accuracy"), [(20, 0.915), (56, 0.926)])
def test_published_weights_are_as_good_as_published(data_dir, depth, accuracy):
    net = load_published(data_dir, depth)
    X, y = load_cifar10_test(data_dir)
    with torch.inference_mode():
        codes = torch.cat([net(batch).argmax(1) for batch in X.split(100)])
    assert np.mean(codes.numpy() == y) == pytest.approx(accuracy, abs=0.0011)
