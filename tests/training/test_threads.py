import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.training import make_generator
from skcnn.training.threads import SMALL_BATCH_FLOPS, FixedOrderSums, fitting_threads

LARGE = 2 * SMALL_BATCH_FLOPS
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
# samples, inputs, outputs
LINEAR_SHAPES = [(1, 10, 3), (8, 128, 10), (64, 2048, 10), (128, 512, 10), (40, 64, 64)]
# batches are seldom powers of two, and 7 or 100 classes as good as 10
ODD_LINEAR_SHAPES = [(6, 128, 10), (7, 256, 64), (9, 2048, 10), (37, 100, 7)]
ODD_LINEAR_SHAPES += [(33, 2048, 100), (65, 513, 10), (127, 400, 120)]
MAP_SHAPES = [
    (2, 3, 4, 4),
    (7, 33, 5, 7),
    (64, 16, 8, 8),
    (40, 32, 16, 16),
    (3, 1, 9, 9),
    (1, 16, 8, 8),
    (9, 8, 3, 4, 5),
]
SINGLE_PIXELS = [(7, 16, 1, 1), (64, 33, 1, 1), (128, 64, 1, 1), (9, 8, 1, 1, 1)]


def linear(shape, dtype=torch.float32):
    """Return output and gradients of a fully connected layer."""
    n_samples, n_inputs, n_outputs = shape
    generator = make_generator(0)

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    x, weight = random(n_samples, n_inputs), random(n_outputs, n_inputs)
    leaves = [t.requires_grad_() for t in (x, weight, random(n_outputs))]
    out = F.linear(*leaves)
    out.backward(random(*out.shape))
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def batch_norm(shape, dtype=torch.float32):
    """Return output, gradients and statistics of channels-last batch norm."""
    generator = make_generator(0)
    layer = BATCH_NORMS[len(shape) - 2](shape[1]).to(dtype)

    def random():
        x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        return x.contiguous(memory_format=FORMATS[len(shape)])

    with torch.no_grad():
        layer.weight += 0.1 * torch.arange(shape[1])
    for _ in range(2):
        x = random().requires_grad_()
        out = layer(x)
        out.backward(random())
    statistics = [layer.running_mean, layer.running_var]
    return [out.detach(), x.grad, layer.weight.grad, layer.bias.grad, *statistics]


def in_fixed_order(function, *args):
    with FixedOrderSums():
        return function(*args)


def assert_no_thread_count_matters(set_threads, function, *args):
    results = []
    for n_threads in (1, 2, 4):
        set_threads(n_threads)
        results.append(in_fixed_order(function, *args))
    for other in results[1:]:
        equal = [torch.equal(a, b) for a, b in zip(results[0], other, strict=True)]
        assert all(equal), equal


@pytest.mark.parametrize("shape", LINEAR_SHAPES, ids=str)
def test_a_fully_connected_layer_is_the_same_with_1_2_and_4_threads(set_threads, shape):
    assert_no_thread_count_matters(set_threads, linear, shape)


@pytest.mark.parametrize("shape", ODD_LINEAR_SHAPES, ids=str)
def test_a_fully_connected_layer_of_odd_shape_is_the_same_with_1_2_and_4_threads(
    set_threads, shape
):
    assert_no_thread_count_matters(set_threads, linear, shape)


@pytest.mark.parametrize("shape", MAP_SHAPES, ids=str)
def test_batch_norm_is_the_same_with_1_2_and_4_threads(set_threads, shape):
    assert_no_thread_count_matters(set_threads, batch_norm, shape)


@pytest.mark.parametrize("shape", SINGLE_PIXELS, ids=str)
def test_batch_norm_of_single_pixels_is_the_same_with_1_2_and_4_threads(
    set_threads, shape
):
    assert_no_thread_count_matters(set_threads, batch_norm, shape)


def assert_nearly_torch(function, *args, rtol, atol):
    ours, theirs = in_fixed_order(function, *args), function(*args)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", LINEAR_SHAPES + ODD_LINEAR_SHAPES, ids=str)
