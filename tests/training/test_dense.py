from itertools import product

import pytest
import torch
from torch import nn

from skcnn.runtime import make_generator
from skcnn.training import dense

# Sides of the map, of the filters, and padding.
DENSE = {
    "one pixel": ((1, 1), 3, 1),
    "one pixel, no padding": ((1, 1), 1, 0),
    "2 x 2": ((2, 2), 3, 1),
    "a row": ((1, 2), 3, 1),
    "a filter of the size of the map": ((3, 2), (3, 2), 0),
    "fewer pixels come out": ((3, 2), (4, 3), 1),
    "more pixels come out": ((1, 1), 2, 1),
    "3 x 3": ((3, 3), 5, 2),
}
PADDED = {
    "4 x 4": ((4, 4), 3, 1),
    "one side is too long": ((2, 3), 3, 1),
    "a pixel sees padding alone": ((1, 1), 1, 1),
    "so does one at the end": ((2, 2), 3, 2),
}


def make_arguments(sides, kernel, padding, n_samples=144):
    """Return a layer in double precision, and a batch with channels last."""
    layer = nn.Conv2d(3, 4, kernel, padding=padding).double()
    batch = torch.rand(
        (n_samples, 3, *sides), dtype=torch.float64, generator=make_generator(0)
    )
    return layer, batch.contiguous(memory_format=torch.channels_last)


def geometry_of(layer):
    """Return the arguments of ``convolution`` that are not tensors."""
    sizes = layer.stride, layer.padding, layer.dilation
    return *sizes, layer.transposed, layer.output_padding, layer.groups


@pytest.mark.parametrize("name", [*DENSE, *PADDED])
def test_the_layers_whose_outputs_see_all_of_the_input_are_found(name):
    layer, x = make_arguments(*(DENSE | PADDED)[name])
    nn.init.ones_(layer.weight)
    # the gradient of one output says what it sees
    seen = torch.autograd.functional.jacobian(lambda x: layer(x)[0, 0], x[:1])
    assert bool(seen.all()) == (name in DENSE)
    assert dense.is_dense(x, layer.weight, geometry_of(layer)) == (name in DENSE)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("name", DENSE)
def test_products_are_the_convolution_and_its_gradients(name, has_bias, channels_last):
    layer, x = make_arguments(*DENSE[name])
    if not channels_last:
        x = x.contiguous()
    if not has_bias:
        layer.bias = None
    x.requires_grad_()
    out = layer(x)
    grad = torch.randn(out.shape, dtype=torch.float64, generator=make_generator(1))
    out.backward(grad)
    weight, geometry = layer.weight.detach(), geometry_of(layer)
    bias = layer.bias.detach() if has_bias else None
    arguments = x.detach(), weight, geometry
    pairs = [
        (dense.convolve(*arguments[:2], bias, geometry), out.detach()),
        (dense.input_gradient(grad, *arguments), x.grad),
        (dense.weight_gradient(grad, *arguments), layer.weight.grad),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "change",
    [{"stride": 2}, {"dilation": 2}, {"groups": 3}],
    ids=lambda change: next(iter(change)),
)
def test_other_geometries_are_left_to_torch(change):
    layer = nn.Conv2d(3, 3, 3, padding=1, **change)
    x = torch.zeros(144, 3, 1, 1)
    assert not dense.is_dense(x, layer.weight, geometry_of(layer))
    layer = nn.ConvTranspose2d(3, 3, 3, padding=1)
    assert not dense.is_dense(x, layer.weight, geometry_of(layer))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sums_in_reduced_precision_are_left_to_torch(dtype):
    layer = nn.Conv2d(3, 3, 3, padding=1)
    x = torch.zeros(144, 3, 1, 1, dtype=dtype)
    assert not dense.is_dense(x, layer.weight.to(dtype), geometry_of(layer))


def test_few_samples_do_not_pay_for_a_matrix():
    pays = {}
    for n_samples, side in product((1, 16, 64, 144), (1, 2, 3)):
        layer, x = make_arguments((side, side), 5, 2, n_samples)
        pays[n_samples, side] = dense.is_dense(x, layer.weight, geometry_of(layer))
    assert [key for key, value in pays.items() if not value] == [
        (1, 2),
        (1, 3),
        (16, 2),
        (16, 3),
        (64, 3),
    ]
