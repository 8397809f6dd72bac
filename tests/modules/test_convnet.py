import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.modules import ACTIVATIONS, ConvBlock, ConvNet, build_module
from skcnn.modules.building_blocks import is_monotone
from skcnn.modules.convnet import make_norm

POOLINGS = ["max", "avg", "stride", None]
KERNELS = [1, 2, 3, 12]
SIDES = range(1, 10)
MONOTONE_NAMES = [name for name in ACTIVATIONS if is_monotone(ACTIVATIONS[name]())]


def computed_shape(block, spatial_shape):
    with torch.no_grad():
        return tuple(block(torch.zeros(2, 1, *spatial_shape)).shape[1:])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kernel_size", KERNELS)
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("pool_size", [2, 3, 10])
def test_output_shape_is_what_comes_out(pooling, kernel_size, stride, pool_size):
    shapes = [(side,) for side in SIDES]
    shapes += [(1, 9), (6, 4), (4, 3, 6)]
    for spatial_shape in shapes:
        block = ConvBlock(
            1,
            2,
            spatial_shape,
            kernel_size=kernel_size,
            stride=stride,
            pooling=pooling,
            pool_size=pool_size,
        ).eval()
        assert block.output_shape == computed_shape(block, spatial_shape)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_output_shape_is_what_comes_out_with_sizes_of_each_axis(pooling):
    sizes = [(1, 2, 3), (4, 3, 1), (2, 2, 9)]
    for kernel_size, pool_size in itertools.product(sizes, repeat=2):
        block = ConvBlock(
            1,
            2,
            (3, 6, 7),
            kernel_size=kernel_size,
            stride=(2, 1, 3),
            pooling=pooling,
            pool_size=list(pool_size),
        ).eval()
        assert block.output_shape == computed_shape(block, (3, 6, 7))


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 11])
def test_odd_kernels_keep_the_size_of_maps(kernel_size):
    block = ConvBlock(1, 2, (4, 9), kernel_size=kernel_size, pooling=None)
    assert block.output_shape == (2, 4, 9)


@pytest.mark.parametrize("pooling", ["max", "avg", "stride"])
@pytest.mark.parametrize("pool_size", [2, 3])
def test_an_axis_shorter_than_the_window_is_not_pooled(pooling, pool_size):
    shape = (pool_size - 1, pool_size, 9)
    block = ConvBlock(1, 2, shape, pooling=pooling, pool_size=pool_size)
    assert block.output_shape[1:3] == (pool_size - 1, 1)
    assert block.output_shape[3] < 9


def activation_first(block, x):
    """Compute the block as it is described, the activation before pooling."""
    return block.pool(block.activation(block.norm(block.conv(x))))


def with_gradient(function, block, x):
    x = x.clone().requires_grad_()
    block.zero_grad()
    out = function(x)
    (out * torch.arange(1, out.numel() + 1).view(out.shape)).sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in block.parameters())]


class AbsoluteValue(nn.Module):
    def forward(self, x):
        return x.abs()


class NegatedReLU(nn.ReLU):
    def forward(self, x):
        return -super().forward(x)


FACTORIES = {
    **ACTIVATIONS,
    "mish": nn.Mish,
    "absolute value": AbsoluteValue,
    "subclass of relu that falls": NegatedReLU,
    "leaky_relu with a negative slope": lambda: nn.LeakyReLU(-0.5),
    "elu with a negative alpha": lambda: nn.ELU(-1.0),
}


