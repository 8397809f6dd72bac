from functools import partial

import pytest
import torch

from skcnn.data import ChannelScaler, Images, TrainingSet, find_layout
from skcnn.modules import build_module
from skcnn.runtime import make_generator
from skcnn.training import build_net


@pytest.fixture
def images(rng):
    """Twenty standardised grey images, the first ten with a bright left half."""
    X = rng.normal(size=(20, 8, 8))
    X[:10, :, :4] += 2
    scaler = ChannelScaler(find_layout((8, 8))).fit(X)
    return Images(X, scaler, torch.device("cpu"), torch.float32)


@pytest.fixture
def make_dataset(images):
    """Return a function that gives the images their labels and an order."""

    def make(weights=None, seed=0):
        targets = (torch.arange(len(images)) < 10).long()
        return TrainingSet(images, targets, weights, make_generator(seed))

    return make


@pytest.fixture
def make_net():
    """Return a function that builds a small net, its arguments those of build_net."""

    def make(architecture="convnet", dropout=0.1, **arguments):
        hyperparameters = {"n_layers": 2, "n_filters": 4, "dropout": dropout}
        factory = partial(build_module, architecture, (1, 8, 8), 2, hyperparameters)
        defaults = {
            "criterion": torch.nn.CrossEntropyLoss,
            "criterion_arguments": {},
            "blank": torch.zeros(1, 1, 8, 8),
            "n_outputs": 2,
            "optimizer": "adamw",
            "lr": 0.01,
            "weight_decay": 0.01,
            "batch_size": 8,
            "callbacks": None,
            "verbose": 0,
            "device": torch.device("cpu"),
            "precision": "float32",
            "seed": 0,
        }
        return build_net(factory, **{**defaults, **arguments})

    return make
