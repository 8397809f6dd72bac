import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode

from skcnn.modules import ACTIVATIONS
from skcnn.runtime import make_generator
from skcnn.training import OPTIMIZERS
from skcnn.training.sums import FixedOrderSums, reproducible
from skcnn.training.threads import SMALL_BATCH_FLOPS

LARGE = 2 * SMALL_BATCH_FLOPS
# Whole vectors, values left over at the end of a thread's part, and few values.
SHAPES = [(64, 32, 16, 16), (66, 33, 15, 15), (33, 10, 28, 27), (3, 5, 7, 7), (1, 1)]
MORE_ACTIVATIONS = {
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "tanh gelu": lambda: nn.GELU("tanh"),
    "hardswish": nn.Hardswish,
    "log sigmoid": nn.LogSigmoid,
    "prelu": nn.PReLU,
    "softmax": lambda: nn.Softmax(1),
}


def random(*shape, seed=0, dtype=torch.float32):
    generator = make_generator(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def gradients(layer, x, fixed=True, layout=lambda out: out):
    """Return output and gradients of a copy of the layer."""
    layer, x = copy.deepcopy(layer), x.clone().requires_grad_()
    with FixedOrderSums() if fixed else torch.enable_grad():
        out = layer(x)
        out.backward(layout(random(*out.shape, seed=1, dtype=out.dtype)))
    return [out.detach(), x.grad, *(p.grad for p in layer.parameters())]


# -- elementwise --------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [*ACTIVATIONS, *MORE_ACTIVATIONS])
def test_an_activation_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, name, shape
):
    layer = {**ACTIVATIONS, **MORE_ACTIVATIONS}[name]()
    assert_no_thread_count_matters(gradients, layer, random(*shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [*ACTIVATIONS, *MORE_ACTIVATIONS])
def test_an_activation_is_torchs(name, shape):
    layer = {**ACTIVATIONS, **MORE_ACTIVATIONS}[name]()
    for dtype, tolerance in [(torch.float64, 1e-14), (torch.float32, 1e-6)]:
        layer, x = layer.to(dtype), random(*shape, dtype=dtype)
        ours, theirs = gradients(layer, x), gradients(layer, x, fixed=False)
        for a, b in zip(ours, theirs, strict=True):
            assert a.stride() == b.stride()
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


class Strided(nn.Module):
    def forward(self, x):
        return F.gelu(x[:, ::2])


class Averaged(nn.Module):
    """The gradient of the mean is one value, seen at every pixel."""

    def forward(self, x):
        return F.gelu(x).mean((2, 3))


class InPlace(nn.Module):
    def forward(self, x):
        return F.silu(2 * x, inplace=True)


@pytest.mark.parametrize("layer", [Strided(), Averaged(), InPlace()], ids=repr)
@pytest.mark.parametrize("layout", [lambda x: x, torch.Tensor.contiguous])
def test_an_activation_takes_values_in_any_order(
    assert_no_thread_count_matters, layer, layout
):
    x = random(66, 33, 15, 15)
    assert_no_thread_count_matters(gradients, layer, x, True, layout)
    ours, theirs = gradients(layer, x, True, layout), gradients(layer, x, False, layout)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


# -- everything else ----------------------------------------------------------


ROWS = (torch.arange(12_000) * 7 % 999).view(4000, 3)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        out = self.function(x)
        return out[0] if isinstance(out, tuple) else out


class Attention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x)[0]


class Recurrent(nn.LSTM):
    def forward(self, x):
        return super().forward(x)[0]


