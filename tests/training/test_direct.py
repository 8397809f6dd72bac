import copy
import gc
import weakref
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode

from skcnn.modules import ConvNet, Dropout, build_module
from skcnn.runtime import make_generator
from skcnn.training import convolution, direct, known
from skcnn.training.sums import FixedOrderSums

ARCHITECTURES = {
    "default": {},
    "average pooling": {"pooling": "avg"},
    "steps": {"pooling": "stride"},
    "no pooling": {"pooling": None, "n_layers": 1},
    "no norm": {"norm": None},
    "no norm, no pooling": {"norm": None, "pooling": None, "n_layers": 1},
    "windows of 3 x 2": {"pool_size": (3, 2)},
    "large filters": {"kernel_size": 5, "stride": 2, "n_layers": 2},
    "even filters": {"kernel_size": (2, 3)},
    "leaky": {"activation": "leaky_relu"},
    "linear": {"activation": "identity"},
    "dropout": {"dropout": 0.3},
    "hidden layers": {"hidden_layer_sizes": (20, 10), "dropout": 0.2},
}
SHAPES = [(1, 28, 28), (3, 15, 13)]


def build(shape=(1, 8, 8), dtype=torch.float32, **hyperparameters):
    hyperparameters = {"n_filters": 8, "n_layers": 3, **hyperparameters}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ConvNet(shape, 3, **hyperparameters)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):  # weights of both signs
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return network.to(memory_format=torch.channels_last, dtype=dtype)


def make_batch(n, shape, dtype=torch.float32):
    X = torch.randn(n, *shape, generator=make_generator(0), dtype=torch.float64)
    X = X.to(dtype).contiguous(memory_format=torch.channels_last)
    return X, torch.arange(n) % 3


def is_known(*args):
    with FixedOrderSums():
        return known.is_known(*args) and known.is_ready(args[0])


def give_generator(network):
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.generator = make_generator(1)


def step(network, X, y, dtype=None):
    """Return what a copy of a network has after its passes, and the copy."""
    network = copy.deepcopy(network)
    give_generator(network)
    with FixedOrderSums(), direct.passes(dtype or X.dtype) as passes:
        out = passes.run(network, X)
        F.cross_entropy(out, y).backward()
    return values_after(network, out), network


def torch_step(network, X, y, dtype=None):
    """Return what a copy of a network has after torch's own passes."""
    network = copy.deepcopy(network)
    give_generator(network)
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        out = network(X).to(X.dtype)
    F.cross_entropy(out, y).backward()
    return values_after(network, out)


def values_after(network, out):
    gradients = [p.grad for p in network.parameters()]
    return [out.detach(), *gradients, *network.buffers()]


# -- what comes out -----------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_is_that_of_the_network(name, shape):
    network = build(shape, torch.float64, **ARCHITECTURES[name])
    batch = make_batch(11, shape, torch.float64)
    (ours, _), theirs = step(network, *batch), torch_step(network, *batch)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_in_bfloat16_is_as_exact_as_autocast(many_parts, name, shape):
    network = build(shape, **ARCHITECTURES[name])
    batch = make_batch(33, shape)
    (exact, _), (ours, _) = step(network, *batch), step(network, *batch, torch.bfloat16)
    theirs = torch_step(network, *batch, torch.bfloat16)
    for a, b, c in zip(exact, ours, theirs, strict=True):
        assert b.dtype == a.dtype
        assert distance(a, b) <= 1.5 * distance(a, c) + 1e-3


def distance(a, b):
    """Return by which part of the largest value, typically, two tensors differ."""
    a, b = a.double(), b.double()
    return (a - b).square().mean().sqrt() / a.abs().max().clamp_min(1e-12)


OTHER_LAYERS = {
    "windows that overlap": ("block1.pool", nn.MaxPool2d(3, 2, padding=1)),
    "windows with gaps": ("block1.pool", nn.MaxPool2d(2, dilation=2)),
    "windows of one size": ("block1.pool", nn.MaxPool2d(2, ceil_mode=True)),
    "in place": ("block2.activation", nn.ReLU(inplace=True)),
    "leaky in place": ("block2.activation", nn.LeakyReLU(0.2, inplace=True)),
    "groups": ("block2.conv", nn.Conv2d(8, 16, 3, padding=1, dilation=1, groups=4)),
    "dilation": ("block2.conv", nn.Conv2d(8, 16, 3, padding=2, dilation=2)),
    "bias before norm": ("block2.conv", nn.Conv2d(8, 16, 3, padding=1)),
}


