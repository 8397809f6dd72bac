"""Layers by name, and networks that end at them."""

import copy
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune, spectral_norm

from skcnn.backbones import canonical_layer, cut_network, layer_names
from skcnn.modules import CIFARResNet, ConvNet, LeNet5

torchvision_models = pytest.importorskip("torchvision").models
# One of each kind of head and block that is not very large.
NETWORKS = ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"]
SLOW_NETWORKS = ["alexnet", "densenet121", "efficientnet_b0", "regnet_y_400mf"]


def with_statistics(network):
    """Give batch normalisation statistics that matter."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.2, 0.2, generator=generator)
    return network.eval()


class Branching(nn.Module):
    """A network that looks at its values, so that it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = F.relu_(self.norm(self.conv(x)))
        if x.mean() > 0:
            x = 2 * x
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    "name",
    [*NETWORKS, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW_NETWORKS)],
)
def test_a_cut_network_returns_what_the_network_computes(name):
    network = with_statistics(torchvision_models.get_model(name, weights=None))
    seen = []
    heads = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    hook = heads[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs = network(x)
        hook.remove()  # with which it would run as it is
        before_head, last = cut_network(
            network, ["penultimate", layer_names(network)[-1]]
        )(x)
    scale = seen[0].abs().max()
    torch.testing.assert_close(before_head, seen[0], rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(last, outputs, rtol=1e-4, atol=1e-5)


def test_a_transformer_is_cut_before_its_head():
    network = torchvision_models.VisionTransformer(
        image_size=16, patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8
    )
    network.eval().heads.head.weight.data.normal_()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tokens, before = cut_network(network, ["encoder", "penultimate"])(x)
        assert tokens.shape == (2, 5, 8)
        torch.testing.assert_close(before, tokens[:, 0])
        torch.testing.assert_close(network.heads(before), network(x))


@pytest.mark.parametrize("is_traced", [True, False])
def test_every_layer_of_a_residual_network_is_what_the_network_computes(is_traced):
    network = with_statistics(torchvision_models.resnet18(weights=None))
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, hooks = {}, []
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):

            def keep(part, args, output, name=name):
                expected[name] = output.clone()

            hooks.append(module.register_forward_hook(keep))
    with torch.inference_mode():
        network(x)
        for hook in hooks if is_traced else ():
            hook.remove()
        for layers in (list(expected), list(expected)[7:8]):
            outputs = cut_network(network, layers)(x)
            for name, output in zip(layers, outputs, strict=True):
                torch.testing.assert_close(
                    output, expected[name], rtol=1e-4, atol=1e-4, msg=name
                )


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (partial(ConvNet, n_outputs=3), (1, 12, 12)),
        (partial(ConvNet, n_outputs=3, hidden_layer_sizes=(8,), dropout=0.5), (1, 20)),
        (partial(ConvNet, n_outputs=3, pooling="avg", norm="group"), (2, 8, 8, 8)),
        (partial(LeNet5, n_outputs=3), (1, 28, 28)),
        (partial(CIFARResNet, n_outputs=3), (3, 16, 16)),
    ],
)
def test_the_packages_own_networks_are_cut_and_folded(make, shape):
    network = with_statistics(make(shape))
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    names = layer_names(network)
    cut = cut_network(network, ["penultimate", names[-1]])
    with torch.inference_mode():
        before, last = cut(x)
        torch.testing.assert_close(last, network(x), rtol=1e-4, atol=1e-5)
    assert (
        before.shape[1]
        == [m for m in network.modules() if isinstance(m, nn.Linear)][-1].in_features
    )
    assert not any(
        isinstance(m, nn.modules.batchnorm._BatchNorm) for m in cut.modules()
    )


def test_what_follows_the_wanted_layer_is_left_out():
    network = torchvision_models.resnet18(weights=None)
    cut = cut_network(network, ["layer1"])
    n_parameters = sum(p.numel() for p in cut.parameters())
    assert n_parameters < 0.02 * sum(p.numel() for p in network.parameters())


def test_the_network_is_left_as_it_is():
    network = with_statistics(torchvision_models.resnet18(weights=None))
    network.layer3.train()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    cut = cut_network(network, ["layer2", "penultimate"])
    with torch.no_grad():
        for parameter in cut.parameters():
            parameter.zero_()
    assert all(torch.equal(network.state_dict()[key], before[key]) for key in before)
    assert [module.training for module in network.modules()] == modes


def test_dropout_and_statistics_are_those_of_evaluation():
    network = torchvision_models.alexnet(weights=None).train()
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    cut = cut_network(network, ["penultimate"])
    with torch.inference_mode():
        assert torch.equal(cut(x)[0], cut(x)[0])


