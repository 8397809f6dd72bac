import numpy as np
import pytest
import torch
from sklearn.neural_network._base import ACTIVATIONS as SKLEARN_ACTIVATIONS
from torch import nn

from skcnn.modules import ACTIVATIONS, Dropout
from skcnn.modules.building_blocks import is_monotone, make_activation
from skcnn.runtime import make_generator

GRID = torch.linspace(-20, 20, 4001, dtype=torch.float64)
SHAPES = [(200, 50), (200, 50, 3), (200, 50, 3, 2), (200, 50, 2, 2, 2)]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_name_gives_a_new_layer_of_its_class(name):
    layer = make_activation(name)
    assert isinstance(layer, ACTIVATIONS[name])
    assert layer is not make_activation(name)


@pytest.mark.parametrize("factory", [nn.Mish, lambda: nn.LeakyReLU(0.3)])
def test_a_class_or_function_is_called(factory):
    assert repr(make_activation(factory)) == repr(factory())


@pytest.mark.parametrize("name", ["identity", "logistic", "tanh", "relu"])
def test_names_of_scikit_learn_mean_what_they_mean_there(name):
    expected = GRID.numpy().copy()
    SKLEARN_ACTIVATIONS[name](expected)  # works in place
    np.testing.assert_allclose(make_activation(name)(GRID), expected, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_just_the_functions_that_never_fall_are_taken_as_monotone(name):
    never_falls = bool((make_activation(name)(GRID).diff() >= 0).all())
    assert never_falls == is_monotone(make_activation(name))


@pytest.mark.parametrize("activation", [torch.relu, torch.nn.functional.gelu, dict])
def test_what_makes_no_layer_is_an_error(activation):
    with pytest.raises(TypeError, match="does not return a layer"):
        make_activation(activation)


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
