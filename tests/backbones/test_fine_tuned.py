"""Networks with a new head: what is frozen, and in which order layers run."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torchvision import models

from skcnn.backbones import FineTunedNetwork, cut_network
from skcnn.modules import build_module
from skcnn.runtime import PrivateRandomness, make_generator

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
        if out.sum() > 0:  # which no tracer can follow
            out = out + 1
        return self.last(out.mean((2, 3))).log_softmax(1)


def make(name="resnet20", seed=0):
    """Return a network with random weights, its batch norm statistics random, too."""
    with PrivateRandomness(make_generator(seed)):
        if name == "backwards":
            network = Backwards()
        elif name in ("resnet20", "lenet5"):
            network = build_module(name, SHAPE, 10)
        else:
            network = models.get_model(name, weights=None)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def fine_tuned(name="resnet20", n_outputs=3, **params):
    return FineTunedNetwork(make(name), SHAPE, n_outputs, **params)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def step(network):
    """Train for a step, the weights of the head random, so that gradients flow."""
    with PrivateRandomness(make_generator(1)):
        nn.init.normal_(network.head[1].weight)
        x = torch.randn(4, *SHAPE)
        network.train()
        optimizer = torch.optim.AdamW(network.parameter_groups(), lr=0.1)
        nn.functional.cross_entropy(network(x), torch.arange(4) % 3).backward()
        optimizer.step()


def test_the_head_is_no_block():
    assert fine_tuned("resnet20").blocks[-1] == "layer3"
    assert fine_tuned("squeezenet1_1").blocks[-1] == "features.12"


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "lenet5"])
def test_the_head_takes_what_the_last_layer_took(name):
    network = fine_tuned(name)
    x = torch.rand(2, *SHAPE)
    (expected,) = cut_network(make(name), ["penultimate"])(x)
    if expected.ndim > 2:
        expected = expected.mean((2, 3))
    with torch.no_grad():
        torch.testing.assert_close(network.eval().features(x), expected)
        torch.testing.assert_close(network(expected), network(x))


@pytest.mark.parametrize("name", ["resnet20", "squeezenet1_1", "backwards"])
@pytest.mark.parametrize("trainable", ["head", 0, 1, 2, 3])
def test_what_is_frozen_keeps_each_bit(name, trainable):
    network = fine_tuned(name, trainable=trainable)
    trained = (
        () if trainable == "head" else network.blocks[-trainable:] * (trainable > 0)
    )
    before = state(network.backbone)
    step(network)
    after = network.backbone.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert all(key.startswith(tuple(f"{b}." for b in trained)) for key in changed)
    blocks = {b for b in trained if any(key.startswith(f"{b}.") for key in changed)}
    assert blocks == set(trained)


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_all_trains_all_weights_and_keeps_the_statistics_that_were_learnt():
    network = fine_tuned(trainable="all")
    before = state(network.backbone)
    step(network)
    after = network.backbone.state_dict()
    kept = {key for key in before if torch.equal(before[key], after[key])}
    assert kept == {key for key in before if key.endswith(STATISTICS)}


def test_statistics_of_a_new_network_are_learnt():
    network = FineTunedNetwork(build_module("resnet20", SHAPE, 10), SHAPE, 3)
    before = state(network.backbone)
    step(network)
    after = network.backbone.state_dict()
    assert not any(torch.equal(before[key], after[key]) for key in before)
    assert network.train().backbone.bn1.training  # also when they are learnt


def test_a_layer_is_trained_with_those_that_run_after_it():
    network = fine_tuned(trainable="layer3.1")
    trained = {n for n, p in network.backbone.named_parameters() if p.requires_grad}
    names = [n for n, _ in network.backbone.named_parameters()]
    assert trained == {n for n in names if n.startswith(("layer3.1", "layer3.2"))}


def test_order_is_that_of_running():
    network = fine_tuned("backwards", trainable="middle.0")
    trained = {n for n, p in network.backbone.named_parameters() if p.requires_grad}
    assert trained == {
        n for n, _ in network.backbone.named_parameters("") if "middle" in n
    }
    assert {"first", "first.0", "first.1"} <= set(network.frozen)
    assert "" not in network.frozen


def test_the_last_layer_by_name_is_the_head():
    network = fine_tuned("resnet18", trainable="fc")
    assert not any(p.requires_grad for p in network.backbone.parameters())
    assert set(network.frozen) >= {"", "layer4", "bn1"}


class Listed(nn.Module):
    """Keeps its blocks in a list, which does not run itself."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(3))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x).relu()
        return self.head(x.mean((2, 3)))


