"""Checkpoints as people have them: loaded right, or a clear error."""

import os
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skcnn import CNNFeatureTransformer, FineTunedClassifier
from skcnn.backbones import (
    FineTunedNetwork,
    WeightsError,
    cut_network,
    find_backbone,
    load_backbone,
)

HEAD = ("linear.weight", "linear.bias")
BATCH = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def randomized(module, seed=0):
    """Return the network with other statistics of batch normalisation, too."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.01, 0.1, generator=generator)
    return module.eval()


@pytest.fixture(scope="module")
def resnet():
    return randomized(find_backbone("resnet20").build())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pth"


def outputs(module, layer, batch=BATCH):
    with torch.inference_mode():
        return cut_network(module, [layer])(batch)[0]


def prefixed(prefix, weights):
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def cast(weights, dtype):
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }


def assert_same(module, other, heads=()):
    """Check that two networks have the same weights, counters and heads aside."""
    found, expected = module.state_dict(), other.state_dict()
    assert found.keys() == expected.keys()
    for name in found:
        if name not in heads and not name.endswith("num_batches_tracked"):
            assert torch.equal(found[name], expected[name])


def without(names, weights):
    return {name: value for name, value in weights.items() if name not in names}


OPTIMIZER = {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]}
WHOLE = {
    "alone": dict,
    "state_dict": lambda w: {"state_dict": w, "epoch": 3, "optimizer": OPTIMIZER},
    "model_state_dict": lambda w: {"model_state_dict": w, "loss": 0.5},
    "model": lambda w: {"model": w, "args": {"lr": 0.1}},
    "ema": lambda w: {"ema": w, "step": 3},
    "one in another": lambda w: {"model": {"state_dict": w}},
    "parallel": lambda w: {"state_dict": prefixed("module.", w)},
    "compiled": lambda w: prefixed("_orig_mod.", w),
    "compiled, parallel": lambda w: prefixed("_orig_mod.module.", w),
    "backbone": lambda w: prefixed("backbone.", w),
    "model, prefixed": lambda w: {"state_dict": prefixed("model.", w)},
    "encoder": lambda w: prefixed("module.encoder.", w),
    "others beside": lambda w: {
        "queue": torch.rand(2, 3),
        "decoder.conv1.weight": torch.rand(4, 3, 3, 3),
        **prefixed("encoder.", w),
        "predictor.0.weight": torch.rand(2, 2),
    },
    "averaged": lambda w: {"n_averaged": torch.tensor(7), **prefixed("module.", w)},
    "without counters": lambda w: {k: v for k, v in w.items() if "num_b" not in k},
    "counters that were averaged": lambda w: {
        k: v.double() if "num_b" in k else v for k, v in w.items()
    },
    "parameters": lambda w: {
        k: nn.Parameter(v) if k in HEAD else v for k, v in w.items()
    },
    "another order": lambda w: dict(reversed(w.items())),
}


@pytest.mark.parametrize("change", WHOLE.values(), ids=WHOLE)
def test_a_whole_network_is_loaded(resnet, path, change):
    torch.save(change(resnet.state_dict()), path)
    assert_same(load_backbone("resnet20", path).module, resnet)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_loaded(resnet, tmp_path, dtype):
    weights = cast(resnet.state_dict(), dtype)
    save_file(prefixed("model.", weights), tmp_path / "weights.safetensors")
    loaded = load_backbone("resnet20", tmp_path / "weights.safetensors").module
    expected = find_backbone("resnet20").build().eval()
    expected.load_state_dict(weights)
    assert_same(loaded, expected)


def test_another_number_of_outputs_is_loaded_behind_a_prefix(path):
    module = randomized(find_backbone("resnet20").build(5))
    torch.save({"model": prefixed("module.model.", module.state_dict())}, path)
    assert_same(load_backbone("resnet20", path).module, module)


HEADLESS = {
    "no head": lambda w: without(HEAD, w),
    "no head, prefixed": lambda w: prefixed("module.encoder_q.", without(HEAD, w)),
    "head of two layers": lambda w: (
        without(HEAD, w)
        | {"linear.0.weight": torch.rand(9, 64), "linear.2.weight": torch.rand(4, 9)}
    ),
    "head of other features": lambda w: (
        w | {"linear.weight": torch.rand(7, 128), "linear.bias": torch.rand(7)}
    ),
    "head without bias": lambda w: (
        without(HEAD, w) | {"linear.weight": torch.rand(7, 64)}
    ),
    "SimSiam": lambda w: {
        "state_dict": {
            **prefixed("module.encoder.", without(HEAD, w)),
            "module.encoder.linear.0.weight": torch.rand(64, 64),
            "module.encoder.linear.1.running_mean": torch.rand(64),
            "module.predictor.0.weight": torch.rand(16, 64),
        }
    },
}


@pytest.mark.parametrize("change", HEADLESS.values(), ids=HEADLESS)
def test_a_network_without_its_head_is_loaded(resnet, path, change):
    torch.save(change(resnet.state_dict()), path)
    loaded = load_backbone("resnet20", path).module
    assert_same(loaded, resnet, HEAD)
    assert loaded.linear.weight.isnan().all()


def test_a_network_without_its_head_has_features(resnet, path):
    torch.save(without(HEAD, resnet.state_dict()), path)
    loaded = load_backbone("resnet20", path).module
    for layer in ("layer2", "penultimate"):
        assert torch.equal(outputs(loaded, layer), outputs(resnet, layer))
    tuned = FineTunedNetwork(loaded, BATCH.shape[1:], 2).eval()
    expected = FineTunedNetwork(resnet, BATCH.shape[1:], 2).eval()
    assert torch.equal(tuned.features(BATCH), expected.features(BATCH))


@pytest.mark.parametrize("layer", ["linear", ["penultimate", "linear"]])
def test_a_head_without_weights_is_an_error(resnet, path, layer):
    torch.save(without(HEAD, resnet.state_dict()), path)
    transformer = CNNFeatureTransformer("resnet20", weights=path, layer=layer)
    with pytest.raises(WeightsError, match=r"head 'linear'.*Choose a layer before it"):
        transformer.fit(BATCH.numpy())


def test_a_network_that_was_fine_tuned_here_has_features(path):
    y = [0, 1, 1]
    estimator = FineTunedClassifier("resnet20", weights=None, max_epochs=1)
    module = estimator.fit(BATCH.numpy(), y).module_
    torch.save(module.state_dict(), path)
    loaded = load_backbone("resnet20", path).module
    with torch.inference_mode():
        torch.testing.assert_close(
            outputs(loaded, "penultimate"), module.cpu().features(BATCH)
        )


def test_the_default_backbone_that_was_fine_tuned_here_has_features(path):
    original = load_backbone("efficientnet_lite0").module
    module = FineTunedNetwork(original, (3, 64, 64), 2).eval()
    with torch.no_grad():
        module.backbone.conv_stem.weight *= 0.5
    torch.save({"state_dict": prefixed("module.", module.state_dict())}, path)
    batch = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = module.features(batch)
    for name in ("efficientnet_lite0", "timm/tf_efficientnet_lite0"):
        loaded = load_backbone(name, path).module
        found = outputs(loaded, "penultimate", batch)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        with pytest.raises(WeightsError, match="head 'classifier'"):
            outputs(loaded, "classifier", batch)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("squeezenet1_1", "classifier."),
        ("vgg11", "classifier.6."),
        ("lenet5", "11."),
    ],
)
def test_heads_are_what_the_number_of_outputs_changes(name, heads):
    from skcnn.backbones.checkpoints import find_heads
    from skcnn.backbones.loading import SkipRandom

    backbone = find_backbone(name)
    with SkipRandom():
        assert find_heads(backbone, backbone.build().state_dict()) == (heads,)


def with_first(weights, tensor):
    return weights | {"conv1.weight": tensor}


def conv1(weights):
    return weights["conv1.weight"]


FAULTS = {
    "int32": (
        lambda w: {k: v.int() for k, v in w.items()},
        r"conv1\.weight is a tensor of int32, expected a dense float32 tensor",
    ),
    "bool": (lambda w: with_first(w, conv1(w) > 0), "is a tensor of bool"),
    "complex": (lambda w: with_first(w, conv1(w) * 1j), "of complex64"),
    "float8": (lambda w: cast(w, torch.float8_e4m3fn), "of float8_e4m3fn"),
    "sparse": (lambda w: with_first(w, conv1(w).to_sparse()), "of sparse_coo"),
    "meta": (lambda w: with_first(w, conv1(w).to("meta")), "without values"),
    "running mean of integers": (
        lambda w: w | {"bn1.running_mean": torch.ones(16, dtype=torch.int64)},
        r"bn1\.running_mean is a tensor of int64",
    ),
    "too large for float32": (
        lambda w: with_first(cast(w, torch.float64), conv1(w).double() * 1e300),
        r"conv1\.weight contains NaN, infinity or a value too large",
    ),
    "not finite": (lambda w: with_first(w, conv1(w) / 0), "contains NaN"),
    "numbers as names": (lambda w: dict(enumerate(w.values())), "has the key 0"),
    "another envelope": (
        lambda w: {"net": w, "acc": 0.9},
        r"holds OrderedDict as 'net'.*under one of \['state_dict', 'model_state_dict'",
    ),
    "empty envelope": (lambda w: {"state_dict": {}}, "without tensors"),
    "half a head": (lambda w: without(HEAD[1:], w), r"Missing: linear\.bias"),
    "a layer less": (
        lambda w: without({"layer2.1.conv2.weight"}, w),
        r"Missing: layer2\.1\.conv2\.weight\. Are these",
    ),
    "a layer less, prefixed": (
        lambda w: prefixed("model.", without({"layer2.1.conv2.weight"}, w)),
        r"Missing: layer2\.1\.conv2\.weight\. Are these",
    ),
    "a layer more": (
        lambda w: w | {"projector.weight": torch.rand(2, 2)},
        r"Unexpected: projector\.weight",
    ),
    "other names": (
        lambda w: {k.replace("conv", "c").replace("bn", "b"): v for k, v in w.items()},
        r"Missing: conv1\.weight; bn1\.weight; bn1\.bias and \d+ more\. "
        r"Unexpected: c1\.weight; b1\.weight; b1\.bias and \d+ more\.",
    ),
    "another shape": (
        lambda w: with_first(w, conv1(w)[:, :1]),
        r"conv1\.weight is \(16, 1, 3, 3\), expected \(16, 3, 3, 3\)",
    ),
    "two networks": (
        lambda w: prefixed("encoder_q.", w) | prefixed("encoder_k.", w),
        "several matching networks.*'encoder_q.' and 'encoder_k.'",
    ),
    "an average beside": (
        lambda w: w | prefixed("ema.", w),
        "several matching networks.*'' and 'ema.'",
    ),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")  # torch's, not ours
@pytest.mark.parametrize(("change", "words"), FAULTS.values(), ids=FAULTS)
def test_what_is_no_network_is_a_clear_error(resnet, path, change, words):
    torch.save(change(OrderedDict(resnet.state_dict())), path)
    with pytest.raises(WeightsError, match=words):
        load_backbone("resnet20", path)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.float8_e5m2])
def test_networks_of_timm_take_no_other_kinds_of_numbers(path, dtype):
    module = find_backbone("timm/test_resnet").build()
    weights = {name: tensor.to(dtype) for name, tensor in module.state_dict().items()}
    for change in (dict, lambda w: {k.replace("conv", "c"): v for k, v in w.items()}):
        torch.save(change(weights), path)
        with pytest.raises(WeightsError, match="weight is a tensor of"):
            load_backbone("timm/test_resnet", path)


def test_a_folder_is_an_error_that_says_so(tmp_path):
    for weights in (tmp_path, str(tmp_path)):
        with pytest.raises(WeightsError, match="is a folder, expected a weights file"):
            load_backbone("resnet20", weights)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_fifo_is_an_error_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="is not a regular file, expected"):
        load_backbone("resnet20", tmp_path / "weights.pth")