@pytest.mark.parametrize(
    ("name", "layer", "node"),
    [
        ("alexnet", "fc6", "classifier.2"),
        ("alexnet", "fc7", "classifier.5"),
        ("vgg11", "fc7", "classifier.4"),
    ],
)
def test_fully_connected_layers_have_the_names_of_the_papers(name, layer, node):
    with torch.device("meta"):
        network = torchvision_models.get_model(name, weights=None)
        x = torch.zeros(1, 3, 224, 224)
    paper, torchs = (cut_network(network, [which]) for which in (layer, node))
    assert paper.code.replace(f"'{layer}'", f"'{node}'") == torchs.code
    assert paper(x)[0].shape == (1, 4096)


def test_a_name_that_leads_several_stands_for_the_last():
    network = with_statistics(torchvision_models.resnet18(weights=None))
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(
            cut_network(network, ["layer2"])(x)[0],
            cut_network(network, ["layer2.1.relu_1"])(x)[0],
        )


def test_blocks_come_first_and_the_last_layer_last():
    names = layer_names(torchvision_models.resnet18(weights=None), (3, 64, 64))
    assert names[:6] == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
    assert names[-1] == "fc"
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["features.12", "penultimate", "classifier.0", "features.12.cat"],
        ["features.3", "features.3.cat"],
        ["classifier", "classifier.3"],
    ],
)
def test_names_of_the_same_layer_have_one_canonical_name(names):
    network = torchvision_models.squeezenet1_1(weights=None)
    assert {canonical_layer(network, name) for name in names} == {names[-1]}
    cut = cut_network(network, names)
    assert set(cut.canonical_layers) == {names[-1]}
    outputs = cut(torch.randn(1, 3, 48, 48))
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def test_networks_that_run_as_they_are_have_no_other_names():
    network = Branching().eval()
    assert canonical_layer(network, "penultimate") == "penultimate"
    assert cut_network(network, ["norm"]).canonical_layers == ("norm",)
    with pytest.raises(ValueError, match="'nrm' is not one of the network's 3 layers"):
        canonical_layer(network, "nrm")


@pytest.mark.parametrize(
    ("layer", "close"),
    [
        ("layer9", "'layer1', 'layer2', 'layer3', 'layer4', "),
        ("layer4.3.conv1", ".*'layer4.1.conv1'"),
    ],
)
def test_an_unknown_layer_is_an_error_that_lists_close_ones(layer, close):
    network = torchvision_models.resnet18(weights=None)
    with pytest.raises(ValueError, match=f"'{layer}'.*Similar names are {close}"):
        cut_network(network, [layer])
    with pytest.raises(ValueError, match=r"'convv'.*'conv'"):
        cut_network(Branching(), ["convv"])


def test_a_network_that_cannot_be_traced_runs_as_it_is():
    network = with_statistics(Branching())
    assert layer_names(network) == ["conv", "norm", "head"]
    x = torch.randn(5, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        norm, before, head = cut_network(network, ["norm", "penultimate", "head"])(x)
        assert torch.equal(norm, network.norm(network.conv(x)))  # before relu_
        assert torch.equal(head, network(x))
        assert torch.equal(network.head(before), head)


class Switching(nn.Module):
    """A head that another code runs in where it is given symbols."""

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, x):
        if isinstance(x, torch.Tensor):
            x = self.norm(x)
        return self.head(x)


def small_sequence():
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return with_statistics(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 8)))


def negate(module, args):
    return (-args[0],)


