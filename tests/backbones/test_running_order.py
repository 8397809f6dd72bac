"""The order in which the parts of a network run, and its blocks."""

import pytest
from torch import nn

from skcnn.backbones.running_order import RunningOrder, close_names, find_blocks
from skcnn.modules import ConvNet, build_module

models = pytest.importorskip("torchvision").models
timm = pytest.importorskip("timm")

SHAPE = (3, 64, 64)


class Backwards(nn.Module):
    """Runs its layers in another order than it defines them."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 5)
        self.middle = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        out = self.middle(self.first(x))
        return self.last(out.mean((2, 3)))


def make(name):
    if name == "backwards":
        return Backwards().eval()
    if name == "convnet":
        return ConvNet(SHAPE, 3).eval()
    if name == "resnet20":
        return build_module(name, SHAPE, 10).eval()
    library, _, name = name.rpartition("/")
    if library:
        return timm.create_model(name, pretrained=False).eval()
    return models.get_model(name, weights=None).eval()


BLOCKS = {
    "resnet18": ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"],
    "squeezenet1_1": [f"features.{i}" for i in (0, 3, 4, 6, 7, 9, 10, 11, 12)]
    + ["classifier"],
    "alexnet": [*(f"features.{i}" for i in (0, 3, 6, 8, 10)), "classifier"],
    "regnet_x_400mf": ["stem", *(f"trunk_output.block{i}" for i in (1, 2, 3, 4)), "fc"],
    "timm/mobilenetv3_small_050": ["conv_stem", "bn1"]
    + [f"blocks.{i}" for i in range(6)]
    + ["conv_head", "classifier"],
    "resnet20": ["conv1", "bn1", "layer1", "layer2", "layer3", "linear"],
    "convnet": ["block1", "block2", "block3", "output"],
    "backwards": ["first", "middle.0", "middle.1", "last"],
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_what_one_would_name(name):
    network = make(name)
    positions = RunningOrder(network, SHAPE).positions
    assert find_blocks(network, positions) == BLOCKS[name]


def test_the_layers_of_a_transformer_are_blocks():
    network = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=12, num_heads=2
    )
    blocks = find_blocks(network, RunningOrder(network.eval(), (3, 32, 32)).positions)
    assert blocks[1:-2] == [f"blocks.{i}" for i in range(12)]


def test_order_is_that_of_running():
    order = RunningOrder(Backwards().eval(), SHAPE)
    assert order.names == [
        "",
        *("first", "first.0", "first.1", "middle", "middle.0", "middle.1", "last"),
    ]
    assert order.head == ["last"]
    assert order.position("unused") == 0


@pytest.mark.parametrize(
    ("trainable", "words"),
    [
        ("layr3", "'layer3'"),
        ("", "Similar names"),
        (6, "5 blocks: conv1, bn1, layer1, layer2, layer3"),
    ],
)
def test_what_is_not_there_cannot_be_trained(trainable, words):
    order = RunningOrder(make("resnet20"), SHAPE)
    with pytest.raises(ValueError, match=f"trainable={trainable!r}.*{words}"):
        order.find_start(trainable, ["conv1", "bn1", "layer1", "layer2", "layer3"])


def test_close_names_come_in_the_order_of_the_names():
    names = ["layer1", "layer2", "layer3", "layer4", "layer1.0", "conv1"]
    close = close_names("layer9", names)
    assert close == "'layer1', 'layer2', 'layer3', 'layer4', 'layer1.0'"
    assert close_names("xyz", names[:2]) == "'layer1', 'layer2'"
