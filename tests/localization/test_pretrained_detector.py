import numpy as np
import pytest
import torch

from skcnn.backbones import WeightsError
from skcnn.localization import PretrainedDetector

NAME = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def network():
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options = {"weights": None, "weights_backbone": None, "num_classes": 3}
        return get_model(NAME, **options).eval()


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "ssdlite.pt"
    torch.save(network.state_dict(), path)
    return path


def test_boxes_are_those_of_torchvision(network, path, scenes):
    X = scenes[2][:2]
    labels = ["background", "ant", "bee"]
    detector = PretrainedDetector(NAME, path, labels=labels, threshold=0.3).fit()
    with torch.inference_mode():
        expected = network([torch.as_tensor(x).permute(2, 0, 1) / 255 for x in X])
    for found, one in zip(detector.predict(X), expected, strict=True):
        kept = one["scores"] >= 0.3
        assert kept.any()
        np.testing.assert_allclose(found["boxes"], one["boxes"][kept], atol=1e-3)
        assert found["labels"].tolist() == [labels[i] for i in one["labels"][kept]]


def test_weights_of_another_number_of_classes_are_an_error(path):
    with pytest.raises(WeightsError, match=r"with 91 classes\. Set n_classes"):
        PretrainedDetector(NAME, path).fit()


def test_an_unknown_name_is_an_error(path):
    with pytest.raises(ValueError, match=r"Choose one of .*ssdlite"):
        PretrainedDetector("resnet18", path).fit()
