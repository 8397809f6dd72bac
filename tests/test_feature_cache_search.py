"""A search with a feature cache sends each image through the network once."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer, clear_cache
from skcnn.features import FeatureExtractor

N = 40
N_FOLDS = 5
GRID = {"svc__C": list(np.logspace(-2, 2, 10)), "svc__kernel": ["linear", "rbf"]}
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
FEW = {"svc__C": [0.1, 1.0, 10.0]}
AGAIN = """
import sys
import joblib
search, X, y = joblib.load(sys.argv[1])
joblib.dump(search.fit(X, y).cv_results_["mean_test_score"], sys.argv[2])
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


def make_search(transformer, n_jobs=1, grid=GRID, **parameters):
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


@pytest.fixture(scope="module")
def scores_without_cache(module_folder, images, tmp_path_factory):
    """What the search should find, where the network runs in every fit."""
    from counting_network import CountingNet

    log = tmp_path_factory.mktemp("plain") / "forwards"
    search = make_search(make_transformer(CountingNet(log))).fit(*images)
    # 20 candidates × 5 folds, each image once in each, and the refit
    assert count(log) == 101 * N
    return mean_scores(search)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    "return_train_score", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_each_image_goes_through_the_network_once(
    network,
    log,
    images,
    tmp_path,
    n_jobs,
    return_train_score,
    scores_without_cache,
):
    transformer = make_transformer(network, memory=tmp_path / "cache")
    search = make_search(transformer, n_jobs, return_train_score=return_train_score)
    search.fit(*images)
    assert count(log) == N
    assert n_jobs == 1 or os.getpid() not in {pid for pid, _ in read_log(log)}
    search.predict(images[0])
    search.score(*images)
    assert count(log) == N
    np.testing.assert_array_equal(mean_scores(search), scores_without_cache)


def test_each_image_goes_through_the_network_once_in_threads(
    network, log, images, tmp_path, scores_without_cache
):
    transformer = make_transformer(network, memory=tmp_path / "cache")
    with joblib.parallel_config(backend="threading"):
        search = make_search(transformer, n_jobs=2).fit(*images)
    assert count(log) == N
    np.testing.assert_array_equal(mean_scores(search), scores_without_cache)


def test_a_class_that_workers_cannot_import_is_the_same_network_to_them(
    log, images, tmp_path
):
    """Like one of a notebook, it travels to the workers by value."""
    scope = {"__name__": "__main__"}
    exec(NETWORK, scope)
    transformer = make_transformer(scope["CountingNet"](log), memory=tmp_path / "cache")
    make_search(transformer, n_jobs=2, grid=FEW).fit(*images)
    assert count(log) == N


@pytest.mark.slow
def test_no_image_goes_through_the_network_in_a_new_process(
    network, log, images, tmp_path, module_folder
):
    search = make_search(make_transformer(network, memory=tmp_path / "cache"))
    joblib.dump((search, *images), tmp_path / "search")
    search.set_params(n_jobs=2).fit(*images)
    subprocess.run(
        [sys.executable, "-c", AGAIN, tmp_path / "search", tmp_path / "scores"],
        env=os.environ | {"PYTHONPATH": str(module_folder)},
        check=True,
    )
    assert count(log) == N
    np.testing.assert_array_equal(joblib.load(tmp_path / "scores"), mean_scores(search))


def test_layers_that_are_asked_for_together_come_from_one_pass(
    network, log, images, tmp_path
):
    both = ["conv", "penultimate"]
    transformer = make_transformer(network, layer=both, memory=tmp_path / "cache")
    make_search(transformer, grid=FEW).fit(*images)
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


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_named_backbone_computes_each_image_once(
    named, log, images, tmp_path, n_jobs
):
    backbone, weights = named
    transformer = CNNFeatureTransformer(
        backbone, weights=weights, image_size=32, memory=tmp_path / "cache"
    )
    search = make_search(transformer, n_jobs, scoring=note_misses_in(log))
    search.fit(*images)
    assert len(read_log(log)) == 20 * N_FOLDS
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
    search = make_search(transformer, 2, grid=FEW, return_train_score=True)
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
            make_search(CNNFeatureTransformer(network, memory=memory), grid=FEW)
            .set_params(cv=2)
            .fit(X, y)
        )
        for memory in (None, tmp_path / "cache", tmp_path / "cache")
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])