@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_a_step_is_that_of_a_network_with_other_layers(name):
    network = build((1, 16, 16), n_layers=2, pool_size=1)
    target, layer = OTHER_LAYERS[name]
    network.set_submodule(target, layer)
    network.output[-1] = nn.LazyLinear(3)
    batch = make_batch(5, (1, 16, 16), torch.float64)
    network.double()(batch[0])  # which tells the last layer how many values come
    network.to(memory_format=torch.channels_last)
    (ours, _), theirs = step(network, *batch), torch_step(network, *batch)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "shape"),
    [
        (65, SHAPES[1]),
        pytest.param(65, SHAPES[0], marks=pytest.mark.slow),
        pytest.param(3, SHAPES[0], marks=pytest.mark.slow),
        pytest.param(3, SHAPES[1], marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_number_of_threads_matters(
    assert_no_thread_count_matters, any_parts, name, shape, n
):
    network = build(shape, **ARCHITECTURES[name])
    give_generator(network)
    assert is_known(network, nn.CrossEntropyLoss(), n)
    batch = make_batch(n, shape)
    assert_no_thread_count_matters(lambda: step(network, *batch)[0])


@pytest.mark.parametrize("name", ["default", "average pooling", "no norm", "dropout"])
def test_no_number_of_threads_matters_in_bfloat16(
    assert_no_thread_count_matters, any_parts, name
):
    network = build(SHAPES[1], **ARCHITECTURES[name])
    batch = make_batch(33, SHAPES[1])
    assert_no_thread_count_matters(lambda: step(network, *batch, torch.bfloat16)[0])


def test_gradients_are_laid_out_like_the_weights():
    _, network = step(build(), *make_batch(4, (1, 8, 8)))
    assert all(p.grad.stride() == p.stride() for p in network.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("n_threads", [1, 4])
def test_gradients_have_no_record(set_threads, any_parts, n_threads, shape):
    set_threads(n_threads)
    batch = make_batch(64, shape)
    _, network = step(build(shape, n_filters=16), *batch)
    assert not any(p.grad.requires_grad for p in network.parameters())


def test_gradients_add_up():
    X, y = make_batch(4, (1, 8, 8))
    network = build(norm=None)
    (_, *once), _ = step(network, X, y)
    for _ in range(2):
        with FixedOrderSums(), direct.passes(X.dtype) as passes:
            F.cross_entropy(passes.run(network, X), y).backward()
    for gradient, p in zip(once, network.parameters(), strict=True):
        torch.testing.assert_close(p.grad, 2 * gradient)


def test_one_value_of_a_channel_has_no_statistics():
    X, y = make_batch(1, (1, 1, 1))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        step(build((1, 1, 1)), X, y)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_of_a_step(fails, monkeypatch):
    lefts = []

    def input_gradient(grad, x, *args):
        lefts.append(weakref.ref(x))
        if fails:
            raise ZeroDivisionError
        return convolution.input_gradient(grad, x, *args)

    monkeypatch.setattr(direct, "input_gradient", input_gradient)
    with suppress(ZeroDivisionError):
        step(build(), *make_batch(4, (1, 8, 8)))
    gc.collect()
    assert len(lefts) == (1 if fails else 2)
    assert all(left() is None for left in lefts)


# -- where it may run ---------------------------------------------------------


def test_an_error_leaves_the_mode_in_place():
    seen = []
    with FixedOrderSums() as mode:
        with suppress(ZeroDivisionError), direct.passes(torch.float32):
            seen.append(_get_current_dispatch_mode())
            raise ZeroDivisionError
        assert seen == [None]
        assert _get_current_dispatch_mode() is mode


def test_without_the_mode_a_network_is_not_ready():
    assert not known.is_ready(build())


class OtherNet(ConvNet):
    pass


class OtherLinear(nn.Linear):
    pass


def freeze(network):
    network.block1.conv.weight.requires_grad_(False)


CHANGES = {
    "evaluation": lambda network: network.block1.norm.eval(),
    "frozen weight": freeze,
    "forward hook": lambda network: network.block1.pool.register_forward_hook(print),
    "hook of a gradient": lambda network: network.block1.conv.weight.register_hook(
        print
    ),
    "hook after a gradient": lambda network: (
        network.block1.conv.weight.register_post_accumulate_grad_hook(print)
    ),
    "backward hook": lambda network: network.block1.register_full_backward_hook(print),
    "other forward": lambda network: setattr(network.block1, "forward", abs),
    "mean of all batches": lambda network: setattr(
        network.block1.norm, "momentum", None
    ),
    "other layer": lambda network: setattr(
        network, "output", nn.Sequential(OtherLinear(2, 2))
    ),
    "other padding": lambda network: setattr(
        network.block1.conv, "padding_mode", "circular"
    ),
    "same padding": lambda network: setattr(network.block1.conv, "padding", "same"),
    "padding in one number": lambda network: setattr(network.block1.conv, "padding", 1),
    "no bias": lambda network: setattr(network.output[-1], "bias", None),
    "no bias of a norm": lambda network: setattr(network.block1.norm, "bias", None),
    "no counter": lambda network: setattr(
        network.block1.norm, "num_batches_tracked", None
    ),
    "other method": lambda network: setattr(network.block1, "finish", abs),
    "other convolution": lambda network: setattr(
        network.block1.conv, "_conv_forward", abs
    ),
    "layer before a block": lambda network: setattr(
        network, "block1", nn.Sequential(nn.BatchNorm2d(1), network.block1)
    ),
    "layer in a head": lambda network: network.output.insert(0, nn.Conv2d(1, 1, 1)),
    "layer after the head": lambda network: network.append(nn.Identity()),
    "bare head": lambda network: setattr(network, "output", network.output[-1]),
    "softmax": lambda network: network.output.append(nn.LogSoftmax(1)),
    "empty head": lambda network: setattr(network, "output", nn.Sequential()),
    "layer of a block": lambda network: network.block1.add_module("more", nn.ReLU()),
    "other flattening": lambda network: setattr(network, "flatten", nn.Flatten(2)),
    "other dropout": lambda network: setattr(
        network.block1, "dropout", nn.Sequential(nn.Conv2d(8, 8, 1))
    ),
    "dropout without generator": lambda network: setattr(
        network.block1, "dropout", Dropout(0.5)
    ),
    "layers in other places": lambda network: setattr(
        network.block1, "norm", nn.ReLU()
    ),
    "doubles": lambda network: network.double(),
    "other network": lambda network: setattr(network, "__class__", OtherNet),
    "parametrization": lambda network: nn.utils.parametrizations.weight_norm(
        network.block1.conv
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_network_that_was_changed_is_not_known(name):
    network = build()
    assert is_known(network, nn.CrossEntropyLoss(), 128)
    CHANGES[name](network)
    assert not is_known(network, nn.CrossEntropyLoss(), 128)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"activation": "gelu"},
        {"norm": "group"},
        {"activation": nn.PReLU},
        {"kernel_size": 1, "stride": 2},
    ],
    ids=str,
)
def test_other_layers_are_not_known(hyperparameters):
    assert not is_known(build(**hyperparameters), nn.CrossEntropyLoss(), 128)


@pytest.mark.parametrize("shape", [(1, 30), (1, 6, 6, 6)], ids=str)
def test_other_numbers_of_axes_are_not_known(shape):
    network = build_module("convnet", shape, 3)
    assert not is_known(network, nn.CrossEntropyLoss(), 128)


def test_no_network_is_known_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_known(build(), nn.CrossEntropyLoss(), 128)


def use_twice(network):
    activation = nn.ReLU()
    head = nn.Sequential(nn.Linear(16, 16), activation, nn.Linear(16, 3), activation)
    network.output = nn.Sequential(nn.Linear(32, 16), *head, nn.Linear(3, 3))


def use_blocks_twice(network):
    network.block3 = network.block2 = network.block1


@pytest.mark.parametrize("change", [use_twice, use_blocks_twice])
def test_a_layer_in_two_places_runs_twice(change):
    shape = (8, 8, 8)
    network = build(shape, filter_growth=1, pooling=None, n_layers=3)
    if change is use_twice:
        network = build(shape)
    change(network)
    assert is_known(network, nn.CrossEntropyLoss(), 4)
    network.double()
    batch = make_batch(4, shape, torch.float64)
    (ours, _), theirs = step(network, *batch), torch_step(network, *batch)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_other_losses_and_many_outputs_are_not_known():
    assert is_known(build(), nn.MSELoss(), 128)
    assert not is_known(build(), nn.L1Loss(), 128)
    assert not is_known(build(), nn.CrossEntropyLoss(), 10000)


def test_other_optimisers_are_not_fused():
    parameters = [nn.Parameter(torch.ones(3))]
    assert known.is_fused(torch.optim.AdamW(parameters, fused=True))
    assert not known.is_fused(torch.optim.AdamW(parameters))
    assert not known.is_fused(torch.optim.RMSprop(parameters))
    for register in ("register_step_pre_hook", "register_step_post_hook"):
        optimizer = torch.optim.AdamW(parameters, fused=True)
        getattr(optimizer, register)(print)
        assert not known.is_fused(optimizer)
