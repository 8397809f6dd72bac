import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.runtime import make_generator
from skcnn.training.parts import MAX_PARTS, PART_FLOPS, add, count_parts, join
from skcnn.training.sums import FixedOrderSums

# samples, inputs, outputs
LINEAR_SHAPES = [(1, 10, 3), (8, 128, 10), (64, 2048, 10), (128, 512, 10), (40, 64, 64)]
# batches are seldom powers of two, and 7 or 100 classes as good as 10
LINEAR_SHAPES += [(6, 128, 10), (7, 256, 64), (9, 2048, 10), (37, 100, 7)]
LINEAR_SHAPES += [(33, 2048, 100), (65, 513, 10), (127, 400, 120)]
MAP_SHAPES = [(5, 32, 9, 9), (6, 8, 33, 33), (1, 16, 40, 40), (3, 6, 11, 11, 11)]
MAP_SHAPES += [(6, 8, 1100), (2, 4, 1)]


def random(generator, *shape, dtype=torch.float32):
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def linear(shape, dtype=torch.float32, has_bias=True, fixed=True):
    """Return output and gradients of a fully connected layer."""
    n_samples, n_inputs, n_outputs = shape
    generator = make_generator(0)
    x = random(generator, n_samples, n_inputs, dtype=dtype)
    weight = random(generator, n_outputs, n_inputs, dtype=dtype)
    bias = random(generator, n_outputs, dtype=dtype)
    leaves = [t.requires_grad_() for t in (x, weight, bias)[: 2 + has_bias]]
    with FixedOrderSums() if fixed else torch.enable_grad():
        out = F.linear(*leaves)
        out.backward(random(generator, *out.shape, dtype=dtype))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", LINEAR_SHAPES, ids=str)
def test_a_fully_connected_layer_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, shape, dtype
):
    assert_no_thread_count_matters(linear, shape, dtype)


@pytest.mark.parametrize("shape", LINEAR_SHAPES, ids=str)
def test_a_fully_connected_layer_in_parts_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, many_parts, shape
):
    assert_no_thread_count_matters(linear, shape)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", LINEAR_SHAPES, ids=str)
def test_a_fully_connected_layer_is_nearly_torchs(many_parts, shape, has_bias):
    for dtype, tolerance in [(torch.float32, 1e-3), (torch.float64, 1e-11)]:
        ours = linear(shape, dtype, has_bias)
        theirs = linear(shape, dtype, has_bias, fixed=False)
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_products_of_matrices_are_torchs(many_parts, shape):
    generator = make_generator(0)
    n, m = shape
    a, b, c = (random(generator, *s) for s in [(n, 4), (4, m), (n, m)])
    calls = [
        lambda: torch.addmm(c, a, b, beta=0.5, alpha=2),
        lambda: torch.addmm(c[:1], a, b),
        lambda: torch.addmm(c[:, :1], a, b),
        lambda: torch.mm(a, b, out=torch.empty(n, m)),
        lambda: torch.mm(a.to_sparse(), b),
    ]
    for call in calls:
        with FixedOrderSums():
            ours = call()
        torch.testing.assert_close(ours, call())


def group_norm(shape, layout, fixed=True):
    generator = make_generator(0)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    layer = nn.GroupNorm(2, shape[1])
    x, gradient = random(generator, *shape), random(generator, *shape)
    if layout == "last" and len(shape) in formats:
        x = x.contiguous(memory_format=formats[len(shape)])
    with FixedOrderSums() if fixed else torch.enable_grad():
        out = layer(x.requires_grad_())
        out.backward(gradient)
    return [out.detach(), x.grad, layer.weight.grad, layer.bias.grad]


@pytest.mark.parametrize("layout", ["last", "first"])
@pytest.mark.parametrize("shape", MAP_SHAPES, ids=str)
def test_group_norm_is_nearly_torchs_and_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, shape, layout
):
    assert_no_thread_count_matters(group_norm, shape, layout)
    ours, theirs = group_norm(shape, layout), group_norm(shape, layout, fixed=False)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_number_of_parts_is_a_power_of_two_that_the_work_and_the_axis_allow():
    for flops, length in itertools.product([0, 1e6, 1e8, 3e8, 1e9, 1e12], range(1, 40)):
        n_parts = count_parts(flops, length)
        assert n_parts in (1, 2, 4, 8)
        assert n_parts <= min(length, MAX_PARTS)
        assert n_parts == 1 or flops / n_parts >= PART_FLOPS


def test_parts_are_joined_and_added_in_their_order():
    parts = random(make_generator(0), 5, 3, 4).unbind()
    assert torch.equal(join(parts), torch.cat(parts))
    assert torch.equal(join(parts, axis=1), torch.cat(parts, 1))
    expected = (((parts[0] + parts[1]) + parts[2]) + parts[3]) + parts[4]
    assert torch.equal(add(parts), expected)
    assert join(parts[:1]) is add(parts[:1]) is parts[0]
    assert join([None, None]) is add([None, None]) is None


def test_small_floats_are_added_as_floats():
    ones = [torch.ones(1, dtype=torch.bfloat16)] * 300
    total = add([torch.full((1,), 256.0, dtype=torch.bfloat16), *ones])
    assert total == 556
    assert total.dtype == torch.bfloat16
