from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.history import History

from skcnn.training import SCHEDULES, Plateau
from skcnn.training.schedules import WARM_UP

PROGRESS = np.linspace(0, 1, 1001)
FALLING = ["cosine", "linear", "one_cycle", "step"]


def factors(name):
    return np.array([SCHEDULES[name](progress) for progress in PROGRESS])


@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_lie_between_0_and_1(name):
    values = factors(name)
    assert (values >= 0).all()
    assert (values <= 1).all()
    assert values[:-1].min() > 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_lr_is_the_highest_learning_rate(name):
    assert factors(name).max() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", FALLING)
def test_training_ends_near_0(name):
    assert SCHEDULES[name](1.0) <= 0.01 + 1e-12


def test_constant_keeps_the_learning_rate():
    assert (factors("constant") == 1).all()


@pytest.mark.parametrize("name", FALLING)
def test_factors_only_fall_once_they_are_at_their_highest(name):
    start = WARM_UP if name == "one_cycle" else 0
    assert (np.diff(factors(name)[start <= PROGRESS]) <= 0).all()


def test_one_cycle_rises_for_a_quarter_of_the_time_without_a_jump():
    values = factors("one_cycle")
    assert (np.diff(values[PROGRESS <= 0.25]) > 0).all()
    assert values[PROGRESS == 0.25] == 1
    assert np.abs(np.diff(values)).max() < 0.01
    assert 0 < values[0] < 0.1


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 1), (0.499, 1), (0.5, 0.1), (0.75, 0.01), (1, 0.01)]
)
def test_step_falls_to_a_tenth_at_a_half_and_at_three_quarters(progress, factor):
    assert SCHEDULES["step"](progress) == pytest.approx(factor)


def rates(records, tol=0.01):
    """Return the learning rate after each epoch, from 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    net = SimpleNamespace(optimizer_=optimizer, history=History())
    plateau = Plateau(tol)
    plateau.begin(net)
    found = []
    for record in records:
        net.history.new_epoch()
        for name, value in record.items():
            net.history.record(name, value)
        assert plateau.end_epoch(net) is False
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_plateau_falls_after_three_epochs_without_progress():
    scores = [0.5, 0.6, 0.6, 0.605, 0.6, 0.6, 0.6, 0.6, 0.7]
    expected = [1, 1, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04]
    assert rates([{"valid_score": s} for s in scores]) == pytest.approx(expected)


def test_plateau_goes_by_the_training_loss_where_there_is_no_score():
    losses = [{"train_loss": loss} for loss in (3, 2, 2, 2, 2)]
    assert rates(losses) == pytest.approx([1, 1, 1, 1, 0.2])
    scored = [{"train_loss": 1, "valid_score": i} for i in range(5)]
    assert rates(scored) == [1] * 5
