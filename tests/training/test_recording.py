"""What is recorded; tests/test_gpu.py records and replays."""

import pytest
from torch import nn

from skcnn.modules import build_module
from skcnn.training.recording import RecordingStreams, is_recordable


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
    "hook of a weight": lambda network: network.output[-1].weight.register_hook(print),
    "hook of a gradient": lambda network: network.output[
        -1
    ].weight.register_post_accumulate_grad_hook(print),
    "batches counted on the CPU": lambda network: setattr(
        network.block1.norm, "momentum", None
    ),
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


def test_a_hook_of_the_loss_or_of_all_layers_runs(network):
    criterion = nn.MSELoss()
    handle = criterion.register_forward_hook(print)
    assert not is_recordable(network, criterion)
    handle.remove()
    handle = nn.modules.module.register_module_forward_hook(lambda *args: None)
    assert not is_recordable(network, criterion)
    handle.remove()
    assert is_recordable(network, criterion)


def test_a_stream_belongs_to_one_fit_at_a_time(monkeypatch):
    class Stream:
        def __init__(self, device, priority):
            self.device = device

    monkeypatch.setattr("torch.cuda.Stream", Stream)
    streams = RecordingStreams()
    first, second, other = (streams.take(device) for device in (0, 0, 1))
    assert first is not second
    streams.give_back(first)
    streams.give_back(other)
    assert streams.take(0) is first
    assert streams.take(0) is not second
    assert streams.take(1) is other
