from types import SimpleNamespace

import pytest
import torch
from skorch.history import History

from skcnn.training import EarlyStopping

pytestmark = pytest.mark.usefixtures("untouched_globals")


def run(stopping, scores, losses=None, start=0.0):
    """Return after which epoch it stops, and which epoch's network is left."""
    module = torch.nn.Flatten()
    module.register_buffer("epoch", torch.tensor(start))
    net = SimpleNamespace(module_=module, history=History())
    stopping.begin(net)
    last = None
    for epoch, score in enumerate(scores, start=1):
        module.epoch.fill_(epoch)
        net.history.new_epoch()
        net.history.record("valid_score", score)
        net.history.record("valid_loss", losses[epoch - 1] if losses else 1.0)
        if stopping.end_epoch(net):
            last = epoch
            break
    stopping.end(net)
    return last, int(module.epoch)


@pytest.mark.parametrize(
    ("patience", "scores", "last", "best"),
    [
        (1, [0.5, 0.6, 0.6, 0.6, 0.6], 4, 2),
        (2, [0.5, 0.6, 0.6, 0.6, 0.6, 0.6], 5, 2),
        (1, [0.5, 0.4, 0.6, 0.4, 0.4, 0.9], 5, 3),
        (5, [0.1, 0.2, 0.3], None, 3),
        (1, [-3.0, -4.0, -2.0], None, 3),
    ],
)
def test_it_stops_after_more_epochs_without_an_improvement_than_it_bears(
    patience, scores, last, best
):
    assert run(EarlyStopping(patience, 1e-4), scores) == (last, best)


def test_rises_below_tol_do_not_count_but_are_kept():
    scores = [0.5, 0.505, 0.51, 0.512, 0.6]
    assert run(EarlyStopping(1, 0.1), scores) == (3, 3)


def test_of_equal_scores_the_lowest_loss_is_kept():
    scores, losses = [0.5, 0.9, 0.9, 0.9, 0.8], [1.0, 0.4, 0.2, 0.3, 0.1]
    assert run(EarlyStopping(9, 0.0), scores, losses) == (None, 3)


@pytest.mark.parametrize(("score", "kept"), [(0.95, 7), (0.85, 2)])
def test_a_network_to_start_with_is_left_unless_it_is_improved(score, kept):
    start = SimpleNamespace(measure=lambda net: (0.1, score))
    stopping = EarlyStopping(9, 0.0, start)
    assert run(stopping, [0.8, 0.9], start=7.0) == (None, kept)
