import re
from itertools import pairwise

import pytest
import torch
from torchvision import models

from skcnn.backbones import Preprocessing, find_backbone, list_backbones
from skcnn.backbones.class_names import has_imagenet_head
from skcnn.backbones.families import FAMILIES, find_family
from skcnn.backbones.loading import SkipRandom
from skcnn.modules import ARCHITECTURES

TORCHVISION = models.list_models(module=models)
OWN = list(ARCHITECTURES)
LARGE = 50e6  # parameters


def published(name):
    return models.get_model_weights(name)


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_all_networks_of_torchvision_and_of_the_package_are_listed():
    rows = list_backbones()
    assert rows[0].name == "efficientnet_lite0"
    assert sorted(row.name for row in rows[1:]) == sorted([*TORCHVISION, *OWN])
    assert {row.library for row in rows} == {"installed", "torchvision", "skcnn"}


def test_no_name_means_two_networks():
    names = ["efficientnet_lite0", *OWN, *TORCHVISION]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("library", ["installed", "skcnn", "torchvision"])
def test_one_library_can_be_listed(library):
    expected = [row for row in list_backbones() if row.library == library]
    assert list_backbones(library) == expected


def test_another_library_is_an_error():
    with pytest.raises(ValueError, match=r"'keras' is not known.*'timm'"):
        list_backbones("keras")


def test_rows_say_which_weights_there_are_the_default_first():
    rows = {row.name: row for row in list_backbones()}
    assert rows["resnet50"].weights == ("IMAGENET1K_V2", "IMAGENET1K_V1")
    assert rows["resnet20"].weights == ("CIFAR10",)
    assert rows["convnet"].weights == rows["lenet5"].weights == ()
    for row in rows.values():
        assert row.weights == tuple(c.name for c in find_backbone(row.name).cards)


def test_places_in_the_imagenet_challenge():
    rows = {row.name: (row.year, row.ilsvrc) for row in list_backbones()}
    assert rows["alexnet"] == (2012, 1)
    assert rows["googlenet"] == (2014, 1)
    assert rows["vgg16_bn"] == (2014, 2)
    assert rows["resnet50"] == (2015, 1)
    assert rows["resnet20"] == (2015, None)
    assert rows["wide_resnet50_2"] == (2016, None)
    assert rows["lenet5"] == (1998, None)
    assert rows["efficientnet_v2_s"] == (2021, None)


def test_a_family_grows_down_the_list():
    names = [row.name for row in list_backbones()]
    for smaller, larger in pairwise(
        ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    ):
        assert names.index(smaller) < names.index(larger)
    years = [row.year for row in list_backbones("torchvision")]
    assert years == sorted(years)


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_network_of_torchvision_has_a_family(name):
    papers = re.findall(
        r"arxiv\.org/abs/([\d.]+)", models.get_model_builder(name).__doc__
    )
    family = find_family(name)
    assert not papers or family.paper.endswith(papers[0])
    if family.prefix != "alexnet":
        assert family.year == 2000 + int(family.paper.rpartition("/")[2][:2])


def test_every_family_but_senet_is_in_use():
    used = {find_family(name).prefix for name in TORCHVISION}
    assert {family.prefix for family in FAMILIES} - used == {"senet"}


@pytest.mark.parametrize("name", TORCHVISION)
def test_cards_of_torchvision_say_what_it_publishes(name):
    sets = [weights for weights in published(name) if weights.meta["categories"]]
    cards = {card.name: card for card in find_backbone(name).cards}
    assert set(cards) == {weights.name for weights in sets}
    for weights in sets:
        card = cards[weights.name]
        assert card.url == weights.url
        assert card.url.endswith(card.file_name)
        assert re.fullmatch("[0-9a-f]{8,64}", card.sha256)
        assert f"-{card.sha256}." in card.file_name
        assert card.n_outputs == 1000


