import pytest
import torch
from torch import nn

from skcnn.training import OPTIMIZERS
from skcnn.training.row_updates import row_updates

BATCHES = [[1, 4, 2], [4], [], [0, 1, 5], [5, 4, 3, 2, 1, 0]]


def train(optimizer, batches, by_rows=True, **parameters):
    """Return word vectors, learnt on batches of words, and the optimiser."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    layer = nn.Embedding.from_pretrained(weight, freeze=False, sparse=by_rows)
    optimizer = optimizer(layer.parameters(), lr=0.1, **parameters)
    with row_updates(optimizer):
        for words in batches:
            optimizer.zero_grad()
            words = torch.tensor(words, dtype=torch.int64)
            (layer(words) * torch.arange(1.0, 4)).square().sum().backward()
            optimizer.step()
    return layer.weight.detach(), optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_on_all_rows_are_those_of_the_optimizer(name):
    batches = 4 * [[3, 1, 0, 5, 2, 4]]
    ours, _ = train(OPTIMIZERS[name], batches)
    theirs, _ = train(OPTIMIZERS[name], batches, by_rows=False)
    torch.testing.assert_close(ours, theirs)


def test_plain_gradient_descent_is_as_with_a_dense_gradient():
    ours, _ = train(torch.optim.SGD, BATCHES)
    theirs, _ = train(torch.optim.SGD, BATCHES, by_rows=False)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_without_a_gradient_stay_with_all_their_state(name):
    before, _ = train(OPTIMIZERS[name], [])
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    once, optimizer = train(OPTIMIZERS[name], [[1, 4]], weight_decay=0.1, **momentum)
    changed = (once != before).any(1)
    assert changed.tolist() == [False, True, False, False, True, False]
    [state] = optimizer.state.values()
    moments = [v for v in state.values() if v.shape == once.shape]
    assert moments
    for moment in moments:
        assert not moment[~changed].any()
        assert moment[changed].any()


def test_a_row_goes_on_where_it_was_left():
    """Adam's moments of a row are those of the steps that had it."""
    gradient, beta = 2.0, 0.9
    weight = nn.Parameter(torch.zeros(3, 1))
    optimizer = torch.optim.Adam([weight], lr=0.1, betas=(beta, 0.99))
    with row_updates(optimizer):
        for row in (1, 0, 1):
            weight.grad = torch.sparse_coo_tensor(
                [[row]], [[gradient]], (3, 1), check_invariants=True
            )
            optimizer.step()
    moments = optimizer.state[weight]["exp_avg"].flatten()
    torch.testing.assert_close(moments, torch.tensor([0.2, 0.38, 0.0]))


def test_other_optimizers_get_a_dense_gradient():
    ours, _ = train(torch.optim.Adamax, BATCHES)
    theirs, _ = train(torch.optim.Adamax, BATCHES, by_rows=False)
    torch.testing.assert_close(ours, theirs)


def test_hooks_are_gone_afterwards():
    _, optimizer = train(torch.optim.AdamW, BATCHES)
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
