"""Warnings that tell of data which are likely to mean something else."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skcnn import CNNClassifier, CNNFeatureTransformer, CNNRegressor, TextCNNClassifier

UNIT = "so the unit seems to differ"
TEXT = {"n_filters": 4, "embedding_dim": 20, "max_epochs": 1, "random_state": 0}
SMALL = {"n_layers": 1, "n_filters": 2, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, 8, 8)).astype(np.uint8), np.arange(40) % 2


def small(**params):
    params = {
        "n_layers": 1,
        "n_filters": 2,
        "max_epochs": 1,
        "random_state": 0,
    } | params
    return CNNClassifier(**params)


def warnings_of(function, *args, **kwargs):
    """Return the warnings of a call, as (message, file)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return [(str(warning.message), warning.filename) for warning in caught]


@pytest.mark.parametrize(
    ("fitted", "given"),
    [
        (lambda X: X, lambda X: X / 255),
        (lambda X: X, lambda X: X.astype(np.float32) / 127.5 - 1),
        (lambda X: X, lambda X: X > 127),
        (lambda X: X / 255, lambda X: X),
        (lambda X: X > 127, lambda X: X),
    ],
)
def test_another_unit_in_predict(images, fitted, given):
    X, y = images
    clf = small().fit(fitted(X), y)
    (message, file), *others = warnings_of(clf.predict_proba, given(X))
    assert UNIT in message
    assert file == __file__
    assert not others


@pytest.mark.parametrize(
    ("fitted", "given"),
    [
        (lambda X: X, lambda X: X.astype(np.float64)),
        (lambda X: X, lambda X: X[:1] * 0.5),
        (lambda X: X, lambda X: X * 0.0),
        (lambda X: X > 127, lambda X: (X > 127).astype(np.int8)),
        (lambda X: X / 255, lambda X: X / 25500),  # of the same kind
    ],
)
def test_same_unit_in_predict(images, fitted, given):
    X, y = images
    small().fit(fitted(X), y).predict(given(X))


def test_another_unit_in_validation_data(images):
    X, y = images
    with pytest.warns(UserWarning, match=UNIT):
        small().fit(X, y, X_val=X / 255, y_val=y)


def test_another_unit_in_transform(images):
    X, y = images
    transformer = CNNFeatureTransformer(small().fit(X, y)).fit(X)
    with pytest.warns(UserWarning, match=UNIT):
        transformer.transform(X / 255)


@pytest.mark.parametrize(
    ("length", "shape"), [(64, "(8, 8)"), (784, "(28, 28)"), (192, "(8, 8, 3)")]
)
def test_flattened_images(length, shape):
    X = np.random.default_rng(0).random((20, length))
    message = rf"rows of {length} values.*image_shape={shape}".replace("(", r"\(")
    with pytest.warns(UserWarning, match=message.replace(")", r"\)")):
        small().fit(X, np.arange(20) % 2)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((49,), None), ((150,), None), ((64, 1), None), ((64,), (64,)), ((64,), (8, 8))],
)
def test_signals_without_a_warning(shape, image_shape):
    X = np.random.default_rng(0).random((20, *shape))
    small(image_shape=image_shape).fit(X, np.arange(20) % 2)


def test_columns_of_unequal_scales():
    X, y = load_wine(return_X_y=True)
    with pytest.warns(UserWarning, match=r"from 0\.124 to 314.*StandardScaler"):
        CNNRegressor(**SMALL).fit(X, y)
    make_pipeline(StandardScaler(), small()).fit(X, y)


def test_warnings_point_to_the_callers_line(tmp_path):
    X = np.zeros((4, 32, 32, 3), np.uint8)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    (tmp_path / "features.sqlite").write_bytes(b"damage" * 100)
    transformer = CNNFeatureTransformer(
        network, preprocessing="resnet20", on_error="skip", memory=tmp_path
    ).fit(X)
    Image.fromarray(X[0]).save(tmp_path / "a.png")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    (damaged, first), (missing, second) = warnings_of(transformer.transform, paths)
    assert "was damaged" in damaged
    assert "b.png" in missing
    assert first == second == __file__


def test_halved_batches_warn_at_the_callers_line(images, monkeypatch):
    forward = nn.Conv2d.forward

    def fits_16(module, batch):
        if len(batch) > 16:
            raise torch.OutOfMemoryError("for a test")
        return forward(module, batch)

    clf = small().fit(*images)
    monkeypatch.setattr(nn.Conv2d, "forward", fits_16)
    caught = warnings_of(clf.predict, images[0])
    assert caught
    for message, file in caught:
        assert "Out of memory" in message
        assert file == __file__


UNDIVIDED = {
    "Chinese": [
        "今天天气很好。",
        "今天天气不好。",
        "我喜欢这部电影",
        "我不喜欢这部电影",
    ],
    "Japanese": ["今日は天気がいい、とても", "これは本です", "映画が好きです。"],
    "Thai": ["วันนี้อากาศดีมาก", "ฉันชอบหนังเรื่องนี้"],
    "names": ["Anna", "Bernhard", "Christina"],
}


@pytest.mark.parametrize("name", UNDIVIDED)
def test_texts_of_one_word(name):
    texts = UNDIVIDED[name] * 4
    labels = np.arange(len(texts)) % 2
    with pytest.warns(UserWarning, match="tokenizer=list") as caught:
        TextCNNClassifier(**TEXT).fit(texts, labels)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("texts", "params"),
    [
        (["schöne Grüße", "wie geht es", "naïve"], {}),
        (["yes", "no", "maybe so"], {}),
        (["a/b?c=d", "www.example.org"], {}),
        (["ACGTTGCA", "TTGACCAA"], {"token_pattern": "."}),
        (["一二三四五", "五四三二一"], {"token_pattern": r"\w"}),
        (["very good", "very bad"], {"max_length": 1}),
    ],
)
def test_texts_of_several_words(texts, params):
    TextCNNClassifier(**TEXT, **params).fit(texts * 4, np.arange(len(texts) * 4) % 2)


def test_characters_as_words():
    texts = UNDIVIDED["Chinese"] * 8
    labels = ["好", "坏"] * 16
    params = TEXT | {"max_epochs": 10, "n_filters": 20}
    clf = TextCNNClassifier(tokenizer=list, **params).fit(texts, labels)
    assert clf.score(texts, labels) == 1
    assert {"天", "。"} <= clf.vocabulary_.keys()


def test_a_relative_cache_in_a_removed_folder(tmp_path, monkeypatch):
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    X = np.random.default_rng(0).random((4, 8, 8))
    transformer = CNNFeatureTransformer(network, memory="cache").fit(X)
    with pytest.warns(UserWarning, match="feature cache in cache cannot be used"):
        features = transformer.transform(X)
    expected = transformer.set_params(memory=None).transform(X)
    np.testing.assert_array_equal(features, expected)
