"""Fitted estimators are plain data, and all ways of saving keep their predictions."""

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
import torch
from safetensors.torch import save_file
from torch import nn

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    FineTunedRegressor,
    TextCNNClassifier,
)
from skcnn.backbones import WeightsError
from skcnn.modules import CIFARResNet, StoredNetwork, find_recipe

SAVED = Path(__file__).parent / "saved"
TINY = {"n_layers": 1, "n_filters": 2, "max_epochs": 1, "random_state": 0}
RESNET = {"backbone": "resnet20", "weights": None, "random_state": 0}
CASES = {
    "classifier": CNNClassifier(**TINY),
    "regressor": CNNRegressor(**TINY),
    "fine-tuned classifier": FineTunedClassifier(**RESNET, max_epochs=1),
    "fine-tuned regressor": FineTunedRegressor(**RESNET, max_epochs=1),
    "text classifier": TextCNNClassifier(
        embedding_dim=4, n_filters=2, max_epochs=1, random_state=0
    ),
    "transformer": CNNFeatureTransformer(image_size=32),
    "random transformer": CNNFeatureTransformer(**RESNET),
    "trained transformer": CNNFeatureTransformer(CNNClassifier(**TINY)),
}
# What skops asks to trust.
TRUSTED = [
    "skcnn._base.classification_targets.ClassTargets",
    "skcnn._base.feature_backbone.FeatureBackbone",
    "skcnn._base.indicator_targets.IndicatorTargets",
    "skcnn._base.regression_targets.ValueTargets",
    "skcnn._classifier.CNNClassifier",
    "skcnn._feature_transformer.CNNFeatureTransformer",
    "skcnn._fine_tuned_classifier.FineTunedClassifier",
    "skcnn._fine_tuned_regressor.FineTunedRegressor",
    "skcnn._regressor.CNNRegressor",
    "skcnn._text_classifier.TextCNNClassifier",
    "skcnn.backbones.backbone.NamedNetwork",
    "skcnn.backbones.fine_tuned.FineTunedArchitecture",
    "skcnn.backbones.preprocessing.Preprocessing",
    "skcnn.backbones.references.WeightsReference",
    "skcnn.data.layout.Layout",
    "skcnn.data.scaling.ChannelScaler",
    "skcnn.data.vocabulary.Vocabulary",
    "skcnn.modules.architectures.Architecture",
    "skcnn.modules.stored_network.StoredNetwork",
    "skcnn.modules.textcnn.TextArchitecture",
]
WAYS = {
    "pickle": (pickle.dumps, pickle.loads),
    "cloudpickle": (cloudpickle.dumps, pickle.loads),
    "joblib": (lambda e: dumped(e, 0), lambda b: joblib.load(io.BytesIO(b))),
    "joblib, compressed": (
        lambda e: dumped(e, 3),
        lambda b: joblib.load(io.BytesIO(b)),
    ),
    "deepcopy": (copy.deepcopy, lambda e: e),
    "skops": (skops.io.dumps, lambda b: skops.io.loads(b, trusted=TRUSTED)),
}
LOADING = """
import io, pickle, sys, joblib, skops.io
X, texts, files, trusted = pickle.load(sys.stdin.buffer)
results = []
for name, way, data in files:
    if way == "skops":
        estimator = skops.io.loads(data, trusted=trusted)
    elif "joblib" in way:
        estimator = joblib.load(io.BytesIO(data))
    else:
        estimator = pickle.loads(data)
    names = "predict_proba", "predict", "transform"
    use = next(getattr(estimator, name) for name in names if hasattr(estimator, name))
    results.append(use(texts if "text" in name else X))
pickle.dump(results, sys.stdout.buffer)
"""


def dumped(estimator, compress):
    file = io.BytesIO()
    joblib.dump(estimator, file, compress=compress)
    return file.getvalue()


@pytest.fixture
def X(rng):
    return rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


TEXTS = ["who are you ?", "this is it"] * 6


def fitted(name, X):
    y = np.arange(12) % 2
    y = np.array(["no", "yes"])[y] if "classifier" in name else y * 2.0
    return copy.deepcopy(CASES[name]).fit(TEXTS if "text" in name else X, y)


def use(estimator, name, X):
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(estimator, method):
            return getattr(estimator, method)(TEXTS if "text" in name else X)


