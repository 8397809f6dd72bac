"""The default backbone beside timm, on photographs."""

import csv

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from skcnn import CNNFeatureTransformer
from skcnn.backbones import load_backbone

TOP1, TOP5 = 0.885, 0.985


@pytest.fixture(scope="module")
def photographs(data_dir):
    """Paths and classes of 200 photographs."""
    folder = data_dir / "images" / "imagenet200"
    with open(folder / "index.csv") as file:
        rows = list(csv.DictReader(file))
    classes = np.array([int(row["class_index"]) for row in rows])
    return [folder / row["file"] for row in rows], classes


def compute_by_timm(files):
    """Return features and scores, by timm's network and its own transform."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(load_backbone("efficientnet_lite0").module.state_dict())
    config = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**config)
    features, scores = [], []
    with torch.inference_mode():
        for file in files:
            image = transform(Image.open(file).convert("RGB"))
            maps = network.forward_features(image[None])
            features.append(network.forward_head(maps, pre_logits=True))
            scores.append(network.forward_head(maps))
    return torch.cat(features).numpy(), torch.cat(scores).numpy()


def assert_close(found, expected):
    """Compare to 1e-5 of the size of each row."""
    distances = np.linalg.norm(found - expected, axis=1)
    assert (distances <= 1e-5 * np.linalg.norm(expected, axis=1)).all()


@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_features_and_predictions_are_those_of_timm(photographs, step):
    files, classes = (part[::step] for part in photographs)
    features, scores = compute_by_timm(files)
    transformer = CNNFeatureTransformer()
    assert_close(transformer.fit_transform(files), features)
    found = transformer.set_params(layer="classifier").fit_transform(files)
    assert_close(found, scores)
    assert np.array_equal(found.argmax(1), scores.argmax(1))
    if step == 1:
        is_right = np.argsort(-found, axis=1)[:, :5] == classes[:, None]
        assert is_right[:, 0].mean() == pytest.approx(TOP1, abs=0.005)
        assert is_right.any(1).mean() == pytest.approx(TOP5, abs=0.005)
