"""Exported models compute what the estimators do."""

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.utils.validation import check_is_fitted

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    FineTunedRegressor,
    TextCNNClassifier,
    to_onnx,
)

QUICK = {"n_layers": 1, "n_filters": 4, "max_epochs": 1, "random_state": 0}
SMALL = {"weights": None, "max_epochs": 1, "random_state": 0}
PRETRAINED = "efficientnet"
N = 100


def features():
    return CNNFeatureTransformer(CNNClassifier(**QUICK))


CASES = {
    "classifier": CNNClassifier(**QUICK),
    "regressor": CNNRegressor(**QUICK),
    "multi-label": CNNClassifier(**QUICK),
    "fine-tuned": FineTunedClassifier("resnet20", **SMALL),
    "fine-tuned regressor": FineTunedRegressor("resnet20", **SMALL),
    "transformer": features(),
    "scaler, PCA, logistic": make_pipeline(
        features(), StandardScaler(), PCA(3), LogisticRegression()
    ),
    "SVC": make_pipeline(features(), SVC()),
    "SVR": make_pipeline(CNNFeatureTransformer(CNNRegressor(**QUICK)), SVR()),
    "trees": make_pipeline(features(), RandomForestClassifier(3, random_state=0)),
    "efficientnet": make_pipeline(
        CNNFeatureTransformer(image_size=32), LogisticRegression()
    ),
}


def data(name, rng):
    """Return X and y of a case: noise with something to be learnt."""
    X = rng.integers(0, 200, (N, 32 if name == PRETRAINED else 12, 12, 3))
    if name == PRETRAINED:
        X = rng.integers(0, 200, (N, 32, 32, 3))
    y = np.arange(N) % 3
    X += 20 * y.reshape(-1, 1, 1, 1)
    X = X.astype(np.uint8)
    if "regressor" in name or name == "SVR":
        return X, 1000 + 5.0 * y
    if name == "multi-label":
        return X, np.eye(3, dtype=int)[y]
    return X, np.array(["ape", "bee", "cat"])[y]


def run(model, X):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    inputs = {session.get_inputs()[0].name: X}
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_equal_results(model, estimator, X, tolerance):
    results = run(model, X)
    if hasattr(estimator, "predict_proba"):
        proba = estimator.predict_proba(X)
        np.testing.assert_allclose(results["probabilities"], proba, atol=tolerance)
    if "label" in results:
        np.testing.assert_array_equal(results["label"], estimator.predict(X))
    elif hasattr(estimator, "predict"):
        expected = estimator.predict(X)
        got = results["variable"].reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=tolerance)
    else:
        expected = estimator.transform(X)
        np.testing.assert_allclose(results["features"], expected, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_an_exported_model_gives_the_results_of_the_estimator(name, rng):
    X, y = data(name, rng)
    estimator = CASES[name].fit(X, y)
    model = to_onnx(estimator, X=X)
    onnx.checker.check_model(model, full_check=True)
    tolerance = 1e-4 if name == PRETRAINED else 1e-5
    for n_samples in (1, 2, N):
        assert_equal_results(model, estimator, X[:n_samples], tolerance)


def test_a_classifier_is_exported_with_scale_and_classes(rng, tmp_path):
    X, y = data("classifier", rng)
    clf = CNNClassifier(**QUICK).fit(X, y)
    model = to_onnx(clf, tmp_path / "model.onnx", X=X)
    assert_equal_results(onnx.load(tmp_path / "model.onnx"), clf, X[:1], 1e-5)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "channel_axis", "tolerance"), [("uint8", -1, 0.05), ("float32", 1, 1e-4)]
)
def test_images_of_any_size_are_resized(dtype, channel_axis, tolerance):
    transformer = CNNFeatureTransformer(image_size=32, channel_axis=channel_axis)
    pipe = make_pipeline(transformer, LogisticRegression())
    for height, width in [(200, 61), (20, 21)]:
        X = photographs(height, width, dtype, channel_axis)
        pipe.fit(X, [0, 1, 2])
        assert_equal_results(to_onnx(pipe, X=X, resize=True), pipe, X, tolerance)


@pytest.mark.slow
def test_one_model_resizes_images_of_several_sizes():
    transformer, X = CNNFeatureTransformer(image_size=32), photographs(30, 50)
    model = to_onnx(transformer.fit(X), X=X, resize=True)
    for height, width in [(30, 50), (200, 61), (32, 32), (64, 65), (20, 20)]:
        X = photographs(height, width)
        features = transformer.fit(X).transform(X)
        np.testing.assert_allclose(run(model, X)["features"], features, atol=1e-4)


def photographs(height, width, dtype="float32", channel_axis=-1):
    """Return three smooth images, (3, height, width, 3) or with channels first."""
    rows, columns = np.mgrid[:height, :width][..., None] / 9
    waves = np.sin(rows + columns * [1, 2, 3]) / 2 + 0.5
    images = np.moveaxis(np.stack([waves, waves**2, 1 - waves]), -1, channel_axis)
    return (images * (255 if dtype == "uint8" else 1)).astype(dtype)


@pytest.mark.slow
def test_text_is_exported_with_its_vocabulary(rng):
    texts = ["who are you ?", "this is it", "a", "what is not there is nowhere"] * 5
    clf = TextCNNClassifier(embedding_dim=8, n_filters=3, max_epochs=1, random_state=0)
    clf.fit(texts, ["q", "s", "s", "s"] * 5)
    model = to_onnx(clf, X=texts)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(entries["vocabulary"]) == clf.vocabulary_
    for text in ("", "unknown words", texts[0]):
        codes = clf.to_input([text]).numpy()
        proba = run(model, codes)["probabilities"]
        np.testing.assert_allclose(proba, clf.predict_proba([text]), atol=1e-5)


def test_an_estimator_of_others_is_refused(rng):
    svc = SVC().fit(rng.random((4, 2)), [0, 1, 0, 1])
    check_is_fitted(svc)
    with pytest.raises(TypeError, match=r"SVC cannot be exported.*skl2onnx"):
        to_onnx(svc)


def test_only_published_preprocessing_resizes(rng):
    X, y = data("classifier", rng)
    with pytest.raises(ValueError, match="resize=True needs a network with published"):
        to_onnx(CNNClassifier(**QUICK).fit(X, y), resize=True)


def test_image_files_are_not_what_a_model_takes(rng):
    X, y = data("classifier", rng)
    with pytest.raises(TypeError, match="expected images as an array of numbers"):
        to_onnx(CNNClassifier(**QUICK).fit(X, y), X=["a.png"])


class Odd(torch.nn.Module):
    """Network whose export is wrong: it computes something else while traced."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.linear = torch.nn.Linear(int(np.prod(input_shape)), n_outputs)

    def forward(self, x):
        out = self.linear(x.flatten(1))
        return out * 5 if torch.compiler.is_exporting() else out


@pytest.mark.slow
def test_a_wrong_export_is_an_error_with_the_difference(rng):
    X, y = data("classifier", rng)
    clf = CNNClassifier(Odd, max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"differ in probabilities by up to 0\.\d"):
        to_onnx(clf, X=X)


@pytest.mark.slow
def test_warnings_of_others_are_not_silenced_for_good(rng):
    X, y = data("classifier", rng)
    to_onnx(CNNClassifier(**QUICK).fit(X, y))
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)