def test_a_fully_connected_layer_is_nearly_torchs(shape):
    assert_nearly_torch(linear, shape, rtol=1e-4, atol=1e-3)
    assert_nearly_torch(linear, shape, torch.float64, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("shape", MAP_SHAPES + SINGLE_PIXELS, ids=str)
def test_batch_norm_is_nearly_torchs(shape):
    assert_nearly_torch(batch_norm, shape, rtol=1e-3, atol=2e-3)
    assert_nearly_torch(batch_norm, shape, torch.float64, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("offset", [0, 10, 100, 1000])
def test_batch_norm_of_maps_far_from_0_is_as_exact_as_torchs(offset):
    generator = make_generator(0)
    x = offset + torch.randn(64, 16, 8, 8, generator=generator)
    gradient = torch.randn(x.shape, generator=generator)

    def errors(layer, expected=(0, 0, 0)):
        dtype = layer.weight.dtype
        leaf = x.to(dtype, memory_format=torch.channels_last).requires_grad_()
        out = layer(leaf)
        out.backward(gradient.to(dtype))
        values = out.detach(), leaf.grad, layer.weight.grad
        return [v.double() - e for v, e in zip(values, expected, strict=True)]

    exact = errors(nn.BatchNorm2d(16).double())
    ours = in_fixed_order(errors, nn.BatchNorm2d(16), exact)
    theirs = errors(nn.BatchNorm2d(16), exact)
    for our, their in zip(ours, theirs, strict=True):
        assert our.abs().max() <= 5 * their.abs().max()


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"momentum": None}, {"eps": 1}])
def test_options_of_batch_norm_have_their_effect(options):
    x = torch.randn(6, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    layers = [nn.BatchNorm2d(4, **options) for _ in range(2)]
    for _ in range(3):
        out = layers[0](x)
        ours = in_fixed_order(layers[1], x)
        torch.testing.assert_close(ours, out, rtol=1e-4, atol=1e-5)
    for name, value in layers[0].state_dict().items():
        torch.testing.assert_close(layers[1].state_dict()[name], value)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4).eval(),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Sequential(nn.Flatten(2), nn.Linear(25, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(100, 3, bias=False)),
        nn.Sequential(nn.Flatten(2), nn.BatchNorm1d(4)),
    ],
    ids=repr,
)
def test_layers_of_every_kind_give_nearly_what_they_give_without(layer):
    x = torch.randn(6, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(in_fixed_order(layer, x), layer(x))


def test_one_value_for_each_channel_is_refused_as_by_torch():
    x = torch.zeros(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        in_fixed_order(nn.BatchNorm2d(3), x)


def test_layers_under_autocast_compute_in_bfloat16():
    with FixedOrderSums(), torch.autocast("cpu", torch.bfloat16):
        assert nn.Linear(3, 3)(torch.ones(2, 3)).dtype == torch.bfloat16


def numeric_layers():
    double = {"dtype": torch.float64}
    yield nn.Linear(3, 2, **double), torch.randn(5, 3, **double)
    maps = torch.randn(3, 2, 2, 3, **double)
    yield (
        nn.BatchNorm2d(2, **double),
        maps.contiguous(memory_format=torch.channels_last),
    )


@pytest.mark.parametrize(("layer", "x"), list(numeric_layers()), ids=["linear", "norm"])
def test_gradients_are_the_slopes(layer, x):
    parameters = [p.detach() for p in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]

    def function(x, *values):
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, state, (x,))

    leaves = [t.clone().requires_grad_() for t in (x, *parameters)]
    with FixedOrderSums():
        assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.parametrize("before", [1, 2, 3])
def test_small_fits_use_one_thread_and_large_ones_all(set_threads, before):
    set_threads(before)
    with fitting_threads(SMALL_BATCH_FLOPS / 2) as n_threads:
        assert n_threads == torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with fitting_threads(LARGE) as n_threads:
        assert n_threads == torch.get_num_threads() == before
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("flops", [1, LARGE])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_number_of_threads_comes_back_after_an_exception(set_threads, flops, error):
    set_threads(3)
    with pytest.raises(error), fitting_threads(flops):
        raise error
    assert torch.get_num_threads() == 3
    with fitting_threads(LARGE) as n_threads:
        assert n_threads == 3


def test_the_number_of_threads_comes_back_after_nested_fits(set_threads):
    set_threads(3)
    with fitting_threads(LARGE):
        with fitting_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_comes_back_after_overlapping_fits(set_threads, fails):
    set_threads(3)
    barrier = threading.Barrier(4)

    def fit(worker):
        for turn in range(5):
            barrier.wait()
            flops = LARGE if (worker + turn) % 2 else 1
            try:
                with fitting_threads(flops):
                    torch.ones(100).sum()
                    if fails and worker == turn % 4:
                        raise ValueError
            except ValueError:
                pass
        barrier.wait()
        return torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fit, range(4))) == {3}
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


def test_fixed_sums_hold_for_their_thread_only():
    inside = threading.Event()
    done = threading.Event()
    shape = (37, 64, 5)
    expected = linear(shape)

    def hold():
        with FixedOrderSums():
            inside.set()
            done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        inside.wait(10)
        results = linear(shape)
        done.set()
        holding.result()
    for ours, theirs in itertools.zip_longest(results, expected):
        np.testing.assert_array_equal(ours, theirs)