LAYERS = {
    "layer norm": (nn.LayerNorm(64), (512, 64)),
    "softmax": (nn.Softmax(-1), (4096, 11)),
    "attention": (Attention(64, 4, batch_first=True), (32, 49, 64)),
    "lstm": (Recurrent(16, 32, batch_first=True), (64, 30, 16)),
    "sum": (Function(lambda x: x.sum()), (100_000,)),
    "mean of few": (Function(lambda x: x.mean((2, 3))), (3, 37, 90, 90)),
    "mean of samples": (Function(lambda x: x.mean(0)), (131, 517)),
    "norm": (Function(lambda x: x.norm()), (100_000,)),
    "deviation": (Function(lambda x: x.std(0)), (1000, 65)),
    "product": (Function(lambda x: x @ x.mT), (20, 60, 60)),
    "power": (Function(lambda x: x.abs() ** 1.7), (66, 33, 15, 15)),
    "cumulative sum": (Function(lambda x: x.cumsum(0)), (400, 300)),
    "rows again": (Function(lambda x: x[torch.arange(999) % 7]), (7, 300)),
    "sums of rows": (
        Function(lambda x: F.embedding_bag(ROWS, x, mode="sum")),
        (999, 100),
    ),
    "sums of rows without a gradient": (
        Function(
            lambda x: x[:500] + F.embedding_bag(ROWS, x.detach(), mode="sum")[:500]
        ),
        (999, 100),
    ),
    "masked": (Function(lambda x: (2 * x).masked_fill_(x > 1, 0.0)), (513, 517)),
    "rows replaced": (
        Function(lambda x: (2 * x).index_copy_(0, ROWS[:200, 0], x[:200])),
        (999, 301),
    ),
    "larger maps": (nn.Upsample(scale_factor=2, mode="bilinear"), (9, 7, 16, 16)),
    "overlapping pools": (nn.MaxPool2d(3, 2, 1), (63, 5, 27, 27)),
    "mean pools": (nn.AvgPool2d(3, 2, 1), (63, 5, 27, 27)),
    "adaptive pools": (nn.AdaptiveAvgPool2d(2), (63, 5, 27, 27)),
    "pools of volumes": (nn.AvgPool3d(2), (6, 5, 9, 9, 9)),
    "padded": (nn.ReflectionPad2d(2), (63, 5, 27, 27)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, name
):
    layer, shape = LAYERS[name]
    assert_no_thread_count_matters(gradients, layer, random(*shape))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_torchs(name):
    layer, shape = LAYERS[name]
    layer, x = copy.deepcopy(layer).double(), random(*shape, dtype=torch.float64)
    for a, b in zip(gradients(layer, x), gradients(layer, x, False), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.mse_loss, F.l1_loss, F.huber_loss])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_loss_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, loss, reduction
):
    outputs = random(9001, 11)
    targets = outputs.argmax(1) if loss is F.cross_entropy else random(9001, 11, seed=1)

    def run():
        leaf = outputs.clone().requires_grad_()
        with FixedOrderSums():
            value = loss(leaf, targets, reduction=reduction)
            value.backward(torch.ones_like(value))
        return [value.detach(), leaf.grad]

    assert_no_thread_count_matters(run)


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_step_is_the_same_at_any_number_of_threads(
    assert_no_thread_count_matters, name, fused
):
    def run():
        shapes = (337, 331), (17,), (32, 16, 3, 3), (16, 32, 3)
        weights = [random(*shape).requires_grad_() for shape in shapes]
        how = {} if name == "muon" else {"foreach": fused}
        with FixedOrderSums():
            optimizer = OPTIMIZERS[name](weights, lr=0.01, **how)
            for seed in range(3):
                for weight in weights:
                    weight.grad = random(*weight.shape, seed=seed)
                nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
        return [weight.detach() for weight in weights]

    assert_no_thread_count_matters(run)


# -- the context --------------------------------------------------------------


def test_layers_under_autocast_compute_in_bfloat16():
    with FixedOrderSums(), torch.autocast("cpu", torch.bfloat16):
        assert nn.Linear(3, 3)(torch.ones(2, 3)).dtype == torch.bfloat16


def test_tensors_on_other_devices_pass():
    layer = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(64, 2)
    ).to("meta")
    with FixedOrderSums():
        out = layer(torch.ones(5, 3, 6, 6, device="meta"))
        out.sum().backward()
    assert out.shape == (5, 2)
    assert layer[0].weight.grad.device.type == "meta"


def test_fixed_sums_hold_for_their_thread_only(set_threads):
    """Elsewhere, torch's own sums are taken, in this case those of one thread."""
    inside, done = threading.Event(), threading.Event()
    set_threads(1)
    layer, x = nn.Linear(64, 5), random(37, 64)
    expected = gradients(layer, x, fixed=False)

    def hold():
        with FixedOrderSums():
            inside.set()
            done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        inside.wait(10)
        results = gradients(layer, x, fixed=False)
        done.set()
        holding.result()
    assert all(map(torch.equal, results, expected))


def test_the_number_of_threads_comes_back_after_the_context(set_threads, many_parts):
    set_threads(2)
    for other in (random(4, 4), random(3, 3)):  # the second one does not fit
        with suppress(RuntimeError), FixedOrderSums():
            torch.mm(random(4, 4), random(4, 4))
            torch.mm(random(4, 4), other)
        assert torch.get_num_threads() == 2


def test_errors_of_operations_are_raised(set_threads, many_parts):
    set_threads(2)
    with FixedOrderSums(), pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.mm(random(4, 3), random(4, 3))
    with FixedOrderSums(), pytest.raises(RuntimeError, match="channels"):
        F.conv2d(random(4, 3, 5, 5), random(2, 4, 3, 3))


@pytest.mark.parametrize(
    ("flops", "device", "n_threads", "is_ordered"),
    [
        (1, "cpu", 1, False),
        (LARGE, "cpu", 3, True),
        (LARGE, torch.device("cpu"), 3, True),
        (LARGE, "cuda:0", 3, False),
    ],
)
def test_large_fits_on_the_cpu_are_ordered_and_small_ones_use_one_thread(
    set_threads, many_parts, flops, device, n_threads, is_ordered
):
    set_threads(3)
    with reproducible(flops, device):
        assert torch.get_num_threads() == n_threads
        assert isinstance(_get_current_dispatch_mode(), FixedOrderSums) == is_ordered
    assert torch.get_num_threads() == 3
