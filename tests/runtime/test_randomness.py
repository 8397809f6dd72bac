from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.runtime import PrivateRandomness, make_generator

pytestmark = pytest.mark.usefixtures("untouched_globals")
ONES = torch.ones(40)
CODES = torch.zeros(40, dtype=torch.int64)


def outputs_of(layer, *shape):
    out = layer(torch.ones(*shape))
    return out[0] if isinstance(out, tuple) else out


DRAWS = {
    "rand": lambda: torch.rand(40),
    "rand of float64": lambda: torch.rand(40, dtype=torch.float64),
    "rand into a tensor": lambda: torch.rand(40, out=torch.empty(40)),
    "rand_like": lambda: torch.rand_like(ONES),
    "rand_like of another dtype": lambda: torch.rand_like(CODES, dtype=torch.float64),
    "randn": lambda: torch.randn(4, 10),
    "randn_like": lambda: torch.randn_like(ONES),
    "randn_like of another dtype": lambda: torch.randn_like(CODES, dtype=torch.float32),
    "randint": lambda: torch.randint(1000, (40,)),
    "randint from a lower bound": lambda: torch.randint(500, 1000, (40,)),
    "randint_like": lambda: torch.randint_like(ONES, 1000),
    "randint_like from a lower bound": lambda: torch.randint_like(ONES, 500, 1000),
    "randperm": lambda: torch.randperm(40),
    "multinomial": lambda: torch.multinomial(ONES, 20),
    "bernoulli": lambda: torch.bernoulli(ONES / 2),
    "bernoulli of a number": lambda: torch.bernoulli(ONES, 0.5),
    "poisson": lambda: torch.poisson(30 * ONES),
    "binomial": lambda: torch.binomial(30 * ONES, ONES / 2),
    "normal": lambda: torch.normal(0.0, 1.0, (40,)),
    "normal of tensors": lambda: torch.normal(ONES, ONES),
    "uniform_": lambda: torch.empty(40).uniform_(),
    "normal_": lambda: torch.empty(40).normal_(),
    "exponential_": lambda: torch.empty(40).exponential_(),
    "random_": lambda: torch.empty(40).random_(1000),
    "gamma": lambda: torch.distributions.Gamma(ONES, 1.0).sample(),
    "gumbel_softmax": lambda: F.gumbel_softmax(ONES),
    "dropout": lambda: F.dropout(ONES, 0.5),
    "dropout in place": lambda: F.dropout(torch.ones(40), 0.5, inplace=True),
    "fused dropout of a GPU": lambda: torch.native_dropout(ONES, 0.5, True)[0],
    "alpha_dropout": lambda: F.alpha_dropout(ONES, 0.5, training=True),
    "dropout2d": lambda: F.dropout2d(torch.ones(2, 40, 2, 2), 0.5),
    "rrelu": lambda: F.rrelu(-ONES, training=True),
    "fractional max pooling": lambda: F.fractional_max_pool2d(
        torch.arange(1152.0).view(1, 8, 12, 12), 2, output_size=5
    ),
    "attention": lambda: F.scaled_dot_product_attention(
        *[torch.ones(2, 9, 4)] * 2, torch.arange(72.0).view(2, 9, 4), dropout_p=0.5
    ),
    "linear": lambda: nn.Linear(4, 10).weight,
    "convolution": lambda: nn.Conv2d(3, 4, 3).weight,
    "recurrent dropout": lambda: outputs_of(nn.LSTM(4, 4, 2, dropout=0.5), 3, 2, 4),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(5, 5)),
    "truncated normal": lambda: nn.init.trunc_normal_(torch.empty(40)),
}


@pytest.fixture(params=DRAWS)
def draw(request):
    return DRAWS[request.param]


def privately(draw, seed=0):
    with PrivateRandomness(make_generator(seed)):
        return draw().detach()


def globally(draw):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return draw().detach()


