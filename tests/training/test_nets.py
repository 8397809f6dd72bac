import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from skcnn.training.nets import probe

pytestmark = pytest.mark.usefixtures("untouched_globals")


def weights(net):
    return list(net.module_.parameters())


class Head(nn.Module):
    """One fully connected layer."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.output = nn.Linear(int(np.prod(input_shape)), n_outputs)

    def forward(self, x):
        return self.output(x.flatten(1))


def test_weights_are_initialised_by_the_seed_alone(make_net):
    for a, b in zip(weights(make_net()), weights(make_net()), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(weights(make_net())[0], weights(make_net(seed=1))[0])


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_weights_have_the_dtype_of_the_precision(make_net, precision):
    expected = torch.float64 if precision == "float64" else torch.float32
    assert {w.dtype for w in weights(make_net(precision=precision))} == {expected}


def test_lazy_layers_learn_their_shapes(make_net):
    def lazy(input_shape, n_outputs):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(n_outputs))

    assert make_net(lazy).module_[1].weight.shape == (2, 64)


def test_operations_of_a_sample_are_counted(make_net):
    assert make_net(Head).flops_ == 2 * 64 * 2
    assert probe(nn.Flatten(), torch.zeros(1, 1, 4, 4), 16) == 16


def test_counting_operations_is_not_seen_by_other_networks():
    class Watching(nn.Flatten):
        def forward(self, x):
            assert not _has_any_global_hook()
            return super().forward(x)

    assert probe(Watching(), torch.zeros(1, 1, 4, 4), 16) == 16


@pytest.mark.parametrize("out", [torch.zeros(1, 3), torch.zeros(2), [1, 2], None])
def test_a_network_that_returns_another_shape_is_refused(out):
    class Wrong(nn.Module):
        def forward(self, x):
            return out

    with pytest.raises(ValueError, match=r"for one sample of shape \(1, 8, 8\)") as e:
        probe(Wrong(), torch.zeros(1, 1, 8, 8), 2)
    assert "expected (1, 2)" in str(e.value)


def test_a_network_that_cannot_take_the_shape_is_refused():
    with torch.random.fork_rng():
        module = nn.Sequential(nn.Conv2d(1, 2, 9), nn.Flatten())
    with pytest.raises(ValueError, match=r"cannot take samples of shape \(1, 8, 8\)"):
        probe(module, torch.zeros(1, 1, 8, 8), 2)


def test_build_net_refuses_what_probe_refuses(make_net):
    with pytest.raises(ValueError, match=r"expected \(1, 3\)"):
        make_net(Head, n_outputs=3)
