import csv

import pytest
import torch

from skcnn.backbones import find_backbone, label_features, load_backbone
from skcnn.backbones.class_names import imagenet_classes
from skcnn.backbones.loading import SkipRandom

NUMBERS = tuple(map(str, range(1000)))


def load(name, path, n_outputs=None):
    with SkipRandom():
        module = find_backbone(name).build(n_outputs)
    weights = module.state_dict()
    torch.save({k: torch.ones_like(v) for k, v in weights.items()}, path)
    return load_backbone(name, path)


def test_classes_are_in_the_order_of_the_outputs(data_dir):
    with open(data_dir / "images" / "imagenet_classes.csv") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    names = imagenet_classes()
    assert len(set(names)) == len(names) == 1000
    pairs = zip(names, labels, strict=True)
    others = {name for name, label in pairs if name.lower() != label.lower()}
    assert others == {"crane bird", "maillot tank suit"}


@pytest.mark.parametrize(
    ("name", "layers", "others"),
    [
        ("efficientnet_lite0", ["classifier"], ["penultimate", "global_pool"]),
        ("squeezenet1_1", ["classifier", "classifier.1", "classifier.3"], ["features"]),
        ("timm/resnet10t", ["fc"], ["layer4"]),
    ],
)
def test_the_head_and_what_follows_has_the_names_of_the_classes(
    name, layers, others, tmp_path
):
    loaded = load(name, tmp_path / "weights.pth")
    for layer in layers:
        assert label_features(loaded, layer, 1000) == imagenet_classes()
        assert label_features(loaded, layer, 999) == NUMBERS[:999]
    for layer in others:
        assert label_features(loaded, layer, 1000) == NUMBERS


@pytest.mark.parametrize(("name", "n_outputs"), [("resnet18", 5), ("resnet20", None)])
def test_other_tasks_have_numbers(name, n_outputs, tmp_path):
    loaded = load(name, tmp_path / "weights.pth", n_outputs)
    assert loaded.class_names is None
    n_outputs = n_outputs or 10
    assert label_features(loaded, "fc", n_outputs) == NUMBERS[:n_outputs]


def test_untrained_and_missing_heads_have_numbers(tmp_path):
    assert load_backbone("squeezenet1_1", None).class_names is None
    with SkipRandom():
        state_dict = find_backbone("resnet18").build().state_dict()
    weights = {k: torch.ones_like(v) for k, v in state_dict.items() if "fc" not in k}
    torch.save(weights, tmp_path / "weights.pth")
    assert load_backbone("resnet18", tmp_path / "weights.pth").class_names is None
