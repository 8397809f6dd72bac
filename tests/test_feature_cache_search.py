"""A search with a feature cache sends each image through the network once."""

import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    FineTunedClassifier,
    clear_cache,
)
from skcnn.features import FeatureExtractor

PATH = [path for path in [os.environ.get("PYTHONPATH")] if path]
N = 40
N_FOLDS = 5
MANY = {"svc__C": list(np.logspace(-2, 2, 10)), "svc__kernel": ["linear", "rbf"]}
FEW = {"svc__C": [0.1, 1.0, 10.0]}
# A module that worker processes can import too.
NETWORK = """
import os
import torch
from torch import nn


class CountingNet(nn.Module):
    '''Notes the size of each batch in a file that all processes append to.'''

    def __init__(self, path):
        super().__init__()
        self.path = os.fspath(path)
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)
        weights = torch.linspace(-1, 1, self.conv.weight.numel())
        self.conv.weight.data = weights.view_as(self.conv.weight)
        for parameter in (self.conv.bias, *self.head.parameters()):
            nn.init.constant_(parameter, 0.1)

    def forward(self, x):
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{os.getpid()} {len(x)}\\n".encode())
        os.close(file)
        return self.head(self.conv(x).relu().mean((2, 3)))
"""
IN_ANOTHER_PROCESS = """
import sys
import joblib
search, X, y = joblib.load(sys.argv[1])
if sys.argv[2] == "multiprocessing":  # fork when the cache has been used
    search.estimator[0].fit_transform(X[:10])
with joblib.parallel_config(sys.argv[2]):
    search.fit(X, y)
joblib.dump(search.cv_results_["mean_test_score"], sys.argv[3])
"""


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    X = rng.integers(0, 200, size=(N, 16, 16), dtype=np.uint8)
    X[y == 1, 4:12] += 30
    return X, y


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    # workers of earlier tests would not know where the module is
    get_reusable_executor().shutdown(wait=True)
    folder = tmp_path_factory.mktemp("modules")
    (folder / "counting_network.py").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture
def log(tmp_path):
    return tmp_path / "forwards"


@pytest.fixture
def network(module_folder, log):
    from counting_network import CountingNet

    return CountingNet(log)


@pytest.fixture
def named(data_dir):
    """The name of a backbone and the file of its weights."""
    name = "squeezenet1_0_imagenet.fp32.safetensors"
    return "squeezenet1_0", data_dir / "weights" / name


def make_transformer(network, **parameters):
    """Return a transformer that sends batches of 8 through a small network."""
    return CNNFeatureTransformer(
        network, preprocessing="resnet20", image_size=16, batch_size=8, **parameters
    )


def make_search(transformer, n_jobs=1, grid=FEW, **parameters):
    pipeline = make_pipeline(transformer, StandardScaler(), SVC())
    return GridSearchCV(
        pipeline, grid, cv=N_FOLDS, n_jobs=n_jobs, error_score="raise", **parameters
    )


def mean_scores(search):
    return search.cv_results_["mean_test_score"]


def read_log(log):
    """Return process and size of each batch that went through the network."""
    if not log.exists():
        return []
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()]


def count(log):
    return sum(size for _, size in read_log(log))


@pytest.mark.parametrize(
    ("n_jobs", "grid", "return_train_score"),
    [
        (1, FEW, False),
        (1, FEW, True),
        pytest.param(1, MANY, True, marks=pytest.mark.slow),
        pytest.param(2, MANY, False, marks=pytest.mark.slow),
        pytest.param(2, MANY, True, marks=pytest.mark.slow),
    ],
)
def test_each_image_goes_through_the_network_once(
    network, log, images, tmp_path, n_jobs, grid, return_train_score
):
    transformer = make_transformer(network, memory=tmp_path / "cache")
    search = make_search(
        transformer, n_jobs, grid, return_train_score=return_train_score
    )
    search.fit(*images)
    assert count(log) == N
    assert n_jobs == 1 or os.getpid() not in {pid for pid, _ in read_log(log)}
    search.predict(images[0])
    search.score(*images)
    assert count(log) == N