def test_blocks_in_a_list_are_blocks():
    network = FineTunedNetwork(Listed(), SHAPE, 3, trainable=2, lr_decay=0.5)
    assert network.blocks == ("stem", "blocks.0", "blocks.1", "blocks.2")
    trained = {n for n, p in network.backbone.named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[0] for name in trained} == {"blocks.1", "blocks.2"}
    assert network.lr_factors["blocks.0.weight"] == 0.5**3
    network.choose_layers("blocks", 1.0, 0.0)
    assert network.frozen == ("stem",)


@pytest.mark.parametrize("is_bare", [True, False])
def test_a_network_without_a_last_layer_keeps_all(is_bare):
    network = make("resnet18")
    if is_bare:
        network.fc = nn.Identity()
    tuned = FineTunedNetwork(network, SHAPE, 3)
    assert tuned.head[-1].in_features == 512
    x = torch.ones(1, *SHAPE)
    network.fc = nn.Identity()
    torch.testing.assert_close(tuned.eval().features(x), network(x))


def test_frozen_layers_evaluate_whatever_mode_is_set():
    network = fine_tuned("resnet18", trainable="layer4").train()
    modes = {name: module.training for name, module in network.backbone.named_modules()}
    assert not any(modes[name] for name in network.frozen)
    assert modes["layer4.1.conv2"]
    assert not modes["layer4.1.bn2"]
    assert not modes["layer3.1.conv2"]
    assert network.head.training
    assert not any(module.training for module in network.eval().modules())


def test_rates_shrink_from_block_to_block():
    network = fine_tuned("resnet18", lr_decay=0.5)
    groups = network.parameter_groups()
    factor_of = {id(p): g["lr_factor"] for g in groups for p in g["params"]}
    assert len(factor_of) == len(list(network.parameters()))
    assert sum(len(g["params"]) for g in groups) == len(factor_of)
    factors = [factor_of[id(p)] for p in network.head.parameters()]
    assert factors == [1.0, 1.0]
    for distance, block in enumerate(reversed(network.blocks), 1):
        for parameter in network.backbone.get_submodule(block).parameters():
            assert factor_of[id(parameter)] == 0.5**distance


def test_frozen_parameters_are_in_no_group():
    network = fine_tuned("resnet18", trainable=1, lr_decay=0.5)
    grouped = {id(p) for g in network.parameter_groups() for p in g["params"]}
    assert grouped == {id(p) for p in network.parameters() if p.requires_grad}


def test_the_network_that_is_given_stays_as_it_is():
    network = make("resnet18").requires_grad_(False)
    before = state(network)
    step(FineTunedNetwork(network, SHAPE, 3))
    assert all(torch.equal(value, before[key]) for key, value in state(network).items())
    assert not any(p.requires_grad for p in network.parameters())
    assert isinstance(network.fc, nn.Linear)


def test_a_network_that_was_just_pruned_stays_pruned():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(1, *SHAPE))
    prune.l1_unstructured(network[0], "weight", amount=0.5)
    tuned = FineTunedNetwork(network, SHAPE, 3)
    step(tuned)
    assert (tuned.backbone[0].weight == 0).sum() == network[0].weight.numel() / 2


def test_dropout_and_activations_of_the_old_head_are_gone():
    network = fine_tuned("squeezenet1_1", n_outputs=2, dropout=0.25)
    assert not any(isinstance(m, nn.Dropout) for m in network.modules())
    assert network.head[0].p == 0.25
    softmax = nn.Sequential(nn.Flatten(), nn.Linear(12288, 4), nn.Softmax(1))
    network = FineTunedNetwork(softmax, SHAPE, 2)
    x = torch.rand(1, *SHAPE)
    torch.testing.assert_close(network.features(x), x.flatten(1))


def test_a_fine_tuned_network_is_fine_tuned_as_a_whole():
    first = fine_tuned(trainable="head")
    second = FineTunedNetwork(first, SHAPE, 2)
    assert all(p.requires_grad for p in second.parameters())
    assert second.train().backbone.backbone.conv1.training
    assert not first.train().backbone.conv1.training


def test_a_pickled_network_is_frozen_as_before():
    network = pickle.loads(pickle.dumps(fine_tuned(trainable=1)))
    before = state(network.backbone.layer2)
    step(network)
    after = network.backbone.layer2.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_network_without_weights_has_no_head_to_replace():
    with pytest.raises(ValueError, match="no convolution or fully connected layer"):
        FineTunedNetwork(nn.Flatten(), SHAPE, 2)