CHANGES = {
    "before the network": lambda net: net.register_forward_pre_hook(negate),
    "before the norm": lambda net: net[1].register_forward_pre_hook(negate),
    "after the norm": lambda net: net[1].register_forward_hook(lambda *args: -args[2]),
    "after the filters": lambda net: net[0].register_forward_hook(lambda *a: -a[2]),
    "a part of others": lambda net: net.append(Switching().eval()),
    "pruned": lambda net: prune.l1_unstructured(net[0], "weight", 0.5),
    "spectral norm": lambda net: spectral_norm(net[0]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_hooks_and_parts_of_others_have_their_say(name):
    network, seen = small_sequence(), []
    x = torch.randn(5, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    plain = network[:-1](x)
    CHANGES[name](network)
    with torch.no_grad():
        network(x)
        last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
        (found,) = cut_network(network, ["penultimate"])(x)
        last.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        network(x)
    torch.testing.assert_close(found, seen[0])
    assert found.shape != plain.shape or not torch.allclose(found, plain)


def numbered():
    """Return a network whose parts have numbers at the end of their names."""
    parts = {
        "conv_1": nn.Conv2d(3, 4, 3),
        "relu": nn.ReLU(),
        "conv_2": nn.Conv2d(4, 8, 3),
    }
    parts |= {"pool": nn.AdaptiveAvgPool2d(1)}
    parts |= {
        "flat": nn.Flatten(),
        "fc_1": nn.Linear(8, 6),
        "relu_1": nn.ReLU(),
        "fc_2": nn.Linear(6, 2),
    }
    return nn.Sequential(OrderedDict(parts)).eval()


def test_parts_have_their_own_names_though_these_end_in_numbers():
    network = numbered()
    names = list(dict(network.named_children()))
    assert set(layer_names(network)) == {"input", *names}
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, name in enumerate(names):
            (found,) = cut_network(network, [name])(x)
            torch.testing.assert_close(found, network[: i + 1](x))


class Repeating(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu_1 = nn.ReLU()
        self.conv = nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.conv(self.relu(x) - 1))
        return self.relu_1(F.relu(x + 1) - 1)


@pytest.mark.parametrize("is_traced", [True, False])
def test_what_runs_again_has_a_name_that_no_part_has(is_traced, monkeypatch):
    monkeypatch.setattr("skcnn.backbones.tracing.TRACED_LIBRARIES", ("torch", __name__))
    network = Repeating().eval()
    if not is_traced:
        network.conv.register_forward_hook(lambda *_: None)
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    names = ["relu", "relu_1", "relu_2", "relu_3"][: 4 if is_traced else 2]
    assert set(names) <= set(layer_names(network))
    with torch.no_grad():
        found = cut_network(network, names)(x)
        again = network.relu(network.conv(network.relu(x) - 1))
        expected = [x.relu(), network(x), again, (again + 1).relu()]
    for one, other in zip(found, expected, strict=False):
        torch.testing.assert_close(one, other)


def test_tracing_leaves_a_network_that_keeps_what_it_computes_as_it_is():
    timm = pytest.importorskip("timm")
    network = timm.create_model("levit_128s", pretrained=False).eval()
    x = torch.zeros(1, 3, 224, 224)
    for _ in range(2):
        (found,) = cut_network(network, ["penultimate"])(x)
        assert found.shape == (1, 384)
    assert not any(
        getattr(part, "attention_bias_cache", None) for part in network.modules()
    )


class Listed(nn.Module):
    """Keeps blocks in a list, returns more than a tensor, and has a part to spare."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(4, 2)
        self.mix = nn.MultiheadAttention(4, 2, batch_first=True)
        self.blocks = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x, _ = self.mix(*[x.flatten(2).mT] * 3)
        return self.head(x.mean(1))


def test_layers_of_networks_that_run_as_they_are_are_those_that_run():
    network = Listed().eval()
    names = layer_names(network, (3, 8, 8))
    assert names == ["blocks.0", "blocks.1", "head"]
    assert len(cut_network(network, names)(torch.zeros(2, 3, 8, 8))) == len(names)
    assert not network.head._forward_hooks
    defined = {name for name, _ in network.named_modules() if name}
    assert set(layer_names(network)) == set(layer_names(network, (5, 8, 8))) == defined


@pytest.mark.parametrize("change", [prune.l1_unstructured, prune.random_unstructured])
def test_a_network_that_was_just_pruned_is_copied(change):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Linear(6, 2))
    change(network[1], "weight", amount=0.5)
    assert not network[1].weight.is_leaf
    x = torch.ones(1, 3, 2, 2)
    for is_training in (True, False):
        (found,) = cut_network(network.train(is_training), ["penultimate"])(x)
        torch.testing.assert_close(found, network[:2](x))


def test_a_layer_that_does_not_run_or_returns_no_tensor_is_an_error():
    network = Branching()
    network.extra = nn.Linear(2, 2)
    x = torch.zeros(1, 3, 9, 9)
    with pytest.raises(ValueError, match="did not run its layer 'extra'"):
        cut_network(network, ["extra"])(x)
    network.head = nn.LSTM(4, 2)
    with pytest.raises(ValueError, match="returns tuple, expected a tensor"):
        cut_network(network, ["head"])(x)


def test_networks_may_be_cut_while_other_threads_cut_and_run_networks():
    network = with_statistics(CIFARResNet((3, 16, 16), 3))
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    call, getattr_ = nn.Module.__call__, nn.Module.__getattr__
    with torch.inference_mode():
        expected = network(x)

    def work(index):
        with torch.inference_mode():
            if index % 2:
                return network(x)
            return cut_network(network, [layer_names(network)[-1]])(x)[0]

    with ThreadPoolExecutor(4) as pool:
        for output in pool.map(work, range(24)):
            torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    assert nn.Module.__call__ is call
    assert nn.Module.__getattr__ is getattr_


def test_a_network_that_runs_as_it_is_can_be_copied():
    cut = cut_network(with_statistics(Branching()), ["penultimate"])
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(copy.deepcopy(cut)(x)[0], cut(x)[0])


@pytest.mark.slow
def test_weights_shapes_and_comparisons_are_no_layers():
    network = torchvision_models.vit_b_16(weights=None)
    names = set(layer_names(network, (3, 224, 224)))
    others = set(layer_names(network)) - names
    assert {"getattr", "getitem", "eq", "_assert"} < others
    assert {"conv_proj", "encoder.ln", "heads.head"} < names
    with pytest.raises(ValueError, match="layer='getitem' returns int"):
        cut_network(network, ["getitem"])(torch.zeros(1, 3, 224, 224))
