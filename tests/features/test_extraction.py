"""Features of a batch."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from skcnn.features import PRECISIONS, FeatureExtractor, pool
from skcnn.features.extraction import _part_rows
from skcnn.modules import CIFARResNet, ConvNet


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = make()
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_mean.uniform_(-0.2, 0.2)
                part.running_var.uniform_(0.5, 2)
        return module.eval()


class Branching(nn.Module):
    """A network that looks at its values, so that it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.conv(x)
        if x.mean() > 1e6:
            x = -x
        return self.head(x.relu().mean((2, 3)))


NETWORKS = {
    "images": (lambda: ConvNet((1, 12, 12), 3), (1, 12, 12)),
    "signals": (lambda: ConvNet((2, 20), 3), (2, 20)),
    "volumes": (lambda: ConvNet((1, 6, 6, 6), 3), (1, 6, 6, 6)),
    "residual": (lambda: CIFARResNet((3, 16, 16), 3), (3, 16, 16)),
    "untraceable": (Branching, (1, 9, 9)),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    make, shape = NETWORKS[request.param]
    return seeded(make), shape


def make_extractor(module, shape, layers=("penultimate",), **parameters):
    settings = {
        "pooling": "avg",
        "device": torch.device("cpu"),
        "precision": "float32",
        "compile": False,
        "fill": False,
    }
    return FeatureExtractor(
        module, layers, n_axes=len(shape) - 1, **settings | parameters
    )


def batch_of(n, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=generator)


def before_head(module, x):
    """Return what the last fully connected layer receives."""
    seen = []
    head = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
    handle = head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        module(x)
    handle.remove()
    return seen[0]


def test_features_are_what_the_head_receives(network):
    module, shape = network
    x = batch_of(5, shape)
    (features,) = make_extractor(module, shape)(x)
    expected = before_head(module, x)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert not features.requires_grad


def test_the_network_is_left_as_it_is(network):
    module, shape = network
    before = copy.deepcopy(module.state_dict())
    make_extractor(module, shape, precision="bfloat16")(batch_of(2, shape))
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precision_is_that_of_the_weights_and_never_below_single(network, precision):
    module, shape = network
    extractor = make_extractor(module, shape, precision=precision)
    dtypes = {parameter.dtype for parameter in extractor.network.parameters()}
    assert dtypes == {PRECISIONS[precision]}
    x = batch_of(3, shape)
    (features,) = extractor(x.to(extractor.input_dtype))
    assert features.dtype == extractor.input_dtype
    assert features.dtype in (torch.float32, torch.float64)
    expected = before_head(module, x).to(features.dtype)
    atol = 0.05 * expected.abs().max() if precision == "bfloat16" else 1e-4
    torch.testing.assert_close(features, expected, rtol=0, atol=float(atol))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_filled_batches_give_features_that_depend_on_no_other(network, n):
    module, shape = network
    extractor = make_extractor(module, shape, fill=True)
    x = batch_of(8, shape)
    (whole,) = extractor(x)
    (part,) = extractor(x[:n])
    assert part.shape == (n, whole.shape[1])
    torch.testing.assert_close(part, whole[:n], rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [4, 16])
def test_neither_threads_nor_other_batches_change_features(
    network, set_threads, batch_size, monkeypatch
):
    monkeypatch.setattr("skcnn.features.extraction.PART_PIXELS", 500)
    module, shape = network
    extractor = make_extractor(module, shape)
    x = batch_of(37, shape)
    results = []
    for n_threads in (1, 2, 3, 4):
        set_threads(n_threads)
        results += extractor(x, batch_size)
        batches = [extractor(batch, batch_size)[0] for batch in x.split(batch_size)]
        results.append(torch.cat(batches))
        assert torch.get_num_threads() == n_threads
    atol = 1e-6 if extractor.runs_alone else 0
    for features in results[1:]:
        torch.testing.assert_close(features, results[0], rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("batch_size", "n_pixels", "n_rows"),
    [
        (8, 224**2, 8),
        (32, 224**2, 8),
        (256, 32**2, 32),
        (256, 28**2, 48),
        (256, 8**2, 256),
        (2, 224**2, 2),
        (1, 1, 1),
        (100, 10**6, 8),
    ],
)
def test_parts_have_eight_images_or_more(batch_size, n_pixels, n_rows):
    assert _part_rows(batch_size, n_pixels) == n_rows


def test_threads_compute_a_part_each(set_threads, monkeypatch):
    monkeypatch.setattr("skcnn.features.extraction.PART_PIXELS", 500)
    set_threads(3)
    module, shape = seeded(NETWORKS["images"][0]), NETWORKS["images"][1]
    extractor = make_extractor(module, shape)
    barrier, run, threads = threading.Barrier(3, timeout=10), extractor._run, set()

    def meet(batch):
        barrier.wait()
        threads.add(threading.get_ident())
        return run(batch)

    extractor._run = meet
    assert extractor.n_at_once == 3
    extractor(batch_of(24, shape), 24)
    assert len(threads) == 3


def test_a_network_that_may_keep_a_state_computes_one_batch_after_the_other():
    module, shape = seeded(NETWORKS["untraceable"][0]), NETWORKS["untraceable"][1]
    assert make_extractor(module, shape).n_at_once == 1


def test_widths_are_those_of_the_features(network):
    module, shape = network
    for pooling in ("avg", None):
        extractor = make_extractor(
            module, shape, ["penultimate", "penultimate"], pooling=pooling
        )
        found = [part.shape[1] for part in extractor(batch_of(2, shape))]
        assert extractor.widths(shape) == found


def test_several_layers_come_from_one_pass():
    module, shape = seeded(NETWORKS["residual"][0]), NETWORKS["residual"][1]
    calls = []
    layers = ["conv1", "layer2", "penultimate"]
    extractor = make_extractor(module, shape, layers)
    x = batch_of(2, shape)
    first = extractor.network.conv1
    first.register_forward_hook(lambda *args: calls.append(1))
    together = extractor(x)
    assert len(calls) == 1
    for layer, features in zip(layers, together, strict=True):
        (single,) = make_extractor(module, shape, [layer])(x)
        torch.testing.assert_close(features, single, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["max", "gem", None])
def test_maps_are_pooled(pooling):
    module, shape = seeded(NETWORKS["residual"][0]), NETWORKS["residual"][1]
    x = batch_of(3, shape)
    (maps,) = make_extractor(module, shape, ["layer1"], pooling=None)(x)
    (features,) = make_extractor(module, shape, ["layer1"], pooling=pooling)(x)
    maps = maps.reshape(3, 16, 16, 16)
    torch.testing.assert_close(features, pool(maps, pooling, 2), rtol=1e-5, atol=1e-6)


def test_all_batches_on_a_gpu_have_one_size(network, monkeypatch):
    module, shape = network
    extractor = make_extractor(module, shape)
    assert extractor.forward_size(8, 3) == 8
    expected = extractor(batch_of(3, shape))[0]
    monkeypatch.setattr(extractor, "has_one_size", True)
    monkeypatch.setattr(extractor, "runs_alone", True)
    assert [extractor.forward_size(8, n) for n in (3, 8, 20)] == [3, 8, 8]
    sizes, run = [], extractor._run
    monkeypatch.setattr(extractor, "_run", lambda x: sizes.append(len(x)) or run(x))
    (features,) = extractor(batch_of(3, shape), 8)
    assert sizes == [8]
    torch.testing.assert_close(features, expected)


def test_threads_may_share_an_extractor(network):
    module, shape = network
    extractor = make_extractor(module, shape)
    batches = [batch_of(4, shape, seed) for seed in range(12)]
    expected = [extractor(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool_of_threads:
        found = list(pool_of_threads.map(lambda batch: extractor(batch)[0], batches))
    for features, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(features, wanted, rtol=0, atol=1e-6)


def test_features_are_in_eager_mode_what_a_batch_of_another_length_gives():
    """`n_rows` is for compiled networks, whose batches all have one length."""
    module, shape = seeded(NETWORKS["images"][0]), NETWORKS["images"][1]
    x = batch_of(3, shape)
    extractor = make_extractor(module, shape)
    torch.testing.assert_close(extractor(x, 8)[0], extractor(x)[0])


class TokensFirst(nn.Module):
    """A network whose blocks have the samples on the second axis."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.blocks = nn.Identity()
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        tokens = self.blocks(self.patches(x).flatten(2).permute(2, 0, 1))
        return self.head(tokens.mean(0))


def test_batch_norm_without_running_statistics_is_an_error():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="'1' has no running statistics"):
        make_extractor(network, (3, 8, 8))
    make_extractor(network, (3, 8, 8), layers=["0"])


def test_a_layer_must_have_the_samples_on_its_first_axis():
    extractor = make_extractor(TokensFirst(), (1, 12, 12), ["blocks"])
    with pytest.raises(ValueError, match=r"'blocks' gives \(9, 5, 8\) for 5 samples"):
        extractor(batch_of(5, (1, 12, 12)))
    before, scores = make_extractor(
        TokensFirst(), (1, 12, 12), ["penultimate", "head"]
    )(batch_of(5, (1, 12, 12)))
    assert (len(before), len(scores)) == (5, 5)


def test_tensors_of_five_axes_stay_as_they_are():
    module = ConvNet((1, 8, 8), 3)
    module.register_buffer("mask", torch.zeros(1, 1, 1, 2, 2))
    extractor = make_extractor(module.eval(), (1, 8, 8))
    assert extractor(batch_of(2, (1, 8, 8)))[0].shape == (2, 128)
