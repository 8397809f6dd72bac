import pytest
import torch
from torch import nn

from skcnn.modules import LeNet5
from skcnn.modules.lenet import MINIMUM_SIDE


def test_it_has_the_61706_parameters_of_the_original_layers():
    assert sum(p.numel() for p in LeNet5((1, 28, 28), 10).parameters()) == 61_706


@pytest.mark.parametrize("n_channels", [1, 3])
def test_it_takes_every_size_from_the_minimum_on(n_channels):
    for height in range(MINIMUM_SIDE, MINIMUM_SIDE + 9):
        input_shape = (n_channels, height, MINIMUM_SIDE + 40 - height)
        out = LeNet5(input_shape, 7)(torch.zeros(2, *input_shape))
        assert out.shape == (2, 7)


@pytest.mark.parametrize("sides", [(11, 28), (28, 11), (1, 1), (28,), (28, 28, 28)])
def test_other_sizes_are_named_with_the_minimum(sides):
    came = " x ".join(map(str, sides))
    with pytest.raises(ValueError, match=f"at least 12 x 12 pixels, got {came}"):
        LeNet5((1, *sides), 10)


def test_the_minimum_is_the_smallest_side_that_leaves_a_pixel():
    last_maps = nn.Sequential(*list(LeNet5((1, MINIMUM_SIDE, MINIMUM_SIDE), 10))[:6])
    assert last_maps(torch.zeros(1, 1, MINIMUM_SIDE, MINIMUM_SIDE)).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="too small"):
        last_maps(torch.zeros(1, 1, MINIMUM_SIDE - 1, MINIMUM_SIDE))


@pytest.mark.parametrize(
    ("pooling", "layer"), [("avg", "AvgPool2d"), ("max", "MaxPool2d")]
)
def test_it_pools_and_activates_as_told(pooling, layer):
    net = LeNet5((1, 28, 28), 10, pooling=pooling, activation="relu")
    names = [type(module).__name__ for module in net]
    assert names.count(layer) == 2
    assert names.count("ReLU") == 4


def test_it_starts_as_the_original_with_means_and_tanh():
    names = [type(module) for module in LeNet5((1, 28, 28), 10)]
    assert names.count(nn.AvgPool2d) == 2
    assert names.count(nn.Tanh) == 4


@pytest.mark.parametrize("pooling", ["stride", None])
def test_other_poolings_are_refused(pooling):
    with pytest.raises(ValueError, match=f"'avg' or 'max', got {pooling!r}"):
        LeNet5((1, 28, 28), 10, pooling=pooling)
