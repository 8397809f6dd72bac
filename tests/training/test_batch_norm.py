import pytest
import torch
from torch import nn

from skcnn.runtime import make_generator
from skcnn.training.sums import FixedOrderSums

BATCH_NORMS = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
SHAPES = [
    (2, 3, 4, 4),
    (7, 33, 5, 7),
    (64, 16, 8, 8),
    (40, 32, 16, 16),
    (3, 1, 9, 9),
    (1, 16, 8, 8),
    (3, 37, 90, 90),  # fewer samples than threads
    (9, 8, 3, 4, 5),
    # single pixels
    (7, 16, 1, 1),
    (64, 33, 1, 1),
    (9, 8, 1, 1, 1),
    (100, 65),
    (7, 33, 1),
]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


def random_maps(shape, generator, dtype):
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return x.contiguous(memory_format=FORMATS.get(len(shape), torch.contiguous_format))


def batch_norm(shape, dtype=torch.float32, fixed=True, **options):
    """Return output, gradients and statistics after two batches."""
    generator = make_generator(0)
    layer = BATCH_NORMS[len(shape)](shape[1], **options)
    if layer.affine:
        with torch.no_grad():
            layer.weight += 0.1 * torch.arange(shape[1])
    if dtype == torch.float64:
        layer.double()
    for _ in range(2):
        x = random_maps(shape, generator, dtype).requires_grad_()
        gradient = random_maps(shape, generator, dtype)
        with FixedOrderSums() if fixed else torch.enable_grad():
            out = layer(x)
            out.backward(gradient)
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    return [out.detach(), *gradients, *layer.buffers()]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, any_parts, shape, dtype
):
    assert_no_thread_count_matters(batch_norm, shape, dtype)


def assert_nearly_torchs(shape, dtype, rtol, atol, **options):
    ours = batch_norm(shape, dtype, **options)
    theirs = batch_norm(shape, dtype, fixed=False, **options)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_is_nearly_torchs(any_parts, shape):
    assert_nearly_torchs(shape, torch.float32, rtol=1e-3, atol=2e-3)
    assert_nearly_torchs(shape, torch.float64, rtol=1e-11, atol=1e-11)
    assert_nearly_torchs(shape, torch.bfloat16, rtol=0.05, atol=0.05)


OPTIONS = [
    {"momentum": 0.5},
    {"momentum": None},
    {"eps": 1},
    {"affine": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_of_batch_norm_have_their_effect(any_parts, options):
    assert_nearly_torchs((6, 4, 5, 5), torch.float64, 1e-11, 1e-11, **options)


@pytest.mark.parametrize("offset", [0, 10, 100, 1000])
def test_batch_norm_of_maps_far_from_0_is_as_exact_as_torchs(any_parts, offset):
    generator = make_generator(0)
    x = offset + torch.randn(64, 16, 8, 8, generator=generator)
    gradient = torch.randn(x.shape, generator=generator)

    def errors(layer, expected=(0, 0, 0), fixed=False):
        dtype = layer.weight.dtype
        leaf = x.to(dtype, memory_format=torch.channels_last).requires_grad_()
        with FixedOrderSums() if fixed else torch.enable_grad():
            out = layer(leaf)
            out.backward(gradient.to(dtype))
        values = out.detach(), leaf.grad, layer.weight.grad
        return [v.double() - e for v, e in zip(values, expected, strict=True)]

    exact = errors(nn.BatchNorm2d(16).double())
    ours = errors(nn.BatchNorm2d(16), exact, fixed=True)
    theirs = errors(nn.BatchNorm2d(16), exact)
    for our, their in zip(ours, theirs, strict=True):
        assert our.abs().max() <= 5 * their.abs().max()


@pytest.mark.parametrize("shape", [(6, 4, 5, 5), (6, 4, 3, 3, 3), (33, 33, 32, 32)])
@pytest.mark.parametrize("layout", ["last", "first", "strided"])
def test_frozen_statistics_are_used_and_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, any_parts, shape, layout
):
    layer = BATCH_NORMS[len(shape)](shape[1])
    layer(2 + 3 * torch.randn(shape, generator=make_generator(1)))
    layer.eval()

    def run(fixed=True):
        layer.zero_grad()
        x = random_maps(shape, make_generator(0), torch.float32)
        if layout == "first":
            x = x.contiguous()
        elif layout == "strided":
            x = x[..., ::2]
        x.requires_grad_()
        with FixedOrderSums() if fixed else torch.enable_grad():
            out = layer(x)
            out.square().sum().backward()
        return [out.detach(), x.grad, layer.weight.grad, layer.bias.grad]

    assert_no_thread_count_matters(run)
    for ours, theirs in zip(run(), run(fixed=False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_one_value_for_each_channel_is_refused_as_by_torch():
    x = torch.zeros(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    layer = nn.BatchNorm2d(3)
    with FixedOrderSums(), pytest.raises(ValueError, match="more than 1 value per"):
        layer(x)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_batch_norm_are_the_slopes(any_parts, training):
    generator = make_generator(0)
    shape = (3, 2, 2, 3)
    x = random_maps(shape, generator, torch.float64).requires_grad_()
    weight, bias = torch.randn(2, 2, generator=generator, dtype=torch.float64)
    statistics = None, None
    if not training:
        statistics = torch.zeros(2).double(), 2 * torch.ones(2).double()

    def function(x, weight, bias):
        return nn.functional.batch_norm(x, *statistics, weight, bias, training=training)

    leaves = x, weight.requires_grad_(), bias.requires_grad_()
    with FixedOrderSums():
        assert torch.autograd.gradcheck(function, leaves)
        assert torch.autograd.gradgradcheck(function, leaves)
