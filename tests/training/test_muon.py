import copy

import pytest
import torch
from sklearn.datasets import load_digits

from skcnn import CNNClassifier
from skcnn.training import Muon
from skcnn.training.muon import orthogonalize

SHAPES = [(32, 16), (8, 3, 3, 3), (16, 1, 5), (4, 4, 2, 2, 2)]


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def parameter(*shape, seed=0):
    weight = torch.nn.Parameter(randn(*shape, seed=seed))
    weight.grad = randn(*shape, seed=seed + 1)
    return weight


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonal_update_has_singular_values_near_one(shape):
    update = orthogonalize(randn(*shape))
    assert update.shape == shape
    values = torch.linalg.svdvals(update.flatten(1))
    assert 0.68 < values.min() <= values.max() < 1.21


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-20, 1, 1e10])
def test_an_orthogonal_update_is_near_the_nearest_orthogonal_matrix(shape, scale):
    update = randn(*shape)
    u, _, v = torch.linalg.svd(update.flatten(1), full_matrices=False)
    found = orthogonalize(update * scale).flatten(1)
    assert torch.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_an_update_of_zeros_stays_so():
    assert not orthogonalize(torch.zeros(3, 2, 2)).any()


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_the_values_of_filters_change_as_much_as_with_adamw(shape):
    weight = parameter(*shape)
    before = weight.detach().clone()
    Muon([weight], lr=0.01, weight_decay=0.0).step()
    size = (weight - before).detach().square().mean().sqrt()
    assert 0.5 * 0.002 < size < 1.2 * 0.002


def test_filters_lose_the_share_of_weight_decay():
    weight = parameter(4, 2, 3)
    expected = 0.95 * weight.detach()
    weight.grad.zero_()
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_other_parameters_change_as_with_adamw(shape):
    ours = parameter(*shape)
    theirs = copy.deepcopy(ours)
    optimizers = Muon([ours]), torch.optim.AdamW([theirs], lr=0.003, weight_decay=0.01)
    for seed in range(4):
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = randn(*shape, seed=seed)
            optimizer.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-6, atol=1e-7)


def test_groups_have_their_own_learning_rates():
    weights = [parameter(4, 2, 3) for _ in range(2)]
    before = weights[0].detach().clone()
    groups = [{"params": weights[:1], "lr": 0.1}, {"params": weights[1:], "lr": 0.01}]
    Muon(groups, weight_decay=0.0).step()
    fast, slow = (weight.detach() - before for weight in weights)
    torch.testing.assert_close(fast, 10 * slow, rtol=1e-3, atol=1e-5)


def test_parameters_without_gradients_stay():
    weights = [parameter(4, 2, 3), parameter(5)]
    before = copy.deepcopy(weights)
    for weight in weights:
        weight.grad = None
    Muon(weights).step()
    assert all(map(torch.equal, weights, before))


def test_a_closure_computes_loss_and_gradients():
    weight = parameter(4, 2, 3)
    optimizer = Muon([weight])

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)


def test_training_goes_on_from_a_saved_state():
    weights = [parameter(4, 2, 3), parameter(5)]
    optimizer = Muon(weights)
    optimizer.step()
    others = copy.deepcopy(weights)
    other = Muon(others)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for weight, twin in zip(weights, others, strict=True):
        twin.grad = weight.grad.clone()
    optimizer.step()
    other.step()
    assert all(map(torch.equal, weights, others))


@pytest.mark.slow
def test_a_classifier_takes_it_by_name():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8)
    clf = CNNClassifier(optimizer="muon", max_epochs=5, random_state=0)
    assert clf.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.93
    assert isinstance(clf.net_.optimizer_, Muon)
    assert len(clf.partial_fit(X[:1200], y[:1200]).loss_curve_) == 6
