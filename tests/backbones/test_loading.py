import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from skcnn.backbones import WeightsError, find_backbone, load_backbone
from skcnn.backbones.download import file_sha256
from skcnn.backbones.loading import SkipRandom, load_published

SIZES = {"googlenet": 224, "inception_v3": 299}


def save_torch(name, path, n_outputs=None):
    """Save an untrained network and return it."""
    module = find_backbone(name).build(n_outputs)
    torch.save(module.state_dict(), path)
    return module.eval()


def outputs(module, size=32):
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        return module(torch.rand(2, 3, size, size, generator=generator))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def test_a_file_gives_the_network_that_was_saved(path):
    module = save_torch("resnet20", path)
    loaded = load_backbone("resnet20", path)
    assert not loaded.module.training
    assert torch.equal(outputs(loaded.module), outputs(module))
    assert loaded.preprocessing == find_backbone("resnet20").preprocessing


def test_all_who_ask_get_the_same_network(path):
    save_torch("resnet20", path)
    first = load_backbone("resnet20", path)
    assert load_backbone("resnet20", str(path)) is first
    assert load_backbone("resnet20", path.parent / "." / path.name) is first


def test_threads_that_ask_at_once_get_the_same_network(path):
    save_torch("resnet20", path)
    barrier = threading.Barrier(8)

    def load(_):
        barrier.wait()
        return load_backbone("resnet20", path)

    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(load, range(8)))
    assert all(one is loaded[0] for one in loaded)


def test_a_file_that_changed_is_loaded_again(path):
    save_torch("resnet20", path)
    first = load_backbone("resnet20", path)
    module = save_torch("resnet20", path)
    second = load_backbone("resnet20", path)
    assert second.digest != first.digest
    assert torch.equal(outputs(second.module), outputs(module))


def test_the_same_weights_in_another_format_have_the_same_digest(path):
    module = save_torch("resnet20", path)
    other = path.with_name("weights.safetensors")
    save_file(module.state_dict(), other)
    first, second = (load_backbone("resnet20", p) for p in (path, other))
    assert first.digest == second.digest


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "squeezenet1_1", "lenet5"])
def test_a_file_may_have_another_number_of_outputs(name, path):
    module = save_torch(name, path, n_outputs=5)
    loaded = load_backbone(name, path)
    assert outputs(loaded.module).shape == (2, 5)
    assert torch.equal(outputs(loaded.module), outputs(module))


def test_a_file_of_another_network_is_an_error(path):
    save_torch("resnet20", path)
    for name in ("lenet5", "resnet18", "resnet32"):
        with pytest.raises(WeightsError, match="does not fit the network"):
            load_backbone(name, path)


def test_shapes_that_differ_elsewhere_than_in_the_head_are_an_error(path):
    state_dict = save_torch("resnet20", path).state_dict()
    state_dict["conv1.weight"] = torch.rand(16, 1, 3, 3)
    torch.save(state_dict, path)
    message = r"conv1.weight is \(16, 1, 3, 3\), expected \(16, 3, 3, 3\)"
    with pytest.raises(WeightsError, match=message):
        load_backbone("resnet20", path)


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "mnasnet0_5"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_networks_with_a_history_are_loaded(name, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    module = find_backbone(name).build().eval()
    state_dict = module.state_dict()
    if suffix == ".safetensors":
        save_file(state_dict, path)
    else:
        torch.save(state_dict, path)
    size = SIZES.get(name, 64)
    expected = outputs(module, size)
    assert torch.equal(outputs(load_backbone(name, path).module, size), expected)


def test_old_names_of_densenet_are_understood(path):
    module = find_backbone("densenet121").build().eval()
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.")
        if "denselayer" in name
        else name: tensor
        for name, tensor in module.state_dict().items()
    }
    assert old.keys() != module.state_dict().keys()
    torch.save(old, path)
    loaded = load_backbone("densenet121", path)
    assert torch.equal(outputs(loaded.module, 64), outputs(module, 64))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_second_heads_in_a_file_are_left_out(name, path):
    from torchvision import models

    published = models.get_model(
        name, weights=None, init_weights=False, aux_logits=True, transform_input=True
    )
    torch.save(published.state_dict(), path)
    loaded = load_backbone(name, path)
    size = SIZES[name]
    expected = outputs(published.eval(), size)
    assert torch.equal(outputs(loaded.module, size), expected)


def test_the_global_random_state_is_left_alone(path):
    for name in ("resnet20", "swin_t", "googlenet"):
        save_torch(name, path)
        before = torch.get_rng_state()
        load_backbone(name, path)
        assert torch.equal(torch.get_rng_state(), before)


def test_the_network_can_be_trained_whoever_loads_it(path):
    save_torch("resnet20", path)
    with torch.inference_mode():
        loaded = load_backbone("resnet20", path)
    parameter = next(loaded.module.parameters())
    assert parameter.requires_grad
    assert not parameter.is_inference()


def test_what_a_file_leaves_out_is_never_random():
    with SkipRandom():
        module = find_backbone("vit_b_32").build()
    weights = dict(module.named_parameters())
    assert weights["encoder.layers.encoder_layer_0.mlp.0.weight"].isnan().all()
    assert weights["encoder.pos_embedding"].isnan().all()
    assert not find_backbone("resnet20").build().conv1.weight.isnan().any()


def test_without_weights_the_network_is_new_each_time():
    torch.manual_seed(0)
    first, second = (load_backbone("resnet20", None) for _ in range(2))
    assert first.digest != second.digest
    assert not first.module.training
    torch.manual_seed(0)
    assert load_backbone("resnet20", None).digest == first.digest


def test_published_weights_are_checked_and_loaded(checkpoints):
    backbone = find_backbone("resnet20")
    checkpoints.mkdir(parents=True)
    module = save_torch("resnet20", checkpoints / "net.pth")
    card = replace(
        backbone.cards[0],
        file_name="net.pth",
        sha256=file_sha256(checkpoints / "net.pth"),
    )
    loaded = load_published(backbone, card, verbose=False)
    assert torch.equal(outputs(loaded.module), outputs(module))
    assert loaded.preprocessing is card.preprocessing


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
def test_a_file_that_is_not_the_published_one_is_an_error(name, checkpoints):
    card = find_backbone(name).cards[0]
    checkpoints.mkdir(parents=True)
    save_torch(name, checkpoints / card.file_name)
    with pytest.raises(WeightsError, match=f"expected {card.sha256}"):
        load_backbone(name)


def test_a_failure_is_not_remembered(path):
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="without running code"):
        load_backbone("resnet20", path)
    module = save_torch("resnet20", path)
    assert torch.equal(outputs(load_backbone("resnet20", path).module), outputs(module))


@pytest.mark.parametrize("weights", ["missing.pth", "./missing.safetensors"])
def test_a_file_that_is_missing_is_an_error(weights):
    with pytest.raises(WeightsError, match=r"no weights file at .*missing"):
        load_backbone("resnet20", weights)


def test_the_plain_network_cannot_be_loaded_by_name():
    with pytest.raises(ValueError, match="built without the shape of X"):
        load_backbone("convnet", None)


def test_an_unknown_set_is_an_error():
    with pytest.raises(ValueError, match="'imagenet' is not a set"):
        load_backbone("resnet18", "imagenet")
