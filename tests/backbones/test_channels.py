"""Which axes of what a layer returns are channels."""

import pytest
import torch
from torch import nn

from skcnn.backbones import cut_network, layer_names, weightless_copy

torchvision_models = pytest.importorskip("torchvision").models


def make(name):
    """Return a network of torchvision or timm with random weights."""
    library, _, name = name.rpartition("/")
    if library:
        timm = pytest.importorskip("timm")
        return timm.create_model(name, pretrained=False).eval()
    return torchvision_models.get_model(name, weights=None).eval()


def shapes_of(network, side):
    with torch.no_grad():
        outputs = weightless_copy(network)(torch.zeros(3, 3, side, side, device="meta"))
    return [tuple(output.shape) for output in outputs]


def lengths_that_stay(small, large):
    """Return the axes that another size of the images leaves as they are."""
    same = tuple(i for i in range(1, len(small)) if small[i] == large[i])
    return same if len(small) > 2 and 0 < len(same) < len(small) - 1 else None


def axes_of(channel_axes, shape):
    """Return the axes that an answer stands for."""
    usual = (1,) if len(shape) > 3 else (-1,)
    return tuple(axis % len(shape) for axis in channel_axes or usual)


def assert_told(network, input_shape, n_least):
    names = layer_names(network, (3, 64, 64))
    cut = cut_network(network, names, input_shape)
    n_told = 0
    shapes = shapes_of(cut, 64), shapes_of(cut, 96)
    for layer, axes, small, large in zip(names, cut.channel_axes, *shapes, strict=True):
        expected = lengths_that_stay(small, large)
        if expected and (input_shape or (len(small) == 4 and len(expected) == 1)):
            assert axes_of(axes, small) == expected, layer
            n_told += 1
    assert n_told > n_least


@pytest.mark.parametrize("input_shape", [None, (3, 64, 64)])
@pytest.mark.parametrize(
    "name",
    [
        "swin_t",
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
        pytest.param("swin_v2_t", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", marks=pytest.mark.slow),
    ],
)
def test_channels_are_what_no_size_changes(name, input_shape):
    assert_told(make(name), input_shape, 100)


@pytest.mark.parametrize(
    "name",
    [
        "timm/edgenext_xx_small",
        pytest.param("timm/pvt_v2_b0", marks=pytest.mark.slow),
        pytest.param("timm/twins_svt_small", marks=pytest.mark.slow),
        pytest.param("timm/davit_tiny", marks=pytest.mark.slow),
        pytest.param("timm/mvitv2_tiny", marks=pytest.mark.slow),
        pytest.param("timm/poolformer_s12", marks=pytest.mark.slow),
    ],
)
def test_tokens_that_become_maps_have_their_channels_last(name):
    assert_told(make(name), (3, 64, 64), 100)


def test_nothing_is_run_where_no_axis_moves(monkeypatch):
    def run(*args):
        raise AssertionError("the network was run")

    monkeypatch.setattr("skcnn.backbones.channels.find_shapes", run)
    network = make("resnet18")
    cut = cut_network(network, ["layer1", "avgpool", "penultimate"], (3, 64, 64))
    assert cut.channel_axes == [(1,), (1,), (1,)]
    with pytest.raises(AssertionError, match="was run"):
        cut_network(make("convnext_tiny"), ["features.1"], (3, 64, 64))


def test_what_takes_one_size_alone_is_told_as_far_as_it_runs():
    network = nn.Sequential(
        nn.Conv2d(3, 5, 1),
        nn.Flatten(2),
        nn.Linear(64, 6),
        nn.Flatten(),
        nn.Linear(30, 2),
    )
    cut = cut_network(network, ["1", "penultimate"], (3, 8, 8))
    assert cut.channel_axes[0] == (1,)
    assert [rows.shape[1:] for rows in cut(torch.zeros(1, 3, 8, 8))] == [(5, 64), (30,)]


class Wrapped(nn.Module):
    """A network that cannot be traced."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


class TokensOfMaps(nn.Module):
    """Maps whose channels are last, then first, in layers that say so."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.Dropout())
        self.series = nn.Conv1d(5, 6, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.mix(self.norm(self.conv(x).permute(0, 2, 3, 1)))
        return self.head(self.series(x.flatten(1, 2).mT).mean(2))


@pytest.mark.parametrize(
    ("network", "layer", "axes"),
    [
        (TokensOfMaps(), "conv", (1,)),
        (TokensOfMaps(), "norm", (-1,)),
        (TokensOfMaps(), "mix", (-1,)),
        (TokensOfMaps(), "mix.1", (-1,)),
        (TokensOfMaps(), "series", (1,)),
        (TokensOfMaps().mix, "penultimate", (-1,)),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 1)), "penultimate", (1,)),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 2, 1)), "0", None),
        ("swin_t", "features.0.0", (1,)),
        ("swin_t", "features.3", (-1,)),
        ("swin_t", "permute", (1,)),
        ("convnext_tiny", "features.1.0.block.3", (-1,)),
        ("convnext_tiny", "features.1.0.block", (1,)),
        ("convnext_tiny", "features.1", None),
    ],
)
def test_layers_of_networks_that_run_as_they_are_say_what_they_return(
    network, layer, axes
):
    wrapped = Wrapped(make(network) if isinstance(network, str) else network)
    name = layer if layer == "penultimate" else f"network.{layer}"
    assert cut_network(wrapped, [name]).channel_axes == [axes]


class Auxiliary(nn.Module):
    """Defines a layer after its last one that it runs in training alone."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3)
        self.head = nn.Conv2d(8, 2, 1)
        self.auxiliary = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.body(x).relu()).mean((2, 3))


def test_the_last_layer_is_the_one_that_runs_last():
    network = cut_network(Auxiliary().eval(), ["penultimate"])
    (maps,) = network(torch.zeros(1, 3, 6, 6))
    assert maps.shape == (1, 8, 4, 4)
    assert network.channel_axes == [(1,)]


@pytest.mark.slow
def test_a_norm_of_channels_has_them_last_where_nothing_can_be_run():
    network = make("maxvit_t")
    name = next(n for n in layer_names(network) if n.endswith("attn_layer.0"))
    assert cut_network(network, [name]).channel_axes == [(-1,)]
