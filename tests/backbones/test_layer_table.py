"""Shapes, parameters and receptive fields of layers."""

import pytest
import torch
from torch import nn

from skcnn.backbones import layer_names, layer_table
from skcnn.modules import CIFARResNet, ConvNet

models = pytest.importorskip("torchvision").models
timm = pytest.importorskip("timm")


def rows(network, input_shape=(3, 224, 224)):
    return {row.name: row for row in layer_table(network, input_shape)}


def test_a_row_for_each_layer():
    network = models.resnet18(weights=None)
    table = layer_table(network, (3, 64, 64))
    assert [row.name for row in table] == layer_names(network, (3, 64, 64))
    found = rows(network, (3, 64, 64))
    assert found["layer1"].output_shape == (64, 16, 16)
    assert found["fc"].output_shape == (1000,)
    assert found["fc"].n_parameters == 513_000
    assert found["layer4.1.add"].n_parameters == 0
    blocks = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    n_parameters = sum(found[name].n_parameters for name in blocks)
    assert n_parameters == sum(p.numel() for p in network.parameters())


# AlexNet, VGG and Inception as in Araujo, Norris & Sim (2019), "Computing receptive
# fields of convolutional neural networks"; the others by hand.
FIELDS = [
    ("alexnet", "features.12", 195),
    ("vgg16", "features.30", 212),
    ("resnet18", "layer4", 435),
    ("resnet50", "layer4", 427),
    ("mobilenet_v2", "features.18", 491),
    ("inception_v3", "Mixed_7c", 1311),
]


@pytest.mark.parametrize(("name", "layer", "expected"), FIELDS)
def test_receptive_fields_are_the_published_ones(name, layer, expected):
    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        network = models.get_model(name, weights=None, **options)
    assert rows(network)[layer].receptive_field == (expected,) * 2


@pytest.mark.parametrize("n_axes", [1, 3])
def test_signals_and_volumes_have_them_along_each_axis(n_axes):
    shape = (1,) + (16,) * n_axes
    found = rows(ConvNet(shape, 3, kernel_size=3, n_layers=2), shape)
    assert found["block1.conv"].receptive_field == (3,) * n_axes
    assert found["block2"].receptive_field == (10,) * n_axes  # 3, pooled 4, 4 + 2 * 2


def test_strides_by_slicing_and_maps_become_rows():
    found = rows(CIFARResNet((3, 32, 32), 10), (3, 32, 32))
    assert found["layer2"].receptive_field == (37, 37)
    assert found["mean"].receptive_field is None
    assert found["linear"].receptive_field is None


class Gated(nn.Module):
    """A network that cannot be traced, with a gate and a fully connected layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, (3, 5), dilation=(2, 1))
        self.gate = nn.Conv2d(8, 8, 1)
        self.mix = nn.Linear(8, 8)
        self.tokens = nn.Linear(24, 24)
        self.head = nn.Linear(24, 2)

    def forward(self, x):
        x = self.conv(x)
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        x = self.mix(x.permute(0, 2, 3, 1))
        return self.head(self.tokens(x.flatten(1, 2).mT).mean(1))


def test_networks_that_run_as_they_are_have_them_too():
    found = rows(Gated(), (3, 8, 10))
    assert found["conv"].output_shape == (8, 4, 6)
    assert found["conv"].receptive_field == (5, 5)
    assert found["gate"].receptive_field is None  # it sees the whole image
    assert found["mix"].receptive_field == (5, 5)
    assert found["tokens"].receptive_field is None  # it mixes positions


def test_attention_sees_what_cannot_be_told():
    network = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2
    )
    found = rows(network, (3, 32, 32))
    assert found["patch_embed.proj"].receptive_field == (8, 8)
    assert found["blocks.0.norm1"].receptive_field == (8, 8)
    assert found["blocks.0"].output_shape == (17, 16)
    assert found["blocks.0"].receptive_field is None


class Numbers(nn.Module):
    """A network that reads its values, so that shapes alone do not do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) if x.sum() == 0 else x


def test_what_needs_numbers_has_shapes_alone():
    (row,) = layer_table(Numbers(), (3, 8, 8))
    assert row == ("conv", (4, 6, 6), 112, None)
