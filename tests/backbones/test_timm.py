"""Networks of timm."""

import pytest
import timm
import torch

from skcnn.backbones import WeightsError, find_backbone, list_backbones, load_backbone

NAME = "timm/test_resnet"  # tiny


@pytest.fixture
def reference():
    return timm.create_model(NAME.removeprefix("timm/")).eval()


def test_all_are_listed_on_demand():
    rows = list_backbones("timm")
    assert [row.name for row in rows] == [f"timm/{n}" for n in timm.list_models()]
    found = {row.name: row for row in rows}
    assert (found["timm/senet154"].year, found["timm/senet154"].ilsvrc) == (2017, 1)
    assert (found["timm/seresnet50"].year, found["timm/seresnet50"].ilsvrc) == (2017, 1)
    assert found["timm/resnet18"].weights[0] == "a1_in1k"


def test_the_preprocessing_is_timms():
    for name in ("resnet18", "senet154", "vit_base_patch16_siglip_224", NAME[5:]):
        config = timm.get_pretrained_cfg(name)
        expected = timm.data.create_transform(
            **timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
        )
        resize, crop, *_, normalize = expected.transforms
        ours = find_backbone(f"timm/{name}").preprocessing
        sizes = ours.resize_size
        assert resize.size == (sizes if isinstance(sizes, int) else list(sizes))
        assert tuple(crop.size) == ours.crop_size
        assert resize.interpolation.value == ours.interpolation
        assert normalize.mean.tolist() == pytest.approx(ours.mean)
        assert normalize.std.tolist() == pytest.approx(ours.std)


def test_cards_of_every_common_network_parse():
    for name in timm.list_models(["resnet*", "vit_*", "convnext*", "tf_efficient*"]):
        backbone = find_backbone(f"timm/{name}")
        assert len({card.name for card in backbone.cards}) == len(backbone.cards)
        for card in backbone.cards:
            assert card.hub_id or card.url


def test_a_tag_in_the_name_is_the_default():
    backbone = find_backbone("timm/resnet18.a3_in1k")
    assert backbone.find_card().name == "a3_in1k"
    assert find_backbone("timm/resnet18").find_card("a3_in1k").name == "a3_in1k"
    assert backbone.preprocessing.crop_size == (160, 160)


@pytest.mark.parametrize("name", ["timm/resnet19", "timm/resnet18.no_such_tag"])
def test_an_unknown_name_is_an_error_with_close_ones(name):
    with pytest.raises(ValueError, match=r"not known.*'timm/resnet18'"):
        find_backbone(name)


def test_a_file_gives_the_outputs_of_timm(reference, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), path)
    loaded = load_backbone(NAME, path)
    batch = torch.rand(2, 3, *loaded.preprocessing.crop_size)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.module(batch), reference(batch))
    assert "state_dict" not in loaded.module.pretrained_cfg


def test_a_file_may_have_another_number_of_outputs(tmp_path):
    path = tmp_path / "weights.pth"
    tuned = timm.create_model(NAME.removeprefix("timm/"), num_classes=5)
    torch.save(tuned.state_dict(), path)
    assert load_backbone(NAME, path).module.num_classes == 5


def test_gaps_and_strangers_in_a_file_are_an_error(reference, tmp_path):
    path = tmp_path / "weights.pth"
    state_dict = reference.state_dict()
    first = next(iter(state_dict))
    torch.save({k: v for k, v in state_dict.items() if k != first}, path)
    with pytest.raises(WeightsError, match=first):
        load_backbone(NAME, path)
    torch.save(state_dict | {"stranger": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="stranger"):
        load_backbone(NAME, path)


def test_a_lenient_network_of_timm_minds_gaps_too(tmp_path):
    path = tmp_path / "weights.pth"
    state_dict = timm.create_model("dla34").state_dict()
    del state_dict["base_layer.0.weight"]
    torch.save(state_dict, path)
    with pytest.raises(WeightsError, match=r"base_layer\.0\.weight"):
        load_backbone("timm/dla34", path)


def test_without_weights_the_network_is_untrained():
    first, second = (load_backbone(NAME, None) for _ in range(2))
    assert first.digest != second.digest
