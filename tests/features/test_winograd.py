"""Convolutions of 3 × 3 pixels in tiles."""

import copy

import pytest
import torch
from torch import nn

from skcnn.features import FeatureExtractor
from skcnn.features.winograd import N_TILES, TILE, WinogradConv2d, use_winograd
from skcnn.modules import ConvNet

CHANNELS = 128, 144
SIDES = [(28, 28), (13, 30), (7, 53), (15, 16)]
PADDINGS = [1, 0, 2, (0, 3)]


@pytest.fixture
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make_conv(n_in=CHANNELS[0], n_out=CHANNELS[1], **parameters):
    settings = {"kernel_size": 3, "padding": 1, **parameters}
    return nn.Conv2d(n_in, n_out, **settings).requires_grad_(False)


def relative_error(output, conv, x):
    exact = copy.deepcopy(conv).double()(x.double())
    assert output.shape == exact.shape
    return float((output - exact).norm() / exact.norm())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("sides", SIDES)
def test_tiles_hold_the_convolution(seeded, sides, padding, bias):
    conv = make_conv(padding=padding, bias=bias)
    x = torch.randn(3, CHANNELS[0], *sides).relu()
    assert relative_error(WinogradConv2d(conv)(x), conv, x) < 5e-6


@pytest.mark.parametrize("sides", [(28, 28), (28, 20)])
def test_tiles_are_used(seeded, sides, monkeypatch):
    conv = make_conv()
    tiled = WinogradConv2d(conv)
    x = torch.randn(2, CHANNELS[0], *sides)
    expected = tiled(x)
    monkeypatch.setattr(conv, "forward", None)
    torch.testing.assert_close(tiled(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("sides", [(6, 28), (28, 6), (9, 9), (3, 3), (1, 1)])
def test_small_maps_are_computed_as_ever(seeded, sides):
    conv = make_conv()
    x = torch.randn(2, CHANNELS[0], *sides)
    assert torch.equal(WinogradConv2d(conv)(x), conv(x))


def test_a_pixel_reaches_its_neighbours_alone(seeded):
    conv = make_conv(bias=False)
    x = torch.zeros(1, CHANNELS[0], 16, 16)
    x[:, :, 4, 7] = torch.randn(CHANNELS[0])
    reached = (WinogradConv2d(conv)(x).abs() > 1e-4).any(dim=1)[0]
    rows, columns = reached.nonzero().T
    assert (rows.min(), rows.max()) == (3, 5)
    assert (columns.min(), columns.max()) == (6, 8)


def test_images_in_several_groups_of_tiles(seeded):
    conv = make_conv()
    side = 8 * TILE
    n_samples = 2 * N_TILES // 8**2 + 1
    x = torch.randn(n_samples, CHANNELS[0], side, side)
    tiled = WinogradConv2d(conv)
    whole = tiled(x)
    for i in (0, n_samples // 2, n_samples - 1):
        torch.testing.assert_close(whole[i], tiled(x[[i]])[0], rtol=0, atol=1e-5)


def test_the_order_in_memory_does_not_matter(seeded):
    tiled = WinogradConv2d(make_conv())
    x = torch.randn(2, CHANNELS[0], 14, 30)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(tiled(x), tiled(last))
    output = tiled(last)
    assert output.is_contiguous(memory_format=torch.channels_last)


def test_numbers_of_any_scale(seeded):
    conv = make_conv()
    conv.weight *= 1e6
    x = torch.randn(2, CHANNELS[0], 16, 16) * 1e-12
    assert relative_error(WinogradConv2d(conv)(x), conv, x) < 5e-6


class OwnConv2d(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) + 1


@pytest.mark.parametrize(
    "module",
    [
        make_conv(64, 64),
        make_conv(128, 32),
        make_conv(stride=2),
        make_conv(dilation=2),
        make_conv(groups=4),
        make_conv(kernel_size=1),
        make_conv(kernel_size=(3, 1)),
        make_conv(padding="same"),
        make_conv(padding_mode="reflect"),
        nn.Conv1d(128, 128, 3),
        nn.Conv3d(128, 128, 3),
        nn.ConvTranspose2d(128, 128, 3),
        OwnConv2d(128, 128, 3),
    ],
    ids=lambda module: str(module),
)
def test_other_convolutions_are_left(module):
    network = use_winograd(nn.Sequential(module))
    assert network[0] is module


def test_convolutions_of_a_network(seeded):
    network = nn.Sequential(
        make_conv(3, 128), nn.ReLU(), nn.Sequential(make_conv(128, 128), nn.ReLU())
    )
    x = torch.randn(2, 3, 28, 28)
    expected = network(x)
    names = list(network.state_dict())
    network = use_winograd(network)
    assert isinstance(network[2][0], WinogradConv2d)
    assert type(network[0]) is nn.Conv2d
    assert len(names) == len(network.state_dict())  # what is derived is not saved
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5)


def make_extractor(module, **parameters):
    settings = {"pooling": None, "precision": "float32", **parameters}
    device = torch.device("cpu")
    return FeatureExtractor(
        module, ["penultimate"], n_axes=2, device=device, **settings
    )


def n_tiled(module):
    return sum(isinstance(part, WinogradConv2d) for part in module.modules())


@pytest.fixture
def convnet(seeded):
    return ConvNet((3, 32, 32), 4, n_layers=3, n_filters=128, filter_growth=1).eval()


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 2),
        ({"precision": "float64"}, 0),
        ({"precision": "bfloat16"}, 0),
        ({"compile": True}, 0),
    ],
)
def test_which_extractors_use_tiles(convnet, parameters, expected):
    assert n_tiled(make_extractor(convnet, **parameters).network) == expected
    assert n_tiled(convnet) == 0


def test_features_are_those_of_the_network(convnet):
    x = torch.randn(8, 3, 32, 32)
    features = make_extractor(convnet)(x, 8)[0]
    exact = make_extractor(convnet, precision="float64")(x.double(), 8)[0]
    assert float((features - exact).norm() / exact.norm()) < 5e-6


def test_features_do_not_depend_on_neighbours(convnet):
    extractor = make_extractor(convnet)
    x = torch.randn(8, 3, 32, 32)
    features = extractor(x, 8)[0]
    assert torch.equal(extractor(x.flip(0), 8)[0].flip(0), features)
    others = torch.cat([x[:1], 100 * torch.randn(7, 3, 32, 32)])
    assert torch.equal(extractor(others, 8)[0][0], features[0])
    scale = float(features.abs().max())
    for size in (1, 3, 8):
        found = extractor(x[:3], size)[0]
        assert float((found - features[:3]).abs().max()) <= 1e-5 * scale