@pytest.mark.slow
def test_all_ways_of_saving_keep_each_bit_in_another_process(X):
    files, expected = [], []
    for name in CASES:
        estimator = fitted(name, X)
        before = {way: save(estimator) for way, (save, _) in WAYS.items()}
        result = use(estimator, name, X)
        after = {way: save(estimator) for way, (save, _) in WAYS.items()}
        for saved in (before, after):
            np.testing.assert_array_equal(use(saved.pop("deepcopy"), name, X), result)
            files += [(name, way, data) for way, data in saved.items()]
            expected += [result] * len(saved)
    assert len(files) == 8 * 5 * 2
    run = subprocess.run(
        [sys.executable, "-c", LOADING],
        input=pickle.dumps((X, TEXTS, files, TRUSTED)),
        stdout=subprocess.PIPE,
        check=True,
    )
    for result, wanted in zip(pickle.loads(run.stdout), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("name", ["classifier", "random transformer", "transformer"])
def test_skops_asks_to_trust_classes_of_this_package_alone(name, X):
    estimator = fitted(name, X)
    expected = use(estimator, name, X)
    data = skops.io.dumps(estimator)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(TRUSTED)
    again = skops.io.loads(data, trusted=TRUSTED)
    np.testing.assert_array_equal(use(again, name, X), expected)
    assert {name.partition(".")[0] for name in TRUSTED} == {"skcnn"}


def test_a_file_of_an_earlier_version_is_read():
    clf = skops.io.load(SAVED / "classifier_0.1.0.skops", trusted=TRUSTED)
    known = np.load(SAVED / "classifier_0.1.0.npz")
    np.testing.assert_allclose(clf.predict_proba(known["X"]), known["proba"], rtol=1e-5)
    assert clf.n_iter_ == 1


def test_the_state_of_the_optimiser_is_kept_where_training_can_go_on(X):
    y = np.arange(12) % 2
    clf = CNNClassifier(**TINY).fit(X, y)
    size = len(pickle.dumps(clf))
    assert len(pickle.dumps(clf.set_params(warm_start=True))) > size + 1000
    clf.set_params(warm_start=False).partial_fit(X, y)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(
        again.partial_fit(X, y).predict_proba(X),
        clf.partial_fit(X, y).predict_proba(X),
    )
    assert again.loss_curve_ == clf.loss_curve_


class Own(nn.Module):
    """Network of a user, with a buffer and an attribute that training changes."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.output = nn.Linear(4, n_outputs)
        self.register_buffer("seen", torch.arange(3), False)
        self.n_calls = 0

    def forward(self, x):
        self.n_calls += self.training
        return self.output(self.conv(x).relu().mean((2, 3)))


def test_a_network_of_ones_own_is_kept_with_all_that_it_holds(X):
    clf = CNNClassifier(Own, max_epochs=1, random_state=0).fit(X, np.arange(12) % 2)
    data = skops.io.dumps(clf)
    untrusted = set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED)
    assert f"{__name__}.Own" in untrusted
    for again in (
        pickle.loads(pickle.dumps(clf)),
        skops.io.loads(data, trusted=[*untrusted, *TRUSTED]),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert again.module_.n_calls == clf.module_.n_calls > 0
        assert torch.equal(again.module_.seen, torch.arange(3))
    half = StoredNetwork.of(clf.module_.bfloat16()).build()
    assert torch.equal(half.conv.weight, clf.module_.conv.weight)


def test_a_network_that_was_changed_is_kept_layer_by_layer():
    network = CIFARResNet((3, 8, 8), 2)
    clf = CNNClassifier("resnet20", max_epochs=1, random_state=0)
    clf.fit(np.zeros((4, 8, 8, 3)) + np.arange(4).reshape(-1, 1, 1, 1), [0, 1, 0, 1])
    assert find_recipe(clf.module_) is not None
    assert find_recipe(network) is None
    clf.module_.relu = nn.Tanh()
    stored = StoredNetwork.of(clf.module_)
    assert stored.recipe is None
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(stored.build()(x), clf.module_(x))


@pytest.fixture
def weights(tmp_path):
    """Path of weights of a resnet20."""
    torch.manual_seed(0)
    (tmp_path / "first").mkdir()
    path = tmp_path / "first" / "weights.safetensors"
    save_file(CIFARResNet((3, 32, 32), 10).state_dict(), path)
    return path


def test_weights_are_found_by_their_hash_in_another_folder(X, weights, monkeypatch):
    transformer = CNNFeatureTransformer("resnet20", weights=str(weights)).fit(X)
    data, expected = pickle.dumps(transformer), transformer.transform(X)
    assert len(data) < 2000
    other = weights.parents[1] / "other"
    other.mkdir()
    weights.rename(other / "renamed.safetensors")
    message = r"no weights file .*weights\.safetensors.*SHA-256 \w{64}.*store_weights"
    with pytest.raises(WeightsError, match=message):
        pickle.loads(data).transform(X)
    monkeypatch.setenv("SKCNN_WEIGHTS", str(other))
    np.testing.assert_array_equal(pickle.loads(data).transform(X), expected)


def test_stored_weights_need_no_file(X, weights):
    path = str(weights)
    transformer = CNNFeatureTransformer("resnet20", weights=path, store_weights=True)
    expected, data = transformer.fit(X).transform(X), pickle.dumps(transformer)
    weights.unlink()
    np.testing.assert_array_equal(pickle.loads(data).transform(X), expected)


@pytest.mark.parametrize("name", ["classifier", "text classifier", "transformer"])
def test_to_input_is_what_the_network_takes(name, X):
    estimator = fitted(name, X)
    batch = estimator.to_input(TEXTS if "text" in name else X)
    assert len(batch) == 12
    if name == "transformer":
        assert batch.shape == (12, 3, 32, 32)
        return
    with torch.inference_mode():
        proba = estimator.module_(batch).softmax(1)
    expected = use(estimator, name, X)
    np.testing.assert_allclose(proba, expected, rtol=1e-5)


def test_the_scale_of_y_and_of_X_turns_outputs_into_predictions(X):
    reg = fitted("regressor", X)
    scaled = torch.from_numpy(reg.scaler_.transform(X)).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(scaled, reg.to_input(X))
    with torch.inference_mode():
        outputs = reg.module_(scaled).numpy()
    predicted = (outputs * reg.y_scale_ + reg.y_mean_)[:, 0]
    np.testing.assert_allclose(predicted, reg.predict(X), rtol=1e-5)
