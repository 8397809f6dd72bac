import pytest
import torch

from skcnn.modules import Dropout
from skcnn.runtime import make_generator

SHAPES = [(200, 50), (200, 50, 3), (200, 50, 3, 2), (200, 50, 2, 2, 2)]


def seeded(p, seed=0):
    layer = Dropout(p)
    layer.generator = make_generator(seed)
    return layer


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_maps_are_left_out_whole_and_the_others_scaled(shape, p):
    out = seeded(p)(torch.ones(shape)).reshape(200, 50, -1)
    assert torch.equal(out, out[..., :1].expand_as(out))
    kept = out[..., 0] != 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / (1 - p)))
    assert 1 - kept.float().mean().item() == pytest.approx(p, abs=0.02)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_expectation_is_kept(p):
    out = seeded(p)(torch.ones(1000, 200))
    assert out.mean().item() == pytest.approx(1, abs=0.03)


def test_samples_lose_maps_of_their_own():
    out = seeded(0.5)(torch.ones(2, 100))
    assert not torch.equal(out[0], out[1])


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0, True), (0, False)])
def test_nothing_happens_in_evaluation_or_without_a_rate(p, training):
    x = torch.randn(4, 5)
    assert Dropout(p).train(training)(x) is x


def test_the_gradient_is_masked_like_the_output():
    x = torch.ones(20, 30, 2, requires_grad=True)
    out = seeded(0.5)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_stays(dtype):
    assert seeded(0.5)(torch.ones(4, 5, dtype=dtype)).dtype == dtype


def test_its_generator_decides_and_the_global_one_is_not_touched():
    x = torch.ones(20, 30)
    before = torch.get_rng_state()
    assert torch.equal(seeded(0.5)(x), seeded(0.5)(x))
    assert not torch.equal(seeded(0.5)(x), seeded(0.5, seed=1)(x))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_it_draws_from_the_global_one():
    x = torch.ones(20, 30)
    with torch.random.fork_rng():
        outs = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            outs.append(Dropout(0.5)(x))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_it_prints_its_rate():
    assert repr(Dropout(0.25)) == "Dropout(p=0.25)"
