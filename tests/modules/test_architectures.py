import re
from functools import partial

import pytest
import torch
from torch import nn

from skcnn.modules import ARCHITECTURES, ConvNet, build_module


class Linear(nn.Sequential):
    """A network that names its arguments as it likes."""

    def __init__(self, shape, n_classes, bias=True):
        self.arguments = shape, n_classes, bias
        super().__init__(nn.Flatten(), nn.LazyLinear(n_classes, bias=bias))


def by_other_order(n_outputs, input_shape, *, dropout=0.5):
    net = Linear(input_shape, n_outputs)
    net.dropout = dropout
    return net


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("n_outputs", [1, 10])
def test_every_named_architecture_maps_samples_to_outputs(name, n_outputs):
    module = build_module(name, (3, 16, 17), n_outputs)
    assert module(torch.randn(2, 3, 16, 17)).shape == (2, n_outputs)


def test_hyperparameters_that_the_signature_names_are_passed_on():
    given = {"n_layers": 2, "n_filters": 5, "dropout": 0.25}
    module = build_module("convnet", (1, 8, 8), 3, given)
    assert repr(module) == repr(ConvNet((1, 8, 8), 3, **given))


def test_hyperparameters_that_the_signature_does_not_name_are_left_out():
    given = {"n_layers": 2, "pooling": "max", "nonsense": 1}
    module = build_module("lenet5", (1, 28, 28), 10, given)
    assert any(isinstance(layer, nn.MaxPool2d) for layer in module)


@pytest.mark.parametrize("factory", [Linear, partial(Linear, bias=False)])
def test_a_class_with_other_names_is_called_by_position(factory):
    module = build_module(factory, [1, 8, 8], 3, {"dropout": 0.5})
    assert module.arguments[:2] == ((1, 8, 8), 3)


def test_a_function_is_called_by_name_where_it_has_the_names():
    module = build_module(by_other_order, (1, 8, 8), 3, {"dropout": 0.25, "stride": 2})
    assert module.arguments[:2] == ((1, 8, 8), 3)
    assert module.dropout == 0.25


def test_the_shape_comes_as_a_tuple():
    assert build_module(Linear, [1, 8, 8], 3).arguments[0] == (1, 8, 8)


def test_an_unknown_name_is_answered_by_those_that_are_known():
    known = re.escape(str(sorted(ARCHITECTURES)))
    with pytest.raises(ValueError, match=f"'resnet18' is not known.*{known}"):
        build_module("resnet18", (1, 8, 8), 3)


@pytest.mark.parametrize("architecture", [nn.Linear(2, 2), 3, None])
def test_what_cannot_be_called_for_a_network_is_refused(architecture):
    with pytest.raises(
        TypeError, match=r"is not a name, torch\.nn\.Module class or function"
    ):
        build_module(architecture, (1, 8, 8), 3)


def test_what_returns_no_network_is_refused():
    with pytest.raises(TypeError, match=r"returned int, expected a torch\.nn\.Module"):
        build_module(lambda input_shape, n_outputs: 3, (1, 8, 8), 3)


class Factory:
    """Returns the same network each time."""

    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def __call__(self, input_shape, n_outputs):
        return self.network

    build = __call__


@pytest.mark.parametrize(
    "factory",
    [
        lambda input_shape, n_outputs: Factory.network,
        partial(Factory()),
        Factory(),
        Factory().build,
    ],
    ids=["function", "partial", "instance", "method"],
)
def test_a_factory_that_returns_a_network_again_gives_a_copy(factory):
    weight = Factory.network[1].weight
    copied = build_module(factory, (1, 8, 8), 3)[1].weight
    assert torch.equal(copied, weight)
    assert copied is not weight


def test_what_a_partial_has_bound_is_not_overridden():
    class Net(nn.Sequential):
        def __init__(self, input_shape, n_outputs, dropout=0.0, n_filters=3):
            self.settings = dropout, n_filters
            super().__init__(nn.Flatten(), nn.LazyLinear(n_outputs))

    hyperparameters = {"dropout": 0.5, "n_filters": 32}
    bound = partial(partial(Net, dropout=0.25), n_outputs=2)
    assert build_module(bound, (1, 4, 4), 2, hyperparameters).settings == (0.25, 32)
