import inspect

import pytest
import torch
from torch import nn

from skcnn import CNNClassifier
from skcnn.modules import FCN
from skcnn.modules.fcn import make_block

SHAPES = [(1, 30), (6, 5), (2, 1), (1, 9, 12), (3, 2, 1), (1, 3, 4, 5)]
over_shapes = pytest.mark.parametrize("input_shape", SHAPES, ids=str)


def count_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("n_channels", "n_outputs"), [(1, 3), (6, 4)])
def test_it_has_the_parameters_of_the_original_layers(n_channels, n_outputs):
    convolutions = n_channels * 128 * 8 + 128 * 256 * 5 + 256 * 128 * 3
    norms = 2 * (128 + 256 + 128)
    expected = convolutions + norms + 128 * n_outputs + n_outputs
    assert count_parameters(FCN((n_channels, 50), n_outputs)) == expected


def test_its_defaults_are_those_of_the_estimators():
    defaults = inspect.signature(CNNClassifier).parameters
    for name, parameter in inspect.signature(FCN).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert defaults[name].default == parameter.default
    assert "n_filters" not in inspect.signature(FCN).parameters


@over_shapes
def test_maps_keep_the_shape_of_the_sample(input_shape):
    net = FCN(input_shape, 4)
    x = torch.randn(2, *input_shape)
    for name, n_maps in [("block1", 128), ("block2", 256), ("block3", 128)]:
        x = net.get_submodule(name)(x)
        assert x.shape == (2, n_maps, *input_shape[1:])


@over_shapes
def test_any_shape_is_mapped_to_outputs(input_shape):
    net = FCN(input_shape, 4)
    assert net(torch.randn(2, *input_shape)).shape == (2, 4)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_padding_is_torchs_same_padding(size):
    block = make_block(2, 3, size, 1, "identity", None)
    x = torch.randn(4, 2, 11)
    convolution = block[1]
    padded = nn.functional.pad(x, ((size - 1) // 2, size // 2))
    assert torch.equal(block(x), convolution(padded))
    if size % 2:
        same = nn.functional.conv1d(
            x, convolution.weight, convolution.bias, padding="same"
        )
        torch.testing.assert_close(block(x), same)


def test_the_order_of_steps_between_far_events_does_not_matter():
    """Maps are averaged over time, so a shift inside of silence changes nothing."""
    net = FCN((1, 80), 3).eval()
    x = torch.zeros(1, 1, 80)
    x[..., 30:35] = 1
    torch.testing.assert_close(net(x), net(x.roll(12, dims=-1)))


@pytest.mark.parametrize(("norm", "layer"), [("group", "GroupNorm"), (None, None)])
def test_it_is_normalised_and_activated_as_told(norm, layer):
    net = FCN((1, 9), 2, norm=norm, activation="gelu")
    names = [type(module).__name__ for module in net.modules()]
    assert names.count("GELU") == 3
    assert names.count("BatchNorm1d") == 0
    assert layer is None or names.count(layer) == 3


def test_dropout_is_drawn_in_training_only():
    net, x = FCN((1, 20), 2, dropout=0.5), torch.randn(3, 1, 20)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