@pytest.mark.parametrize(
    "grid", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_scores_are_those_without_a_cache(network, log, images, tmp_path, grid):
    plain = make_search(make_transformer(network), grid=grid).fit(*images)
    # each image once in each fold of each candidate, and in the refit
    n_candidates = len(mean_scores(plain))
    assert count(log) == (n_candidates * N_FOLDS + 1) * N
    transformer = make_transformer(network, memory=tmp_path / "cache")
    search = make_search(transformer, grid=grid).fit(*images)
    np.testing.assert_array_equal(mean_scores(search), mean_scores(plain))


def test_each_image_goes_through_the_network_once_in_threads(
    network, log, images, tmp_path
):
    transformer = make_transformer(network, memory=tmp_path / "cache")
    with joblib.parallel_config(backend="threading"):
        make_search(transformer, n_jobs=2, return_train_score=True).fit(*images)
    assert count(log) == N


@pytest.mark.slow
def test_a_class_that_workers_cannot_import_is_the_same_network_to_them(
    log, images, tmp_path
):
    """Like one of a notebook, it travels to the workers by value."""
    scope = {"__name__": "__main__"}
    exec(NETWORK, scope)
    transformer = make_transformer(scope["CountingNet"](log), memory=tmp_path / "cache")
    make_search(transformer, n_jobs=2).fit(*images)
    assert count(log) == N


def search_in_another_process(search, images, backend, tmp_path, module_folder):
    """Return the scores of a search in a new process."""
    joblib.dump((search, *images), tmp_path / "search")
    paths = tmp_path / "search", backend, tmp_path / "scores"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_ANOTHER_PROCESS, *paths],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(module_folder), *PATH])},
        check=True,
        timeout=120,
    )
    return joblib.load(tmp_path / "scores")


@pytest.mark.slow
def test_no_image_goes_through_the_network_in_a_new_process(
    network, log, images, tmp_path, module_folder
):
    search = make_search(make_transformer(network, memory=tmp_path / "cache"))
    search.fit(*images)
    scores = search_in_another_process(search, images, "loky", tmp_path, module_folder)
    assert count(log) == N
    np.testing.assert_array_equal(scores, mean_scores(search))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_each_image_goes_through_the_network_once_in_forked_processes(
    network, log, images, tmp_path, module_folder
):
    search = make_search(make_transformer(network, memory=tmp_path / "cache"), 2)
    search_in_another_process(
        search, images, "multiprocessing", tmp_path, module_folder
    )
    assert count(log) == N


def test_layers_that_are_asked_for_together_come_from_one_pass(
    network, log, images, tmp_path
):
    both = ["conv", "penultimate"]
    transformer = make_transformer(network, layer=both, memory=tmp_path / "cache")
    make_search(transformer).fit(*images)
    assert count(log) == N
    for layer in both:  # a part of what is kept
        features = transformer.set_params(layer=layer).fit_transform(images[0])
        assert features.shape == (N, 4)
    assert count(log) == N


def test_layers_that_are_searched_take_one_pass_each(network, log, images, tmp_path):
    transformer = make_transformer(network, memory=tmp_path / "cache")
    layers = {"cnnfeaturetransformer__layer": ["conv", "penultimate"]}
    make_search(transformer, grid=layers | FEW).fit(*images)
    assert count(log) == 2 * N


def test_an_image_that_occurs_twice_is_computed_once(network, log, images, tmp_path):
    X = np.concatenate([images[0], images[0][::-1]])
    transformer = make_transformer(network, memory=tmp_path / "cache")
    features = transformer.fit_transform(X)
    assert count(log) == N
    np.testing.assert_array_equal(features[:N], features[N:][::-1])
    assert transformer.cache_info_ == (N, N)


def test_memory_true_is_the_folder_of_the_user(
    network, log, images, tmp_path, monkeypatch
):
    monkeypatch.setenv("SKCNN_CACHE", str(tmp_path / "cache"))
    X, _ = images
    transformer = make_transformer(network, memory=True)
    expected = transformer.fit_transform(X)
    np.testing.assert_array_equal(transformer.fit_transform(X), expected)
    assert count(log) == N
    assert list((tmp_path / "cache").iterdir())
    clear_cache()
    np.testing.assert_array_equal(transformer.fit_transform(X), expected)
    assert count(log) == 2 * N
    clear_cache(tmp_path / "cache")
    plain = transformer.set_params(memory=False).fit_transform(X)
    np.testing.assert_array_equal(plain, expected)
    assert count(log) == 3 * N


def test_a_cache_that_is_too_small_changes_no_features(network, log, images, tmp_path):
    X, _ = images
    transformer = make_transformer(network, memory=tmp_path, memory_bytes_limit=1)
    expected = make_transformer(network).fit_transform(X)
    for _ in range(2):
        np.testing.assert_array_equal(transformer.fit_transform(X), expected)
    assert N <= count(log) - N <= 2 * N


def note_misses_in(path):
    """Return a scorer, local so that it travels to workers by value."""

    def note_and_score(pipeline, X, y):
        score = pipeline.score(X, y)
        with open(path, "a") as file:
            file.write(f"{os.getpid()} {pipeline[0].cache_info_.misses}\n")
        return score

    return note_and_score


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_named_backbone_computes_each_image_once(
    named, log, images, tmp_path, n_jobs
):
    backbone, weights = named
    transformer = CNNFeatureTransformer(
        backbone, weights=weights, image_size=32, memory=tmp_path / "cache"
    )
    search = make_search(transformer, n_jobs, scoring=note_misses_in(log))
    search.fit(*images)
    assert len(read_log(log)) == len(mean_scores(search)) * N_FOLDS
    assert count(log) == N
    assert search.best_estimator_[0].cache_info_ == (N, 0)
    features = transformer.fit(images[0]).transform(images[0])
    assert transformer.cache_info_ == (N, 0)
    plain = transformer.set_params(memory=None).fit_transform(images[0])
    np.testing.assert_allclose(features, plain, rtol=0, atol=1e-5 * plain.max())


