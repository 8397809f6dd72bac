"""Backbones of the feature transformer: names, weights, layers, modules, estimators."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils import get_tags
from torch import nn

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
)
from skcnn.backbones import WeightsError, load_backbone
from skcnn.features import POOLINGS

RTOL = 1e-5
SMALL = {"n_layers": 2, "n_filters": 4, "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def weights(data_dir):
    """Files of weights by the name of the backbone."""
    folder = data_dir / "weights"
    return {
        "resnet20": folder / "resnet20_cifar10.safetensors",
        "squeezenet1_0": folder / "squeezenet1_0_imagenet.fp32.safetensors",
    }


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def digits():
    """Grey images whose brighter half is the label."""
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    X = rng.integers(0, 150, size=(36, 9, 8))
    for image, label in zip(X, y, strict=True):
        image[3 * label : 3 * label + 3] += 90
    return X, y


def assert_close(features, expected, rtol=RTOL):
    np.testing.assert_allclose(
        features, expected, rtol=0, atol=rtol * np.abs(expected).max()
    )


# Names and weights


def test_the_same_weights_are_loaded_once(weights, pixels):
    first, second = (
        CNNFeatureTransformer("resnet20", weights=str(weights["resnet20"])).fit(pixels)
        for _ in range(2)
    )
    assert clone(first).fit(pixels).module_ is first.module_ is second.module_


def test_a_pickle_holds_no_published_weights(weights, pixels):
    fitted = CNNFeatureTransformer("resnet20", weights=weights["resnet20"]).fit(pixels)
    fitted.transform(pixels)
    assert len(pickle.dumps(fitted)) < 4000


@pytest.mark.numerics
def test_half_precision_files_give_features_that_are_near(weights, data_dir, pixels):
    fp16 = data_dir / "weights" / "squeezenet1_0_imagenet.fp16.safetensors"
    found, expected = (
        CNNFeatureTransformer(
            "squeezenet1_0", weights=path, image_size=64
        ).fit_transform(pixels)
        for path in (fp16, weights["squeezenet1_0"])
    )
    assert not np.array_equal(found, expected)
    assert_close(found, expected, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet20", "convnet", "resnet18"])
def test_random_weights_are_those_of_the_random_state(backbone, pixels):
    def features(random_state):
        transformer = CNNFeatureTransformer(
            backbone, weights=None, random_state=random_state
        )
        return transformer.fit_transform(pixels[:2])

    first = features(0)
    np.testing.assert_array_equal(features(0), first)
    assert not np.allclose(features(1), first, rtol=1e-2)
    generator = np.random.RandomState(0)
    np.testing.assert_array_equal(features(generator), first)
    assert not np.allclose(features(generator), first, rtol=1e-2)
    np.random.seed(0)  # noqa: NPY002, which None stands for in scikit-learn
    np.testing.assert_array_equal(features(None), first)


@pytest.mark.numerics
def test_random_weights_are_drawn_anew_in_each_fit_without_random_state(pixels):
    transformer = CNNFeatureTransformer("resnet20", weights=None)
    first = transformer.fit_transform(pixels)
    np.testing.assert_array_equal(transformer.transform(pixels), first)
    assert not np.allclose(transformer.fit_transform(pixels), first, rtol=1e-2)


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"backbone": "resnet81"}, "'resnet81' is not known. Did you mean 'resnet18'"),
        ({"backbone": "timm/resnet81"}, "'timm/resnet81' is not known"),
        ({"backbone": "resnet20", "weights": "V7"}, "'V7' is not a set .*'CIFAR10'"),
        ({"backbone": "convnet"}, "Choose None"),
        ({"pooling": "median"}, "'pooling' parameter of CNNFeatureTransformer"),
        ({"precision": "float16"}, "'precision' parameter"),
        ({"on_error": "ignore"}, "'on_error' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"image_size": 0}, "'image_size' parameter"),
        ({"memory_bytes_limit": 0}, "'memory_bytes_limit' parameter"),
    ],
)
def test_parameters_are_checked(pixels, method, parameters, words):
    transformer = CNNFeatureTransformer(**parameters)
    with pytest.raises(ValueError, match=words):
        getattr(transformer, method)(pixels)


@pytest.mark.parametrize("method", ["fit", "transform", "get_feature_names_out"])
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"layer": "layer9.0"}, r"layer='layer9.0' is not one of .*'layer\d"),
        (
            {"layer": ["penultimate", "leyer3"]},
            "layer='leyer3' is not one of .*'layer3",
        ),
        ({"layer": []}, "expected the name of a layer or a list"),
        ({"layer": ["layer3", 2]}, "expected the name of a layer or a list"),
        ({"device": "cuda:97"}, "'cuda:97' is not available"),
        ({"image_size": (32, 32, 3)}, "expected a positive integer or a tuple"),
        ({"image_size": (32, 0)}, "expected a positive integer or a tuple"),
        ({"preprocessing": "resnet18"}, "is for a torch.nn.Module"),
    ],
)
def test_what_the_network_cannot_do_is_refused(
    weights, pixels, method, parameters, words
):
    transformer = CNNFeatureTransformer(
        "resnet20", **{"weights": weights["resnet20"]} | parameters
    )
    arguments = [pixels] if method != "get_feature_names_out" else []
    with pytest.raises(ValueError, match=words):
        getattr(transformer, method)(*arguments)


@pytest.mark.parametrize(
    ("backbone", "parameters", "words"),
    [
        (nn.Conv2d(3, 2, 1), {"weights": "a.safetensors"}, "weights='a.safetensors'"),
        (nn.Conv2d(3, 2, 1), {"image_size": 16}, "image_size=16 is given"),
        (nn.Conv2d(3, 2, 1), {"preprocessing": "convnet"}, "without published"),
        (nn.Conv2d(3, 2, 1), {"preprocessing": "resnet81"}, "is not known"),
        (CNNClassifier(), {"weights": "V1"}, "weights='V1'"),
        (CNNClassifier(), {"image_size": 16}, "image_size=16"),
        (CNNClassifier(), {"preprocessing": "resnet18"}, "is for a torch.nn.Module"),
        ("convnet", {"weights": None, "image_size": 16}, "image_size=16"),
        ("resnet20", {"weights": None, "image_size": 16}, "image_size=16"),
    ],
)
def test_no_parameter_is_ignored(pixels, backbone, parameters, words):
    with pytest.raises(ValueError, match=words):
        CNNFeatureTransformer(backbone, **parameters).fit(pixels, np.arange(6) % 2)


def test_a_fitted_estimator_has_no_use_for_an_image_size(digits):
    fitted = CNNClassifier(**SMALL).fit(*digits)
    with pytest.raises(ValueError, match="image_size=16"):
        CNNFeatureTransformer(fitted, image_size=16).transform(digits[0])


def test_the_display_of_an_unfitted_transformer_loads_nothing(weights, monkeypatch):
    monkeypatch.setattr("skcnn._base.backbone_parameter.load_backbone", None)
    transformer = CNNFeatureTransformer("resnet20", weights="CIFAR10")
    assert "resnet20" in transformer._repr_html_()
    assert not hasattr(transformer, "module_")


@pytest.mark.parametrize("content", ["missing", "text"])
def test_weights_that_are_no_good_are_named(pixels, content, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content == "text":
        path.write_text("no weights")
    transformer = CNNFeatureTransformer("resnet20", weights=path)
    for method in (transformer.fit, transformer.transform):
        with pytest.raises(WeightsError, match=r"weights\.safetensors"):
            method(pixels)


def test_a_file_that_is_replaced_after_fit_is_an_error(weights, pixels, tmp_path):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights["resnet20"].read_bytes())
    transformer = CNNFeatureTransformer("resnet20", weights=path).fit(pixels)
    features = transformer.transform(pixels)
    tensors = load_file(path)
    tensors["conv1.weight"] = 2 * tensors["conv1.weight"]
    save_file(tensors, path)
    for fitted in (transformer, pickle.loads(pickle.dumps(transformer))):
        with pytest.raises(WeightsError, match=r"weights\.safetensors.*fit again"):
            fitted.transform(pixels)
    path.write_bytes(weights["resnet20"].read_bytes())
    assert np.array_equal(transformer.transform(pixels), features)
    save_file(tensors, path)
    assert not np.array_equal(clone(transformer).transform(pixels), features)
    assert not np.array_equal(transformer.fit_transform(pixels), features)
    moved = path.rename(tmp_path / "moved.safetensors")
    transformer.set_params(weights=moved).transform(pixels)


# Layers


@pytest.mark.numerics
@pytest.mark.parametrize("backbone", ["resnet20", "squeezenet1_0"])
def test_layers_side_by_side_are_the_single_layers(weights, pixels, backbone):
    def features(layer, pooling="avg"):
        transformer = CNNFeatureTransformer(
            backbone,
            weights=weights[backbone],
            layer=layer,
            pooling=pooling,
            image_size=40,
        )
        found = transformer.fit_transform(pixels)
        assert len(transformer.get_feature_names_out()) == found.shape[1]
        return found

    names = CNNFeatureTransformer(backbone, weights=weights[backbone]).layer_names()
    some = [names[2], "penultimate", names[len(names) // 2], names[-1]]
    for pooling in ("avg", None):
        expected = np.hstack([features(name, pooling) for name in some])
        assert_close(features(some, pooling), expected)
        assert_close(features(tuple(some), pooling), expected)


@pytest.mark.slow
def test_every_layer_has_features_and_names(weights, pixels):
    transformer = CNNFeatureTransformer("resnet20", weights=weights["resnet20"])
    names = transformer.layer_names()
    assert {"conv1", "layer1.0.conv1", "linear"} <= set(names)
    for name in names[1:]:
        found = transformer.set_params(layer=name).fit_transform(pixels[:1])
        assert found.shape == (1, len(transformer.get_feature_names_out()))


def test_the_layers_of_the_alexnet_paper_have_their_names(pixels):
    transformer = CNNFeatureTransformer(
        "alexnet", weights=None, layer=["fc6", "fc7"], random_state=0
    )
    found = transformer.fit_transform(pixels[:2])
    assert found.shape == (2, 2 * 4096)
    assert (found >= 0).all()
    names = transformer.get_feature_names_out()
    assert names[[0, 4096]].tolist() == ["alexnet_fc6_0", "alexnet_fc7_0"]


@pytest.mark.numerics
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_that_of_the_maps(weights, pixels, pooling):
    def features(pooling):
        return CNNFeatureTransformer(
            "resnet20", weights=weights["resnet20"], layer="layer2", pooling=pooling
        ).fit_transform(pixels)

    maps = features(None).reshape(len(pixels), 32, -1)
    expected = {
        "avg": maps.mean(2),
        "max": maps.max(2),
        "avgmax": (maps.mean(2) + maps.max(2)) / 2,
        "gem": np.cbrt((np.maximum(maps, 1e-6).astype(float) ** 3).mean(2)),
    }
    assert_close(features(pooling), expected[pooling])


def test_parameters_that_are_set_after_fit_hold_for_the_names_too(weights, pixels):
    transformer = CNNFeatureTransformer("resnet20", weights=weights["resnet20"])
    transformer.fit_transform(pixels)
    for parameters in ({"layer": "layer1"}, {"pooling": None}, {"layer": ["conv1"]}):
        found = transformer.set_params(**parameters).transform(pixels)
        assert len(transformer.get_feature_names_out()) == found.shape[1]


# Networks of timm


@pytest.mark.numerics
def test_networks_of_timm_have_names(pixels):
    pytest.importorskip("timm")
    transformer = CNNFeatureTransformer(
        "timm/resnet10t", weights=None, image_size=32, random_state=0
    )
    found = transformer.fit_transform(pixels)
    assert found.shape == (6, 512)
    assert transformer.get_feature_names_out()[0] == "resnet10t_penultimate_0"
    np.testing.assert_array_equal(clone(transformer).fit_transform(pixels), found)


# Modules


class Halved(nn.Sequential):
    """A network that is run as it is, and does more than its layers do."""

    def forward(self, x):
        return super().forward(x / 2)


def make_module(cls=nn.Sequential, n_channels=3):
    torch.manual_seed(0)
    layers = nn.Conv2d(n_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    module = cls(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    module[1].running_mean.uniform_(-1, 1)
    module[1].running_var.uniform_(0.5, 2)
    return module


def before_head(module, X):
    """Return what the last layer of a module receives in evaluation."""
    module, seen = copy.deepcopy(module).eval(), []
    module[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        module(torch.from_numpy(X).permute(0, 3, 1, 2).float())
    return seen[0].numpy()


@pytest.mark.numerics
@pytest.mark.parametrize("cls", [nn.Sequential, Halved])
@pytest.mark.parametrize("training", [True, False])
def test_a_module_computes_its_own_features(pixels, cls, training):
    with torch.random.fork_rng():
        module = make_module(cls).train(training)
    transformer = CNNFeatureTransformer(module, preprocessing="resnet20")
    found = transformer.transform(pixels)
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    assert_close(found, before_head(module, (pixels / 255 - mean) / std))
    learnt = CNNFeatureTransformer(module).fit(pixels)
    scaled = (pixels - pixels.mean((0, 1, 2))) / pixels.std((0, 1, 2))
    assert_close(learnt.transform(pixels), before_head(module, scaled))
    assert all(part.training == training for part in module.modules())


def test_the_module_itself_is_not_copied_and_not_changed(pixels):
    with torch.random.fork_rng():
        module = make_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fitted = CNNFeatureTransformer(module).fit(pixels)
    fitted.set_params(precision="bfloat16").transform(pixels)
    assert fitted.module_ is module
    assert all(torch.equal(module.state_dict()[k], v) for k, v in before.items())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_another_weight_of_a_module_is_another_entry_of_the_cache(pixels, tmp_path):
    with torch.random.fork_rng():
        module = make_module()
    transformer = CNNFeatureTransformer(
        module, preprocessing="resnet20", memory=tmp_path
    ).fit(pixels)
    first = transformer.transform(pixels)
    module[0].bias.data[0] += 1
    second = transformer.transform(pixels)
    assert transformer.cache_info_ == (0, 2 * len(pixels))
    assert not np.allclose(first, second)


@pytest.mark.numerics
def test_random_weights_may_be_changed_after_fit(pixels, tmp_path):
    make = partial(CNNFeatureTransformer, "resnet20", weights=None, memory=tmp_path)
    changed, other = (make(random_state=i).fit(pixels) for i in (0, 1))
    first = changed.transform(pixels)
    changed.module_.load_state_dict(other.module_.state_dict())
    second = changed.transform(pixels)
    assert not np.allclose(first, second)
    other.set_params(memory=None)
    assert_close(second, other.transform(pixels))


class Viewing(nn.Module):
    """A network that flattens its maps as many do."""

    def __init__(self, input_shape=(3, 32, 32), n_outputs=2):
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 4, 3, padding=1)
        self.head = nn.Linear(4 * input_shape[1] * input_shape[2], n_outputs)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        return self.head(x.view(x.size(0), -1))


@pytest.mark.numerics
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_maps_may_be_flattened_by_view(pixels, precision, is_nested):
    with torch.random.fork_rng():
        network = Viewing().eval()
    module = nn.Sequential(network) if is_nested else network
    scaled = (pixels - pixels.mean((0, 1, 2))) / pixels.std((0, 1, 2))
    batch = torch.from_numpy(scaled).permute(0, 3, 1, 2).float().contiguous()
    with torch.no_grad():
        expected = torch.relu(network.conv(batch)).flatten(1).numpy()
    transformer = CNNFeatureTransformer(module, precision=precision).fit(pixels)
    rtol = RTOL if precision == "float32" else 0.02
    assert_close(transformer.transform(pixels), expected, rtol)
    assert not module._forward_pre_hooks


@pytest.mark.parametrize("n_channels", [1, 3])
def test_estimators_train_networks_that_flatten_by_view(n_channels):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 8, 8, n_channels)), np.arange(40) % 2
    clf = CNNClassifier(Viewing, max_epochs=2, channel_axis=-1, random_state=0)
    clf.fit(X, y)
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(clf.predict_proba(X), again.predict_proba(X))
    assert CNNFeatureTransformer(clf).fit(X).transform(X).shape == (40, 4 * 64)
    network = Viewing((n_channels, 8, 8))
    tuned = FineTunedClassifier(network, trainable="all", max_epochs=1, random_state=0)
    assert tuned.fit(X, y).predict(X).shape == (40,)


@pytest.mark.numerics
@pytest.mark.parametrize(
    "parameters",
    [
        {"layer": "conv1"},
        {"pooling": "max"},
        {"image_size": 24},
        {"precision": "float64"},
        {"precision": "bfloat16"},
    ],
)
def test_the_cache_tells_parameters_apart(weights, pixels, parameters, tmp_path):
    def features(**parameters):
        transformer = CNNFeatureTransformer(
            "resnet20",
            **{"weights": weights["resnet20"], "layer": "layer2"} | parameters,
        ).fit(pixels)
        return transformer.transform(pixels), transformer.cache_info_

    features(memory=tmp_path)
    found, counts = features(**parameters, memory=tmp_path)
    assert counts == (0, len(pixels))
    np.testing.assert_array_equal(found, features(**parameters)[0])


# Estimators


@pytest.mark.numerics
@pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
def test_an_unfitted_estimator_is_trained_on_y(digits, cls):
    X, y = digits
    network = cls(**SMALL)
    transformer = CNNFeatureTransformer(network).fit(X, y)
    assert not network.__sklearn_is_fitted__()
    expected = clone(network).fit(X, y)
    np.testing.assert_array_equal(
        transformer.estimator_.predict(X), expected.predict(X)
    )
    np.testing.assert_array_equal(
        transformer.transform(X), CNNFeatureTransformer(expected).transform(X)
    )
    with pytest.raises(ValueError, match="requires y to be passed"):
        clone(transformer).fit(X)


@pytest.mark.numerics
def test_an_unfitted_estimator_that_reads_files_is_trained_on_them(
    weights, pixels, tmp_path
):
    paths, labels = [tmp_path / f"{i}.png" for i in range(6)], ["ant", "bee"] * 3
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    network = FineTunedClassifier(
        "squeezenet1_0",
        weights=weights["squeezenet1_0"],
        trainable="head",
        image_size=64,
    )
    transformer = CNNFeatureTransformer(network, random_state=0)
    assert get_tags(transformer).input_tags.string
    features = transformer.fit_transform(paths, labels)
    assert features.shape == (len(paths), 512)
    fitted = CNNFeatureTransformer(transformer.estimator_)
    np.testing.assert_array_equal(features, fitted.transform(paths))


@pytest.mark.numerics
@pytest.mark.parametrize("routing", [False, True])
def test_metadata_reach_an_unfitted_estimator(digits, routing):
    X, y = digits
    network = CNNClassifier(**SMALL)
    weights = 1.0 + y
    expected = clone(network).fit(X, y, sample_weight=weights)
    with config_context(enable_metadata_routing=routing):
        if routing:
            network.set_fit_request(sample_weight=True)
        transformer = CNNFeatureTransformer(network)
        name = "sample_weight" if routing else "cnnfeaturetransformer__sample_weight"
        pipeline = make_pipeline(transformer, PCA(2)).fit(X, y, **{name: weights})
        transformer.fit(X, y, sample_weight=weights)
    for fitted in (transformer, pipeline[0]):
        np.testing.assert_array_equal(
            fitted.transform(X), CNNFeatureTransformer(expected).transform(X)
        )


def test_metadata_that_nothing_is_trained_with_are_refused(digits):
    X, y = digits
    fitted = CNNFeatureTransformer(CNNClassifier(**SMALL).fit(X, y))
    with pytest.raises(TypeError, match=r"fit got sample_weight.*cnnclassifier is not"):
        fitted.fit(X, y, sample_weight=np.ones(len(X)))
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(TypeError, match="sample_weight"),
    ):
        fitted.fit(X, y, sample_weight=np.ones(len(X)))


@pytest.mark.numerics
def test_the_features_of_an_estimator_are_what_its_head_receives(digits):
    X, y = digits
    fitted = CNNClassifier(**SMALL, dropout=0.3).fit(X, y)
    features = CNNFeatureTransformer(fitted).transform(X)
    head = fitted.module_[-1][-1]
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_array_equal(fitted.classes_[logits.argmax(1)], fitted.predict(X))
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(
        exponentials / exponentials.sum(1, keepdims=True),
        fitted.predict_proba(X),
        atol=1e-5,
    )


@pytest.mark.numerics
def test_random_state_is_that_of_the_training_where_it_is_given(digits):
    X, y = digits

    def features(own, outer):
        network = CNNClassifier(**SMALL | {"random_state": own})
        return CNNFeatureTransformer(network, random_state=outer).fit_transform(X, y)

    np.testing.assert_array_equal(features(None, 0), features(1, 0))
    assert not np.allclose(features(1, 0), features(1, 1), rtol=1e-2)
    assert not np.allclose(features(0, None), features(1, None), rtol=1e-2)


@pytest.mark.numerics
@pytest.mark.parametrize("wrap", [lambda network: network, FrozenEstimator])
def test_a_fitted_estimator_is_used_as_it_is(digits, wrap):
    X, y = digits
    network = CNNClassifier(**SMALL).fit(X, y)
    transformer = CNNFeatureTransformer(wrap(network))
    expected = transformer.transform(X)
    for model in (
        transformer,
        clone(transformer),
        clone(clone(transformer)),
        make_pipeline(transformer, "passthrough"),
        clone(make_pipeline(transformer, "passthrough")),
        pickle.loads(pickle.dumps(transformer)),
    ):
        features = model.fit(X[:9], 2 - y[:9]).transform(X)  # y does not matter
        np.testing.assert_array_equal(features, expected)
    assert clone(transformer).backbone is transformer.backbone
    names = transformer.get_feature_names_out()
    assert names[0] == "cnnclassifier_penultimate_0"


def test_a_fitted_estimator_is_used_as_it_is_in_a_search(digits):
    X, y = digits
    network = CNNClassifier(**SMALL).fit(X, y)
    expected = CNNFeatureTransformer(network).transform(X)
    search = GridSearchCV(
        make_pipeline(CNNFeatureTransformer(network), SVC()),
        {"svc__C": [1, 10], "cnnfeaturetransformer__pooling": ["avg", "max"]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    best = search.best_estimator_[0]
    assert best.backbone is network
    np.testing.assert_array_equal(best.set_params(pooling="avg").transform(X), expected)


@pytest.mark.numerics
def test_an_estimator_that_is_refitted_gives_its_new_features(digits, tmp_path):
    X, y = digits
    network = CNNClassifier(**SMALL).fit(X, y)
    transformer = CNNFeatureTransformer(network, memory=tmp_path)
    first = transformer.transform(X)
    network.set_params(random_state=1).fit(X, y)
    second = transformer.transform(X)
    assert not np.allclose(first, second, rtol=1e-2)
    np.testing.assert_array_equal(second, CNNFeatureTransformer(network).transform(X))


def test_parameters_of_a_fitted_estimator_cannot_be_set(digits):
    network = CNNClassifier(**SMALL).fit(*digits)
    for backbone, prefix in (
        (network, "backbone__"),
        (FrozenEstimator(network), "backbone__estimator__"),
    ):
        transformer = CNNFeatureTransformer(backbone)
        with pytest.raises(ValueError, match=f"{prefix}n_filters cannot be set"):
            transformer.set_params(**{f"{prefix}n_filters": 8})
        assert network.n_filters == SMALL["n_filters"]
        transformer.set_params(backbone=CNNClassifier(), backbone__n_filters=8)
        assert transformer.backbone.n_filters == 8
    with pytest.raises(ValueError, match="backbone__lr cannot be set"):
        CNNFeatureTransformer().set_params(backbone=network, backbone__lr=0.1)


def test_parameters_of_an_unfitted_estimator_are_searched(digits):
    X, y = digits
    search = GridSearchCV(
        make_pipeline(CNNFeatureTransformer(CNNClassifier(**SMALL)), SVC()),
        {"cnnfeaturetransformer__backbone__n_filters": [2, 4]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    n_filters = search.best_params_["cnnfeaturetransformer__backbone__n_filters"]
    best = search.best_estimator_[0]
    assert best.estimator_.n_filters == n_filters
    assert best.transform(X).shape[1] == 2 * n_filters * 2 * 2


def test_each_fold_trains_its_own_network(digits):
    X, y = digits
    pipeline = make_pipeline(
        CNNFeatureTransformer(CNNClassifier(**SMALL | {"max_epochs": 10})),
        LogisticRegression(max_iter=1000),
    )
    assert cross_val_score(pipeline, X, y, cv=3, error_score="raise").mean() > 0.6


@pytest.mark.parametrize(
    "backbone",
    [LogisticRegression(), FrozenEstimator(SVC()), FrozenEstimator(CNNClassifier())],
)
def test_other_estimators_are_no_networks(digits, backbone):
    name = type(backbone).__name__
    with pytest.raises(TypeError, match=f"{name}, expected .* estimator of skcnn"):
        CNNFeatureTransformer(backbone).fit(*digits)


def test_shared_networks_are_left_on_the_cpu_in_evaluation(pixels):
    module = load_backbone("resnet20", None).module
    before = {key: value.clone() for key, value in module.state_dict().items()}
    transformer = CNNFeatureTransformer(
        module, preprocessing="resnet20", precision="float64"
    )
    transformer.fit_transform(pixels[:1])
    assert all(torch.equal(module.state_dict()[k], v) for k, v in before.items())
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_axes_that_a_fitted_estimator_read_otherwise_are_an_error(rng):
    X, y = rng.random((12, 8, 8)), np.arange(12) % 2
    network = CNNClassifier(n_layers=1, n_filters=2, max_epochs=1).fit(X, y)
    for parameters in ({"channel_axis": 1}, {"channel_axis": -1}):
        with pytest.raises(ValueError, match=r"read X as .* trained on \(1, 8, 8\)"):
            CNNFeatureTransformer(network, **parameters).fit(X)
    with pytest.raises(ValueError, match=r"image_shape=\(4, 16\)"):
        CNNFeatureTransformer(network, image_shape=(4, 16)).fit(X)
    same = CNNFeatureTransformer(network, image_shape=(8, 8), channel_axis=None)
    np.testing.assert_array_equal(
        same.fit_transform(X), CNNFeatureTransformer(network).fit_transform(X)
    )


def test_files_for_a_network_without_a_published_size_are_an_error_in_fit(rng):
    X, y = rng.random((12, 8, 8)), np.arange(12) % 2
    network = CNNClassifier(n_layers=1, n_filters=2, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="has no published preprocessing"):
        CNNFeatureTransformer(network).fit(["a.png"])
