import pytest
import torch

from skcnn.training import OPTIMIZERS
from skcnn.training.optimizers import choose_weight_decay, optimizer_arguments

CPU = torch.device("cpu")
WITHOUT_DECAY = torch.optim.Rprop


def build(optimizer, parameters, lr=0.05, weight_decay=0.0):
    kind, arguments = optimizer_arguments(optimizer, weight_decay, CPU)
    return kind(parameters, lr=lr, **arguments)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_name_finds_the_minimum_of_a_parabola(name):
    x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = build(name, [x], lr=0.5 if name in ("adagrad", "radam") else 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert x.detach().abs().max() < 0.2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_is_the_class_of_that_name(name):
    kind, _ = optimizer_arguments(name, 0.0, CPU)
    assert kind.__name__.lower() == name
    assert issubclass(kind, torch.optim.Optimizer)


@pytest.mark.parametrize("kind", [*OPTIMIZERS.values(), WITHOUT_DECAY])
def test_a_class_is_taken_as_it_is(kind):
    found, arguments = optimizer_arguments(kind, 0.25, CPU)
    assert found is kind
    assert set(arguments) <= {"fused", "weight_decay"}


def test_sgd_has_momentum_by_name_only():
    by_name = build("sgd", [torch.ones(1)]).defaults
    assert (by_name["momentum"], by_name["nesterov"]) == (0.9, True)
    assert build(torch.optim.SGD, [torch.ones(1)]).defaults["momentum"] == 0


@pytest.mark.parametrize(
    "kind", [torch.optim.LBFGS, type("L", (torch.optim.LBFGS,), {})]
)
def test_lbfgs_is_refused_with_the_names_that_are_known(kind):
    with pytest.raises(ValueError, match="mini-batch") as error:
        optimizer_arguments(kind, 0.0, CPU)
    assert all(repr(name) in str(error.value) for name in OPTIMIZERS)


@pytest.mark.parametrize("kind", [int, torch.nn.Linear])
def test_what_is_no_optimizer_is_refused(kind):
    with pytest.raises((TypeError, ValueError), match="optimizer"):
        optimizer_arguments(kind, 0.0, CPU)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_where_the_optimizer_can(name):
    x = torch.nn.Parameter(torch.ones(2))
    optimizer = build(name, [x], weight_decay=0.5)
    x.grad = torch.zeros(2)
    for _ in range(3):
        optimizer.step()
    assert (x < 1).all()


@pytest.mark.parametrize("optimizer", ["adamw", "muon", torch.optim.AdamW])
def test_decoupled_decay_forgets_in_epochs_not_in_steps(optimizer):
    assert [choose_weight_decay(optimizer, 0.003, n) for n in (1, 50)] == [1.0, 1.0]
    assert choose_weight_decay(optimizer, 0.003, 500) * 500 == 50


@pytest.mark.parametrize("lr", [0.01, 0.5, 100])
def test_a_step_decays_no_more_than_a_hundredth(lr):
    assert lr * choose_weight_decay("adamw", lr, 10) == pytest.approx(0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", torch.optim.SGD, WITHOUT_DECAY])
def test_decay_within_the_gradient_is_weak(optimizer):
    assert choose_weight_decay(optimizer, 0.003, 10) == 0.01


def test_an_optimizer_without_weight_decay_gets_none():
    _, arguments = optimizer_arguments(WITHOUT_DECAY, 0.5, CPU)
    assert arguments == {}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_fused_kernel_is_the_plain_one_in_other_order(name):
    torch.manual_seed(0)
    start, gradients = torch.randn(50), torch.randn(5, 50)
    ends = []
    for fused in (True, False):
        x = torch.nn.Parameter(start.clone())
        kind, arguments = optimizer_arguments(name, 0.1, CPU)
        if not fused:
            arguments.pop("fused", None)
        optimizer = kind([x], lr=0.01, **arguments)
        for gradient in gradients:
            x.grad = gradient.clone()
            optimizer.step()
        ends.append(x.detach())
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_name_steps_on_a_gpu(name):
    device = torch.device("cuda", 0)
    x = torch.nn.Parameter(torch.ones(3, device=device))
    kind, arguments = optimizer_arguments(name, 0.1, device)
    optimizer = kind([x], lr=0.01, **arguments)
    x.grad = torch.ones_like(x)
    optimizer.step()
    assert (x < 1).all()


class NeedsMore(torch.optim.SGD):
    def __init__(self, params, lr, rho):
        super().__init__(params, lr)


class TakesAll(torch.optim.SGD):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


def test_optimisers_that_are_not_for_all_weights_or_need_more_are_errors():
    cpu = torch.device("cpu")
    for name in ("SparseAdam", "Muon"):
        if hasattr(torch.optim, name):
            with pytest.raises(ValueError, match=f"optimizer={name} of torch supports"):
                optimizer_arguments(getattr(torch.optim, name), 0.0, cpu)
    with pytest.raises(TypeError, match="optimizer=NeedsMore requires rho"):
        optimizer_arguments(NeedsMore, 0.0, cpu)
    assert optimizer_arguments(TakesAll, 0.0, cpu) == (TakesAll, {})
