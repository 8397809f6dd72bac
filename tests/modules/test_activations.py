import numpy as np
import pytest
import torch
from sklearn.neural_network._base import ACTIVATIONS as SKLEARN_ACTIVATIONS
from torch import nn

from skcnn.modules import ACTIVATIONS
from skcnn.modules.activations import is_monotone, make_activation

GRID = torch.linspace(-20, 20, 4001, dtype=torch.float64)


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
    with pytest.raises(TypeError, match="makes no layer where it is called without"):
        make_activation(activation)