def test_a_named_backbone_runs_on_each_image_once_in_threads(
    named, images, tmp_path, monkeypatch
):
    sizes = []
    run = FeatureExtractor.__call__

    def counting(self, batch, *args):
        sizes.append(len(batch))
        return run(self, batch, *args)

    monkeypatch.setattr(FeatureExtractor, "__call__", counting)
    transformer = CNNFeatureTransformer(
        named[0], weights=named[1], image_size=32, memory=tmp_path / "cache"
    )
    search = make_search(transformer, 2, return_train_score=True)
    with joblib.parallel_config(backend="threading"):
        search.fit(*images)
    assert sum(sizes) == N
    search.set_params(n_jobs=1).fit(*images)
    assert sum(sizes) == N


def test_a_trained_network_is_searched_with_its_features(images, tmp_path):
    """What was computed for one fold's network is not taken for another's."""
    X, y = images
    network = CNNClassifier(n_layers=1, n_filters=4, max_epochs=2, random_state=0)
    scores = [
        mean_scores(
            make_search(
                CNNFeatureTransformer(network, memory=memory), grid={"svc__C": [1.0]}
            )
            .set_params(cv=2)
            .fit(X, y)
        )
        for memory in (None, tmp_path / "cache", tmp_path / "cache")
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


TRIAL = 3  # images of the forward passes that find out what a network is like


def count_beyond_trials(log):
    return sum(size for _, size in read_log(log) if size > TRIAL)


def make_head(network, **parameters):
    return FineTunedClassifier(
        network,
        preprocessing="resnet20",
        image_size=16,
        trainable="head",
        head_epochs=2,
        max_epochs=1,
        random_state=0,
        **parameters,
    )


@pytest.mark.parametrize("augmentation", [None, "flip"])
def test_a_search_of_heads_predicts_from_cached_features(
    network, log, images, tmp_path, augmentation
):
    head = make_head(network, augmentation=augmentation, memory=tmp_path / "cache")
    search = GridSearchCV(head, {"lr": [1e-4, 1e-3]}, cv=2, error_score="raise")
    search.fit(*images)
    n_trained = (2 * 2 * N // 2 + N) * (augmentation is not None)
    assert count_beyond_trials(log) == N + n_trained
    clf = search.best_estimator_
    found = clf.predict_proba(images[0])
    clf.score(*images)
    assert count_beyond_trials(log) == N + n_trained
    plain = clone(clf).set_params(memory=None).fit(*images)
    for other in (plain, pickle.loads(pickle.dumps(clf))):
        n_before = count_beyond_trials(log)
        expected = other.predict_proba(images[0])
        assert count_beyond_trials(log) == n_before + N
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_cached_features_are_left_when_more_is_trained(network, log, images, tmp_path):
    X, y = images
    clf = make_head(network, memory=tmp_path, warm_start=True).fit(X, y)
    clf.set_params(trainable="all", lr=0.1).fit(X, y)
    expected = pickle.loads(pickle.dumps(clf)).predict_proba(X)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    clf.set_params(trainable="head").fit(X, y)
    expected = pickle.loads(pickle.dumps(clf)).predict_proba(X)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_a_network_that_changes_later_leaves_the_cache_right(network, images, tmp_path):
    X, y = images
    clf = make_head(network, memory=tmp_path).fit(X, y)
    expected = clf.predict_proba(X)
    network.conv.weight.data.neg_()
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    clf.predict_proba(X + 1)  # with the network of fit
    features = make_transformer(network).fit_transform(X + 1)
    cached = make_transformer(network, memory=tmp_path).fit_transform(X + 1)
    np.testing.assert_array_equal(cached, features)


def test_features_of_images_on_another_scale_are_others(network, images, tmp_path):
    """The scale is learnt from those samples that are trained on."""
    X, y = images
    weights = np.where(np.arange(N) < 8, 0.0, 1.0)
    X = np.repeat(X[..., None], 3, axis=-1).copy()
    X[:8] = 255 - X[:8]
    params = {"preprocessing": "auto", "image_size": None}
    for memory in (None, tmp_path, tmp_path):
        clf = make_head(network, memory=memory).set_params(**params).fit(X, y)
        other = clone(clf).fit(X, y, sample_weight=weights)
        found = clf.head_loss_curve_, other.head_loss_curve_
        if memory is None:
            expected = found
        np.testing.assert_array_equal(found, expected)
