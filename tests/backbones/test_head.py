"""The last layer of networks of timm, of torchvision and of others."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.backbones import FineTunedNetwork, cut_network
from skcnn.backbones.head import find_head
from skcnn.modules import CIFARResNet

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision").models

SLOW = pytest.mark.slow


def penultimate(network, x):
    with torch.inference_mode():
        return cut_network(network, ["penultimate"])(x)[0]


def hooked(network):
    """Return a network that is not traced."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.LayerNorm)):
            part.register_forward_pre_hook(lambda *_: None)
            break
    return network


@pytest.mark.parametrize("prepare", [lambda net: net, hooked], ids=["traced", "hooked"])
@pytest.mark.parametrize(
    "name",
    [
        "resnet10t",
        "mobilenetv3_small_050",  # a convolution and an activation before the head
        "deit_tiny_distilled_patch16_224",  # two heads, each for a token
        pytest.param("tf_efficientnet_lite0", marks=SLOW),
        pytest.param("levit_128s", marks=SLOW),  # batch normalisation in the head
        pytest.param("crossvit_tiny_240", marks=SLOW),  # two heads of two widths
        pytest.param("volo_d1_224", marks=SLOW),  # a head for each token, too
        pytest.param("dpn48b", marks=SLOW),  # the head is a convolution
        pytest.param("poolformer_s12", marks=SLOW),
        pytest.param("swin_tiny_patch4_window7_224", marks=SLOW),
        pytest.param("hiera_tiny_224", marks=SLOW),
        pytest.param("mobilenetv4_conv_small", marks=SLOW),
        pytest.param("ghostnet_050", marks=SLOW),
        pytest.param("fbnetv3_b", marks=SLOW),
    ],
)
def test_penultimate_is_what_timm_computes_before_the_logits(name, prepare):
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval()
    size = network.default_cfg["input_size"]
    x = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
    found = penultimate(prepare(network), x).reshape(expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("test_resnet", 96),
        pytest.param("vit_small_patch14_dinov2", 384, marks=SLOW),
        pytest.param("eva02_tiny_patch14_224", 192, marks=SLOW),
    ],
)
def test_networks_of_timm_without_classes_give_their_output(name, width):
    network = timm.create_model(name, pretrained=False, num_classes=0).eval()
    x = torch.randn(1, *network.default_cfg["input_size"])
    found = penultimate(network, x)
    assert found.shape == (1, width)
    torch.testing.assert_close(found, network(x))


HEADS = {
    "resnet18": "fc",
    "alexnet": "classifier.6",
    "squeezenet1_1": "classifier.1",
    "vit_b_32": "heads.head",
    "swin_t": "head",
}


@pytest.mark.parametrize("name", HEADS)
def test_networks_of_torchvision_have_it_as_an_attribute(name):
    with torch.device("meta"):
        network = models.get_model(name, weights=None)
    assert find_head(network) == [HEADS[name]]
    attribute = HEADS[name].partition(".")[0]
    setattr(network, attribute, nn.Identity())
    assert find_head(network) == []


def test_of_other_networks_only_a_run_tells():
    assert find_head(CIFARResNet((3, 16, 16), 3)) is None
    assert find_head(nn.Sequential(nn.Linear(2, 2))) is None


class OwnResNet(models.ResNet):
    """A network of torchvision that one gave another end."""

    def forward(self, x):
        return self.layer1(self.conv1(x)).mean((2, 3))


def test_a_head_that_does_not_run_is_none():
    network = OwnResNet(models.resnet.BasicBlock, [1, 1, 1, 1]).eval()
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(penultimate(network, x), network(x))
    tuned = FineTunedNetwork(network, (3, 16, 16), 2)
    torch.testing.assert_close(tuned.features(x), network(x))


class CosineHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3, 5))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return F.linear(F.normalize(x), self.weight)


class PackedHead(nn.Module):
    """A fully connected layer without parameters, as quantised ones are."""

    in_features = 5

    def forward(self, x):
        return x[:, :2]


class Pooled(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


@pytest.mark.parametrize("head", [CosineHead, PackedHead])
def test_the_last_layer_counts_of_whatever_class_it_is(head):
    network = nn.Sequential(nn.Conv2d(3, 5, 1), Pooled(), head()).eval()
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(penultimate(network, x), network[:2](x))
    tuned = FineTunedNetwork(network, (3, 8, 8), 2)
    torch.testing.assert_close(tuned.features(x), network[:2](x))


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
    network, x = Auxiliary().eval(), torch.randn(1, 3, 6, 6)
    torch.testing.assert_close(penultimate(network, x), network.body(x).relu())


class Wrapped(nn.Module):
    """Runs as it is, and defines a layer that it runs no more."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.network(x)


@pytest.mark.parametrize("wrap", [nn.Sequential, Wrapped], ids=["traced", "as it is"])
@pytest.mark.parametrize("end", [[], [nn.Identity()], [nn.Dropout(), nn.Identity()]])
def test_without_a_last_layer_the_output_is_what_it_would_receive(wrap, end):
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten())
    network = wrap(nn.Sequential(*body, *end)).eval()
    if not end:
        network.num_classes = 0  # as networks of timm have it
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(penultimate(network, x), network(x))


@pytest.mark.parametrize("wrap", [nn.Sequential, Wrapped], ids=["traced", "as it is"])
def test_an_identity_behind_the_last_layer_is_none(wrap):
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(7), nn.Flatten())
    network = wrap(nn.Sequential(*body, nn.Linear(4, 2), nn.Dropout(), nn.Identity()))
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(penultimate(network.eval(), x), body(x))


class Renormed(nn.Module):
    """A network that changes what its head received, called by keyword."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        pooled = x.mean((2, 3))
        scores = self.head(input=pooled)
        pooled /= pooled.norm(dim=1, keepdim=True)
        return scores


def test_what_the_head_received_is_not_what_became_of_it():
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(penultimate(Renormed(), x), x.mean((2, 3)))


@pytest.mark.parametrize("wrap", [nn.Sequential, Wrapped], ids=["traced", "as it is"])
def test_a_network_without_weights_has_none(wrap):
    network = wrap(nn.Flatten())
    network.unused = nn.Identity()
    with pytest.raises(ValueError, match="no convolution or fully connected layer"):
        cut_network(network, ["penultimate"])