@pytest.mark.parametrize("activation", FACTORIES)
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("norm", ["batch", None])
def test_pooling_acts_on_activations(activation, pooling, norm):
    torch.manual_seed(0)
    block = ConvBlock(
        2, 3, (7, 8), pooling=pooling, norm=norm, activation=FACTORIES[activation]
    ).double()
    x = 3 * torch.randn(5, 2, 7, 8, dtype=torch.float64)
    expected = with_gradient(lambda x: activation_first(block, x), block, x)
    for ours, theirs in zip(with_gradient(block, block, x), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", MONOTONE_NAMES)
def test_monotone_activations_see_only_pooled_maps(activation):
    block = ConvBlock(1, 2, (8, 8), activation=activation)
    shapes = []
    block.activation.register_forward_hook(lambda *call: shapes.append(call[-1].shape))
    block(torch.randn(3, 1, 8, 8))
    assert shapes == [(3, 2, 4, 4)]


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_pooling_first_would_be_wrong_for_activations_that_fall(activation):
    block = ConvBlock(1, 1, (8,), kernel_size=1, norm=None, activation=activation)
    with torch.no_grad():
        block.conv.weight.fill_(1)
        block.conv.bias.zero_()
    x = torch.tensor([[[-5.0, -1.0] * 4]])
    assert (block(x) > block.activation(block.pool(x)) + 0.05).all()


@pytest.mark.parametrize("norm", ["batch", "group", None])
def test_the_convolution_has_a_bias_where_no_norm_would_remove_it(norm):
    assert (ConvBlock(1, 2, (8, 8), norm=norm).conv.bias is None) == (norm is not None)


@pytest.mark.parametrize("n_channels", [1, 3, 8])
@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_pointwise_filters_take_steps(n_channels, n_axes):
    shape = (9, 8, 7)[:n_axes]
    block = ConvBlock(
        n_channels, 6, shape, kernel_size=1, pooling="stride", norm=None
    ).double()
    x = torch.randn(50, n_channels, *shape, dtype=torch.float64)
    weight = block.conv.weight.detach().clone().requires_grad_()
    convolve = (F.conv1d, F.conv2d, F.conv3d)[n_axes - 1]
    expected = convolve(x, weight, block.conv.bias.detach(), stride=2).relu()
    out = block(x)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(block.conv.weight.grad, weight.grad)


def test_pointwise_steps_of_few_channels_do_not_destroy_memory():
    block = ConvBlock(3, 32, (8, 8), kernel_size=1, stride=2, pooling=None)
    for _ in range(4):
        x = torch.randn(32, 3, 8, 8).to(memory_format=torch.channels_last)
        block(x).sum().backward()


def test_groups_have_at_least_16_maps_or_there_is_one():
    for n_channels in range(1, 300):
        layer = make_norm("group", n_channels, 2)
        assert layer.num_groups == 1 or n_channels / layer.num_groups >= 16
        assert n_channels % layer.num_groups == 0
    assert make_norm("group", 64, 2).num_groups == 4


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_block_drops_whole_maps_in_training_only(dropout):
    torch.manual_seed(0)
    block = ConvBlock(1, 64, (8, 8), dropout=dropout, norm=None, activation="sigmoid")
    x = torch.randn(4, 1, 8, 8)
    out = block(x).flatten(2)
    dropped = (out == 0).all(dim=2)
    assert torch.equal((out == 0).any(dim=2), dropped)
    assert bool(dropped.any()) == (dropout > 0)
    assert not (block.eval()(x) == 0).any()


SHAPES = [(1, 1), (2, 9), (1, 1, 1), (3, 8, 9), (1, 28, 28), (2, 1, 9), (1, 5, 6, 7)]


@pytest.mark.parametrize("input_shape", SHAPES)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("norm", ["batch", "group", None])
def test_a_network_maps_samples_to_outputs(input_shape, pooling, norm):
    net = ConvNet(input_shape, 5, n_filters=4, pooling=pooling, norm=norm)
    out = net(torch.randn(3, *input_shape))
    assert out.shape == (3, 5)
    assert out.isfinite().all()


@pytest.mark.parametrize("n_layers", [1, 2, 5])
def test_layers_are_children_with_names(n_layers):
    net = ConvNet((1, 8, 8), 3, n_layers=n_layers, hidden_layer_sizes=(7, 6))
    blocks = [f"block{index}" for index in range(1, n_layers + 1)]
    expected = [*blocks, "flatten", "hidden1", "hidden2", "output"]
    assert [name for name, _ in net.named_children()] == expected


@pytest.mark.parametrize(
    ("n_filters", "growth", "expected"),
    [(32, 2, [32, 64, 128, 256]), (10, 1.5, [10, 15, 22, 34]), (4, 0.1, [4, 1, 1, 1])],
)
def test_maps_grow_from_block_to_block(n_filters, growth, expected):
    net = ConvNet((1, 8, 8), 3, n_layers=4, n_filters=n_filters, filter_growth=growth)
    widths = [block.conv.out_channels for block in net if isinstance(block, ConvBlock)]
    assert widths == expected


@pytest.mark.parametrize("sizes", [(), (7,), (7, 6, 5), [7, 6]])
def test_hidden_layers_have_their_widths(sizes):
    net = ConvNet((1, 8, 8), 3, hidden_layer_sizes=sizes)
    widths = [m.out_features for m in net.modules() if isinstance(m, nn.Linear)]
    assert widths == [*sizes, 3]


@pytest.mark.parametrize("size", [7, np.int64(7)])
def test_one_hidden_layer_may_be_an_integer_as_in_scikit_learn(size):
    net = ConvNet((1, 8, 8), 3, hidden_layer_sizes=size)
    assert net.hidden1[1].out_features == 7


@pytest.mark.parametrize("name", ["kernel_size", "stride", "pool_size"])
def test_sizes_may_be_integers_of_numpy(name):
    ours = ConvNet((1, 8, 8), 3, **{name: np.int64(2)})
    assert repr(ours) == repr(ConvNet((1, 8, 8), 3, **{name: 2}))


@pytest.mark.parametrize("name", ["kernel_size", "stride", "pool_size"])
@pytest.mark.parametrize("sizes", [(2,), (2, 2, 2), (0, 2), (-1, 2), (1.5, 2)])
def test_sizes_that_do_not_fit_the_axes_are_named(name, sizes):
    with pytest.raises(ValueError, match=name):
        ConvNet((1, 8, 8), 3, **{name: sizes})


def test_dropout_is_everywhere_but_between_the_last_block_and_the_head():
    net = ConvNet((1, 8, 8), 3, dropout=0.25, hidden_layer_sizes=(7,))
    rates = [block.dropout.p for block in net if isinstance(block, ConvBlock)]
    assert rates == [0.25, 0.25, 0.0]
    assert net.hidden1[0].p == net.output[0].p == 0.25


def test_samples_do_not_see_each_other_in_evaluation():
    torch.manual_seed(0)
    net = ConvNet((2, 9, 8), 3, norm="batch").eval()
    x = torch.randn(6, 2, 9, 8)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    torch.testing.assert_close(net(x[order]), net(x)[order])


@pytest.mark.parametrize("architecture", ["convnet", "lenet5"])
def test_a_network_without_its_last_layers_is_a_slice(architecture):
    net = build_module(architecture, (1, 14, 13), 3).eval()
    x = torch.randn(4, 1, 14, 13)
    assert torch.equal(net[-1](net[:-1](x)), net(x))
