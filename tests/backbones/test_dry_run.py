"""Shapes without numbers, and which axes of what a layer returns are channels."""

import pytest
import torch
from torch import nn

from skcnn.backbones import cut_network, dry_run, layer_names, weightless_copy
from skcnn.backbones.dry_run import find_shapes
from skcnn.backbones.tracing import trace

torchvision_models = pytest.importorskip("torchvision").models
timm = pytest.importorskip("timm")


def make(name):
    """Return a network of torchvision or timm with random weights."""
    library, _, name = name.rpartition("/")
    if library:
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


@pytest.mark.parametrize(
    "name",
    [
        "swin_t",
        "timm/edgenext_xx_small",
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
        pytest.param("swin_v2_t", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", marks=pytest.mark.slow),
        pytest.param("timm/pvt_v2_b0", marks=pytest.mark.slow),
        pytest.param("timm/twins_svt_small", marks=pytest.mark.slow),
        pytest.param("timm/davit_tiny", marks=pytest.mark.slow),
        pytest.param("timm/mvitv2_tiny", marks=pytest.mark.slow),
        pytest.param("timm/poolformer_s12", marks=pytest.mark.slow),
    ],
)
def test_channels_are_what_no_size_changes(name):
    network, n_told = make(name), 0
    names = layer_names(network, (3, 64, 64))
    cut = cut_network(network, names, (3, 64, 64))
    shapes = shapes_of(cut, 64), shapes_of(cut, 96)
    for layer, axes, small, large in zip(names, cut.channel_axes, *shapes, strict=True):
        expected = lengths_that_stay(small, large)
        if expected:
            assert axes_of(axes, small) == expected, layer
            n_told += 1
    assert n_told > 100


@pytest.mark.parametrize(
    ("layer", "input_shape", "n_runs"),
    [("layer1", None, 0), ("penultimate", (3, 32, 32), 1), ("layer1", (3, 32, 32), 2)],
)
def test_a_network_runs_as_often_as_it_has_to(layer, input_shape, n_runs, monkeypatch):
    runs = []

    def count(network, batch, note, run=dry_run.run_dry):
        runs.append(batch)
        return run(network, batch, note)

    monkeypatch.setattr(dry_run, "run_dry", count)
    cut_network(make("resnet18"), [layer], input_shape)
    assert len(runs) == n_runs


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


def test_timm_says_where_channels_are_in_networks_of_one_size():
    arguments = {"img_size": 32, "patch_size": 4, "window_size": 4, "embed_dim": 8}
    network = timm.models.SwinTransformer(**arguments, depths=(1, 1), num_heads=(2, 2))
    cut = cut_network(network.eval(), ["patch_embed.proj", "layers.1"], (3, 32, 32))
    assert cut.channel_axes == [(1,), (-1,)]
    assert cut(torch.zeros(1, 3, 32, 32))[1].shape == (1, 4, 4, 16)


class TokensOfMaps(nn.Module):
    """Maps whose channels are last, then first; the network cannot be traced."""

    def __init__(self, reads_values=False):
        super().__init__()
        self.reads_values = reads_values
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.Dropout())
        self.series = nn.Conv1d(5, 6, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.mix(self.norm(self.conv(x).permute(0, 2, 3, 1)))
        if self.reads_values and x.sum() > 0:
            x = -x
        return self.head(self.series(x.flatten(1, 2).mT).mean(2))


AXES = {
    "conv": (1,),
    "norm": (-1,),
    "mix": (3,),
    "series": (1,),
    "head": (-1,),
    "penultimate": None,
}


def test_channels_of_networks_that_run_as_they_are():
    network = TokensOfMaps().eval()
    cut = cut_network(network, list(AXES), (3, 16, 16))
    assert dict(zip(AXES, cut.channel_axes, strict=True)) == AXES


def test_the_kind_of_a_layer_tells_where_nothing_can_be_run():
    network = TokensOfMaps(reads_values=True).eval()
    cut = cut_network(network, ["conv", "norm", "mix.0", "series"])
    assert cut.channel_axes == [(1,), (-1,), (-1,), (1,)]


def test_what_needs_numbers_is_run_on_zeros():
    network = TokensOfMaps(reads_values=True).eval()
    shapes = find_shapes(network, (3, 16, 16))
    assert shapes["norm"] == (3, 4, 4, 8)
    assert shapes["head"] == (3, 2)
    assert not network.head._forward_hooks


def test_a_traced_network_has_shapes_as_far_as_it_runs():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5, 2)).eval()
    shapes = find_shapes(trace(network), (3, 4, 4))
    assert shapes == {"input": (3, 3, 4, 4), "0": (3, 5, 2, 2), "1": (3, 20)}
    assert list(find_shapes(trace(network), (3, 3, 3)).values())[-1] == (3, 2)


@pytest.mark.slow
def test_a_norm_of_channels_has_them_last_in_networks_of_one_size():
    network = make("maxvit_t")
    name = next(n for n in layer_names(network) if n.endswith("attn_layer.0"))
    assert cut_network(network, [name], (3, 224, 224)).channel_axes == [(-1,)]