def test_a_draw_is_a_function_of_the_generator(draw):
    first = privately(draw)
    globally(draw)
    assert torch.equal(privately(draw), first)
    assert not torch.equal(privately(draw, seed=1), first)


def test_a_draw_in_inference_mode_is_one_of_the_generator(draw):
    with torch.inference_mode():
        first = privately(draw)
        assert torch.equal(privately(draw), first)
        assert not torch.equal(privately(draw, seed=1), first)


def test_a_draw_has_the_shape_and_dtype_of_one_from_the_global_generator(draw):
    ours, theirs = privately(draw), globally(draw)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert ours.isfinite().all()


def test_draws_do_not_mix_between_threads(draw):
    def several(seed):
        return [privately(draw, seed) for _ in range(5)]

    seeds = [0, 1, 2, 3] * 2
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(several, seeds))
    for seed, draws in zip(seeds, results, strict=True):
        assert all(torch.equal(value, privately(draw, seed)) for value in draws)


def test_two_draws_in_one_context_differ():
    with PrivateRandomness(make_generator(0)):
        assert not torch.equal(torch.rand(9), torch.rand(9))
        assert not torch.equal(nn.Linear(3, 3).weight, nn.Linear(3, 3).weight)


def test_a_given_generator_is_used():
    expected = torch.rand(9, generator=make_generator(1))
    with PrivateRandomness(make_generator(0)) as randomness:
        assert torch.equal(torch.rand(9, generator=make_generator(1)), expected)
    assert randomness.n_draws == 0


def test_the_inner_of_two_contexts_decides():
    expected = privately(lambda: torch.rand(9), seed=1)
    with PrivateRandomness(make_generator(0)):
        assert torch.equal(privately(lambda: torch.rand(9), seed=1), expected)


def test_random_operations_without_a_generator_are_counted():
    with PrivateRandomness(make_generator(0)) as randomness:
        torch.ones(3) + 1
        assert randomness.n_draws == 0
        torch.rand(3)
        F.dropout(ONES, 0.5)
        assert randomness.n_draws == 2


def test_after_an_exception_the_context_is_left():
    with pytest.raises(ZeroDivisionError), PrivateRandomness(make_generator(0)):
        raise ZeroDivisionError
    assert torch.equal(globally(DRAWS["rand"]), globally(DRAWS["rand"]))
    assert not torch.equal(globally(DRAWS["rand"]), privately(DRAWS["rand"], seed=5))


def test_rand_like_is_uniform_and_randn_like_normal():
    x = torch.ones(100_000)
    uniform = privately(lambda: torch.rand_like(x))
    normal = privately(lambda: torch.randn_like(x))
    assert ((uniform >= 0) & (uniform < 1)).all()
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)


def fused_dropout(x, p, training=True):
    return torch.native_dropout(x, p, training)[0]


@pytest.mark.parametrize("dropout", [F.dropout, fused_dropout])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_leaves_out_a_share_and_scales_the_rest(dropout, p):
    x = torch.ones(100, 1000, requires_grad=True)
    with PrivateRandomness(make_generator(0)):
        out = dropout(x, p)
    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)))
    assert len(kept) / out.numel() == pytest.approx(1 - p, abs=0.01)
    out.sum().backward()
    assert torch.equal(x.grad, out)


@pytest.mark.parametrize("dropout", [F.dropout, fused_dropout])
@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.5, False)])
def test_dropout_without_effect_returns_its_input(dropout, p, training):
    x = torch.ones(40, requires_grad=True)
    with PrivateRandomness(make_generator(0)):
        assert torch.equal(dropout(x, p, training), x)


def test_dropout_of_everything_leaves_zeros():
    with PrivateRandomness(make_generator(0)):
        out = F.dropout(torch.ones(40, requires_grad=True), 1.0)
    assert torch.equal(out, torch.zeros(40))


def test_generators_have_a_stream_for_each_seed():
    first, again, other = (
        torch.rand(9, generator=make_generator(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert make_generator(2**63 - 1).initial_seed() == 2**63 - 1
