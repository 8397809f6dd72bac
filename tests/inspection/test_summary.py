"""Tables of layers: shapes, parameters, costs."""

from math import prod

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import skcnn
from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    TextCNNClassifier,
)
from skcnn.inspection.layer_costs import count_costs
from skcnn.modules import CIFARResNet, LeNet5

X, y = load_digits(return_X_y=True)
TINY = {"n_layers": 2, "n_filters": 4, "max_epochs": 1, "random_state": 0}


def count_plainly(module, input_shape):
    """Return multiply-adds and dense weights of the layers, from their shapes."""
    costs = {}

    def hook(part, args, out, name):
        n_out = prod(out.shape[1:])
        if isinstance(part, torch.nn.Linear):
            costs[name] = part.in_features * n_out, 0
        else:
            n_in = prod(args[0].shape[1:])
            costs[name] = part.weight[0].numel() * n_out, n_in * n_out

    for name, part in module.named_modules():
        if hasattr(part, "weight") and part.weight.ndim > 1:
            part.register_forward_hook(lambda *a, name=name: hook(*a, name))
    module.eval()(torch.zeros(1, *input_shape))
    return costs


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (LeNet5((1, 28, 28), 10), (1, 28, 28)),
        (CIFARResNet((3, 32, 32), 5), (3, 32, 32)),
    ],
    ids=["lenet", "resnet"],
)
def test_costs_are_those_of_the_shapes(network, shape):
    expected = count_plainly(network, shape)
    costs = {name: tuple(cost) for name, cost in count_costs(network, shape).items()}
    assert {name: costs[name] for name in expected} == expected
    assert sum(cost[0] for cost in costs.values()) == sum(
        cost[0] for cost in expected.values()
    )


def test_before_fit_and_after_it_the_table_is_the_same():
    network = CNNClassifier(image_shape=(8, 8), **TINY)
    before = skcnn.summary(network, X, y)
    after = skcnn.summary(make_pipeline(MinMaxScaler(), network).fit(X[:99], y[:99]))
    assert before.layers == after.layers
    n_parameters = sum(p.numel() for p in network.module_.parameters())
    assert sum(row.n_parameters for row in after.layers) == n_parameters
    assert after.n_parameters == after.n_trainable == n_parameters
    durations = network.history_[:, "dur"]
    assert after.epoch_seconds == pytest.approx(np.mean(durations))
    assert 0 < before.epoch_seconds < 1000
    assert "estimated by training on 96 samples" in before.notes[0]


def test_without_y_two_classes_or_one_value_are_assumed():
    blank = skcnn.summary(CNNClassifier(image_shape=(9, 8), **TINY))
    assert blank.layers[-1].output_shape == (2,)
    assert blank.layers[0].output_shape == (1, 9, 8)
    assert blank.epoch_seconds is None
    assert "Two classes are assumed" in str(blank)
    table = skcnn.summary(CNNRegressor(image_shape=(8, 8), **TINY), X[:20])
    assert table.layers[-1].output_shape == (1,)


def test_frozen_layers_and_merged_names():
    network = CNNClassifier(image_shape=(8, 8), **TINY).fit(X[:50], y[:50])
    tuned = FineTunedClassifier(network, trainable="head", head_epochs=0, max_epochs=1)
    tuned.fit(X[:50], y[:50])
    table = skcnn.summary(tuned, depth=1)
    assert {row.name: row.trainable for row in table.layers}["backbone"] is False
    assert table.layers[-1].trainable is True
    assert table.n_trainable == table.layers[-1].n_parameters
    features = skcnn.summary(CNNFeatureTransformer(network))
    assert features.n_trainable == 0
    every = skcnn.summary(network, depth=None).layers
    (block, *_), rows = (
        [row for row in skcnn.summary(network, depth=1).layers if row.name == "block2"],
        [row for row in every if row.name.startswith("block2.")],
    )
    assert block.n_multiply_adds == sum(row.n_multiply_adds for row in rows)
    assert block.output_shape == rows[-1].output_shape


def test_text_and_what_is_printed():
    texts = ["who is it ?", "what is this ?"] * 4
    table = skcnn.summary(TextCNNClassifier(n_filters=3), texts, [0, 1] * 4)
    assert table.layers[-1].output_shape == (2,)
    assert table.n_multiply_adds is None
    lines = str(table).splitlines()
    assert lines[0] == "TextCNNClassifier: TextCNN"
    assert repr(table) == str(table)
    frame = table.to_frame()
    assert frame.index.tolist() == [row.name for row in table.layers]
    assert frame["n_parameters"].tolist() == [row.n_parameters for row in table.layers]
    html = table._repr_html_()
    assert html.count("<tr>") == 1 + len(table.layers)


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (MinMaxScaler(), TypeError, "MinMaxScaler has no network"),
        (CNNClassifier(), ValueError, "Pass X, or set image_shape"),
    ],
)
def test_no_network_and_no_shape(estimator, error, message):
    with pytest.raises(error, match=message):
        skcnn.summary(estimator)


@pytest.mark.slow
def test_the_default_backbone_has_its_published_costs():
    table = skcnn.summary(CNNFeatureTransformer())
    assert table.n_parameters == 4_652_008
    assert table.n_multiply_adds == pytest.approx(385e6, rel=0.01)  # timm: 0.39 GMACs
    assert table.layers[0].name == "input"
    assert table.layers[-1].output_shape == (1000,)
    assert sum(row.n_parameters for row in table.layers) == table.n_parameters
    tuned = skcnn.summary(FineTunedClassifier(image_size=64, trainable=2))
    assert sum(row.n_parameters for row in tuned.layers) == tuned.n_parameters
