import copy
import random
from operator import le

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.runtime import make_generator
from skcnn.training import convolution
from skcnn.training.convolution import MAX_SUMMED_WEIGHTS
from skcnn.training.sums import FixedOrderSums

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
# Layers and shapes whose gradients depended on the number of threads, or whose
# outputs did, with torch's own kernels.
SHARED_SUMS = {
    "6 filters": (nn.Conv2d(3, 6, 5, padding=2), (128, 3, 16, 16)),
    "16 filters": (nn.Conv2d(6, 16, 5), (128, 6, 16, 16)),
    "one filter": (nn.Conv2d(1, 1, 3, padding=1), (64, 1, 16, 16)),
    "at 3 threads": (nn.Conv2d(32, 32, 3, padding=1), (64, 32, 16, 16)),
    "2 x 2 maps": (nn.Conv2d(64, 128, 3, padding=1, bias=False), (100, 64, 2, 2)),
    "volumes": (nn.Conv3d(2, 32, 3, padding=1), (32, 2, 8, 8, 8)),
    "small volumes": (nn.Conv3d(64, 128, 3, padding=1), (16, 64, 2, 2, 2)),
    "signals": (nn.Conv1d(32, 64, 3, stride=2, padding=1, dilation=2), (100, 32, 257)),
    "depthwise": (nn.Conv2d(32, 32, 3, groups=32), (64, 32, 16, 16)),
    "transposed": (nn.ConvTranspose2d(16, 16, 3), (64, 16, 16, 16)),
    "two samples": (nn.Conv2d(3, 64, 5, stride=2, padding=5), (2, 3, 14, 14)),
    "dilated": (nn.Conv2d(32, 16, 5, padding=5, dilation=2), (33, 32, 7, 7)),
    "grouped": (nn.Conv2d(192, 48, 1, groups=3), (2, 192, 2, 2)),
    "large signals": (nn.Conv1d(64, 128, 5, padding=2), (64, 64, 256)),
    "many weights": (nn.Conv2d(192, 192, 3, padding=1), (24, 192, 8, 8)),
    "in parts": (nn.Conv2d(64, 64, 3, padding=1), (96, 64, 8, 8)),
}


def run(layer, x, gradient, fixed=True):
    """Return output and gradients of a copy of the layer."""
    layer, x = copy.deepcopy(layer), x.detach().requires_grad_(x.requires_grad)
    with FixedOrderSums() if fixed else torch.enable_grad():
        out = layer(x)
        out.backward(gradient)
    return [out.detach(), x.grad, *(p.grad for p in layer.parameters())]


def make_arguments(layer, shape, dtype=torch.float32, channels_last=True):
    """Return the layer, an input and the gradient of its output."""
    generator = make_generator(0)
    layer = copy.deepcopy(layer).to(dtype)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        out = layer(x)
    gradient = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    gradient = gradient.to(dtype)
    if channels_last and x.ndim in FORMATS:
        memory = {"memory_format": FORMATS[x.ndim]}
        layer = layer.to(**memory)
        x, gradient = x.contiguous(**memory), gradient.contiguous(**memory)
    return layer, x.requires_grad_(), gradient


@pytest.mark.parametrize(
    "channels_last", [True, pytest.param(False, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", SHARED_SUMS)
def test_a_convolution_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, any_parts, name, channels_last
):
    layer, shape = SHARED_SUMS[name]
    arguments = make_arguments(layer, shape, channels_last=channels_last)
    assert_no_thread_count_matters(run, *arguments)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["volumes", "two samples", "transposed"])
def test_a_convolution_in_any_precision_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, name, dtype
):
    layer, shape = SHARED_SUMS[name]
    shape = (min(8, shape[0]), *shape[1:])
    assert_no_thread_count_matters(run, *make_arguments(layer, shape, dtype))


