"""What is recorded; tests/test_gpu.py records and replays."""

import pytest
from torch import nn

from skcnn.modules import build_module
from skcnn.training.recording import is_recordable


@pytest.fixture
def network(monkeypatch):
    """A network that claims to be on a GPU."""
    monkeypatch.setattr(nn.Parameter, "is_cuda", True)
    return build_module("convnet", (1, 8, 8), 3, {"dropout": 0.5})


@pytest.mark.parametrize("architecture", ["convnet", "lenet5", "resnet20", "fcn"])
def test_the_networks_of_the_package_are_recordable(architecture, network):
    network = build_module(architecture, (3, 32, 32), 3)
    assert is_recordable(network, nn.CrossEntropyLoss())


def test_nothing_is_recorded_on_a_cpu():
    network = build_module("convnet", (1, 8, 8), 3)
    assert not is_recordable(network, nn.CrossEntropyLoss())


class Foreign(nn.ReLU):
    def forward(self, x):
        return super().forward(x)


def add_forward(network):
    network.block1.conv.forward = lambda x: x


CHANGES = {
    "hook": lambda network: network.block1.register_forward_hook(print),
    "gradient hook": lambda network: network.block1.register_full_backward_hook(print),
    "foreign layer": lambda network: network.set_submodule(
        "block1.activation", Foreign()
    ),
    "own forward": add_forward,
    "gradients by rows": lambda network: network.add_module(
        "words", nn.Embedding(3, 2, sparse=True)
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_networks_run_as_they_are(change, network):
    change(network)
    assert not is_recordable(network, nn.CrossEntropyLoss())


def test_a_foreign_loss_is_not_recorded(network):
    class Loss(nn.MSELoss):
        pass

    assert is_recordable(network, nn.MSELoss())
    assert not is_recordable(network, Loss())