@pytest.mark.parametrize("name", TORCHVISION)
def test_preprocessing_is_that_of_the_weights(name):
    cards = {card.name: card for card in find_backbone(name).cards}
    for weights in (w for w in published(name) if w.name in cards):
        transforms = weights.transforms()
        assert cards[weights.name].preprocessing == Preprocessing(
            crop_size=(transforms.crop_size[0],) * 2,
            resize_size=transforms.resize_size[0],
            interpolation=transforms.interpolation.value,
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        )


def test_weights_without_a_head_are_left_out():
    with pytest.raises(ValueError, match="IMAGENET1K_FEATURES"):
        find_backbone("vgg16").find_card("IMAGENET1K_FEATURES")


def n_published(name):
    return published(name).DEFAULT.meta["num_params"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if n_published(name) > LARGE else ())
        for name in TORCHVISION
    ],
)
def test_every_network_of_torchvision_builds_with_its_parameters(name):
    with SkipRandom():
        module = find_backbone(name).build()
    # inception_v3's number includes the second head
    assert n_parameters(module) == n_published(name) - 3326696 * (
        name == "inception_v3"
    )
    assert has_imagenet_head(module)


@pytest.mark.parametrize("name", ["vit_b_16", "maxvit_t"])
def test_a_network_of_one_image_size_is_built_for_that_of_its_weights(name):
    backbone = find_backbone(name)
    for card, weights in zip(backbone.cards, published(name), strict=True):
        with SkipRandom():
            module = backbone.build(card=card)
        size = weights.meta["min_size"]
        assert card.preprocessing.crop_size == tuple(size)
        if name == "vit_b_16":
            assert module.image_size == size[0]


def test_googlenet_undoes_the_normalisation_as_its_weights_need():
    module = find_backbone("googlenet").build()
    assert module.transform_input
    assert module.aux1 is None


@pytest.mark.parametrize("name", ["squeezenet1_0", "resnet20", "lenet5"])
def test_another_number_of_outputs_can_be_built(name):
    backbone = find_backbone(name)
    size = backbone.preprocessing.crop_size
    module = backbone.build(n_outputs=5).eval()
    with torch.inference_mode():
        assert module(torch.rand(1, 3, *size)).shape == (1, 5)


@pytest.mark.parametrize("name", [n for n in OWN if n not in ("convnet", "fcn")])
def test_own_networks_take_small_colour_images(name):
    backbone = find_backbone(name)
    assert backbone.library == "skcnn"
    assert backbone.preprocessing.crop_size == (32, 32)
    assert not backbone.needs_shape
    with torch.inference_mode():
        assert backbone.build().eval()(torch.rand(1, 3, 32, 32)).shape == (1, 10)


def test_the_plain_network_is_left_to_the_caller():
    backbone = find_backbone("convnet")
    assert backbone.needs_shape
    with pytest.raises(ValueError, match=r"build_module\('convnet'"):
        backbone.build()


def test_default_weights_are_the_first_card():
    backbone = find_backbone("resnet50")
    assert backbone.find_card() is backbone.cards[0]
    assert backbone.find_card("IMAGENET1K_V1") is backbone.cards[1]
    assert backbone.preprocessing == backbone.cards[0].preprocessing


def test_an_unknown_set_of_weights_is_an_error_that_lists_them():
    message = r"'imagenet' is not a set.*'default', 'IMAGENET1K_V2', 'IMAGENET1K_V1'"
    with pytest.raises(ValueError, match=message):
        find_backbone("resnet50").find_card("imagenet")


def test_a_network_without_weights_says_so():
    with pytest.raises(ValueError, match=r"'default'.*'lenet5'. Choose None"):
        find_backbone("lenet5").find_card()


@pytest.mark.parametrize(
    ("name", "close"),
    [("resnet19", "resnet18"), ("lenet", "lenet5"), ("ResNet50", "resnet50")],
)
def test_an_unknown_name_is_an_error_with_close_ones(name, close):
    with pytest.raises(ValueError, match=rf"'{name}' is not known.*'{close}'"):
        find_backbone(name)


def test_a_name_that_is_like_no_other_is_an_error_that_says_where_to_look():
    with pytest.raises(ValueError, match=r"known\. list_backbones\(\).*timm/<name>"):
        find_backbone("§§§")