def random_layer(seed):
    """Return a convolution of any kind, and a small shape for it."""
    rng = random.Random(seed)
    n_axes = rng.choice([1, 2, 2, 3])
    groups = rng.choice([1, 1, 1, 2, 3])
    n_inputs, n_outputs = (groups * rng.choice([1, 2, 3, 5]) for _ in range(2))
    options = {"groups": groups, "bias": rng.random() < 0.5}
    kernel = [rng.choice([1, 2, 3, 4]) for _ in range(n_axes)]
    if rng.random() < 0.25:
        # torch itself writes out of bounds where windows do not touch
        options["stride"] = rng.randint(1, min(kernel))
        options["output_padding"] = rng.randrange(options["stride"])
        options["padding"] = min(rng.choice([0, 1]), min(kernel) - 1)
        layer = TRANSPOSED[n_axes](n_inputs, n_outputs, kernel, **options)
    else:
        options["padding"] = rng.choice([0, 1, 2, "same", "valid"])
        options["padding_mode"] = rng.choice(["zeros", "zeros", "circular", "reflect"])
        options["dilation"] = rng.choice([1, 1, 2])
        if options["padding"] != "same":
            options["stride"] = [rng.choice([1, 1, 2, 3]) for _ in range(n_axes)]
        layer = CONVOLUTIONS[n_axes](n_inputs, n_outputs, kernel, **options)
    sides = [rng.choice([8, 9, 11]) for _ in range(n_axes)]
    return layer, (rng.choice([1, 2, 3, 9]), n_inputs, *sides)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    "seed",
    [*range(20), *(pytest.param(n, marks=pytest.mark.slow) for n in range(20, 60))],
)
def test_a_convolution_of_any_kind_is_torchs(
    assert_no_thread_count_matters, any_parts, seed
):
    layer, shape = random_layer(seed)
    arguments = make_arguments(layer, shape, torch.float64, channels_last=seed % 3)
    for ours, theirs in zip(run(*arguments), run(*arguments, fixed=False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    arguments = make_arguments(layer, shape, channels_last=seed % 3)
    assert_no_thread_count_matters(run, *arguments)


def test_a_convolution_of_many_weights_is_torchs(any_parts):
    layer, shape = SHARED_SUMS["many weights"]
    assert layer.weight.numel() > MAX_SUMMED_WEIGHTS
    arguments = make_arguments(layer, (4, *shape[1:]), torch.float64)
    for ours, theirs in zip(run(*arguments), run(*arguments, fixed=False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


SMALL_MAPS = {
    "3 x 3": ((32, 16, 7, 7), 3, 1),
    "no padding": ((16, 20, 5, 7), 3, 0),
    "wide padding": ((20, 16, 4, 3), 3, 2),
    "even filters": ((16, 16, 6, 6), (2, 4), (1, 2)),
    "larger than the map": ((16, 32, 2, 2), 5, 2),
    "a row of pixels": ((17, 16, 1, 30), (1, 3), (0, 1)),
}


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("trained", ["weight", "bias", "x weight bias"])
@pytest.mark.parametrize("name", SMALL_MAPS)
def test_gradients_of_small_maps_are_torchs(
    assert_no_thread_count_matters, any_parts, name, trained, channels_last
):
    shape, kernel, padding = SMALL_MAPS[name]
    layer = nn.Conv2d(shape[1], 24, kernel, padding=padding)
    arguments = make_arguments(layer, shape, channels_last=channels_last)
    layer, x, _ = arguments
    x.requires_grad_("x" in trained)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    for parameter in trained.replace("x ", "").split():
        getattr(layer, parameter).requires_grad_()
    assert_no_thread_count_matters(run, *arguments)
    for ours, theirs in zip(run(*arguments), run(*arguments, fixed=False), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(3, 4, 3)])
@pytest.mark.parametrize("trained", ["x", "weight", "bias", "x bias", "weight bias"])
def test_only_what_is_trained_has_a_gradient(any_parts, layer, trained):
    layer, x, gradient = make_arguments(layer, (5, 3, 6, 6), torch.float64)
    x.requires_grad_("x" in trained)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name in trained)
    ours, theirs = run(layer, x, gradient), run(layer, x, gradient, fixed=False)
    assert [g is None for g in ours] == [g is None for g in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a is b is None or torch.allclose(a, b, rtol=1e-11)


def test_gradients_may_be_views(any_parts):
    layer = nn.Conv2d(3, 4, 3).double()
    x = torch.randn(6, 3, 9, 18, dtype=torch.float64, generator=make_generator(0))

    def gradients():
        layer.zero_grad()
        leaf = x.clone().requires_grad_()
        layer(leaf[..., ::2]).mean((2, 3)).sum().backward()  # an expanded gradient
        layer(leaf[:1, :, :, :9].expand(4, 3, 9, 9)).sum().backward()
        return [leaf.grad, layer.weight.grad, layer.bias.grad]

    expected = gradients()
    with FixedOrderSums():
        ours = gradients()
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
        lambda x, w, b: F.conv2d(x, w.repeat(2, 1, 1, 1)[:, :1], groups=2),
        pytest.param(
            lambda x, w, b: F.conv_transpose2d(x, w.transpose(0, 1), b, stride=2),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["plain", "grouped", "transposed"],
)
def test_gradients_of_convolutions_are_the_slopes(any_parts, function):
    shapes = [(3, 2, 4, 3), (3, 2, 2, 2), (3,)]
    leaves = [
        torch.randn(shape, dtype=torch.float64, generator=make_generator(0))
        for shape in shapes
    ]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    with FixedOrderSums():
        assert torch.autograd.gradcheck(function, leaves)
        assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("name", ["16 filters", "in parts", "signals", "volumes"])
def test_whole_batches_give_what_parts_give(monkeypatch, set_threads, name):
    layer, shape = SHARED_SUMS[name]
    arguments = make_arguments(layer, shape)
    set_threads(2)
    expected = run(*arguments)
    monkeypatch.setattr("skcnn.training.convolution._n_parts", {})
    monkeypatch.setattr(
        "skcnn.training.convolution._try_parts", lambda n_parts, *_: n_parts
    )
    for ours, theirs in zip(run(*arguments), expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", SHARED_SUMS)
def test_a_team_gives_what_one_thread_gives(set_threads, name):
    layer, shape = SHARED_SUMS[name]
    layer, x, gradient = make_arguments(layer, shape)
    weight, x = layer.weight.detach(), x.detach()
    geometry = layer.stride, layer.padding, layer.dilation
    geometry += layer.transposed, layer.output_padding, layer.groups
    teams, results = [], []
    for n_threads in (1, 2, 3, 4):
        set_threads(n_threads)
        arguments = gradient, x, weight, geometry, [True, True]
        teams.append(convolution._count_team(*arguments))
        assert torch.get_num_threads() == n_threads
        results.append(convolution.weight_gradients(*arguments))
    if teams[0] is None:
        assert teams == results == 4 * [None]
    else:
        assert all(map(le, teams, (1, 2, 2, 4)))
        for grads in results:
            assert all(map(torch.equal, grads, results[0]))


@pytest.mark.parametrize("name", ["signals", "two samples"])
def test_layers_of_zeros_decide_nothing(monkeypatch, set_threads, name):
    monkeypatch.setattr("skcnn.training.convolution._n_parts", {})
    layer, shape = SHARED_SUMS[name]
    layer, *batch = make_arguments(layer, shape)
    empty = copy.deepcopy(layer)
    nn.init.zeros_(empty.weight)
    results = []
    for n_threads in (1, 2, 3):
        set_threads(n_threads)
        run(empty, *batch)
        results.append(run(layer, *batch))
    for result in results[1:]:
        for ours, theirs in zip(result, results[0], strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 64, 64), (1, 200, 16)], ids=str)
def test_a_gradient_of_one_weight_is_computed_in_parts(set_threads, shape):
    n_channels, n_samples, length = shape
    layer = nn.Conv1d(n_channels, 1, 1, bias=False)
    arguments = make_arguments(layer, (n_samples, n_channels, length))
    results = []
    for n_threads in (1, 2, 4):
        set_threads(n_threads)
        results.append(run(*arguments)[-1])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", sorted(convolution.SMALLER_TEAMS))
def test_where_teams_may_be_smaller_there_are_none(monkeypatch, set_threads, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr("skcnn.training.convolution._teams", {})
    set_threads(2)
    run(*make_arguments(*SHARED_SUMS["at 3 threads"]))
    assert {*convolution._teams.values()} == {None}
