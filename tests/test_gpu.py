"""The same code on a GPU."""

import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import GridSearchCV

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    TextCNNClassifier,
)
from skcnn.data import ChannelScaler, Images, find_layout, send_ahead
from skcnn.data import image_batches as images_module
from skcnn.modules import Dropout
from skcnn.training import recording, steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
PARAMS = {"n_filters": 8, "max_epochs": 3, "random_state": 0}
DEVICE = torch.device("cuda", 0)


@pytest.fixture
def problem(rng):
    """Images whose brighter half is their label."""
    X = rng.integers(0, 100, size=(120, 10, 10), dtype=np.uint8)
    y = rng.integers(0, 2, size=120)
    X[y == 1, :5] += 100
    X[y == 0, 5:] += 100
    return X, y


def test_auto_takes_the_gpu(problem):
    clf = CNNClassifier(**PARAMS).fit(*problem)
    assert next(clf.module_.parameters()).is_cuda
    assert clf.score(*problem) > 0.9


def test_predictions_agree_with_the_cpu(problem):
    X, y = problem
    clf = CNNClassifier(**PARAMS).fit(X, y)
    on_gpu = clf.predict_proba(X)
    clf.module_.cpu()
    np.testing.assert_allclose(clf.predict_proba(X), on_gpu, atol=2e-3)


def colour(n_samples=120, size=10, seed=0):
    """Colour images and labels of random numbers."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, size=(n_samples, size, size, 3), dtype=np.uint8)
    return X, rng.integers(0, 3, size=n_samples)


def state(estimator):
    """All that a network has learnt, on the CPU."""
    return [value.cpu() for value in estimator.module_.state_dict().values()]


def assert_same_bits(first, second):
    for a, b in zip(state(first), state(second), strict=True):
        assert torch.equal(a, b)


NETWORKS = {
    "convnet": {"dropout": 0.2},
    "augmented": {"augmentation": "standard"},
    "mixup": {"augmentation": "mixup"},
    "group norm": {"norm": "group", "activation": "gelu", "pooling": "avg"},
    "bfloat16": {"precision": "bfloat16"},
    "float64": {"precision": "float64"},
    "lenet5": {"architecture": "lenet5"},
    "resnet20": {"architecture": "resnet20", "optimizer": "sgd", "lr": 0.05},
    "muon": {"optimizer": "muon", "weight_averaging": "ema"},
    "validated": {"early_stopping": True, "validation_fraction": 0.2},
}


@pytest.mark.parametrize("parameters", NETWORKS.values(), ids=NETWORKS)
def test_same_seed_gives_the_same_bits(parameters):
    first, second = (
        CNNClassifier(**(PARAMS | parameters)).fit(*colour(size=32)) for _ in range(2)
    )
    assert_same_bits(first, second)


def test_same_seed_gives_the_same_bits_in_threads():
    X, y = colour()
    with ThreadPoolExecutor(4) as pool:
        fits = list(
            pool.map(
                lambda _: CNNClassifier(dropout=0.2, **PARAMS).fit(X, y), range(12)
            )
        )
    for fit in fits[1:]:
        assert_same_bits(fits[0], fit)


def test_kernels_are_chosen_as_before_afterwards(problem):
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    CNNClassifier(**PARAMS).fit(*problem)
    assert (
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    ) == before


@pytest.fixture
def recorded(monkeypatch):
    """The passes that are recorded from now on."""
    passes = []

    class Spy(recording.RecordedPass):
        def __init__(self, *args):
            super().__init__(*args)
            passes.append(self)

    monkeypatch.setattr(recording, "RecordedPass", Spy)
    return passes


@pytest.mark.parametrize("parameters", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_recorded_passes_are_those_that_run_as_they_are(
    parameters, is_weighted, recorded, monkeypatch
):
    X, y = colour(n_samples=130, size=32)
    weights = np.linspace(0.5, 1.5, 130) if is_weighted else None
    make = CNNClassifier(batch_size=16, **(PARAMS | parameters))
    replayed = make.fit(X, y, sample_weight=weights)
    losses, bits = replayed.loss_curve_, state(replayed)
    assert bool(recorded) == (parameters.get("augmentation") != "mixup")
    monkeypatch.setattr(recording, "WARM_UP", 10**6)
    plain = make.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(plain.loss_curve_, losses, rtol=1e-5)
    for a, b in zip(state(plain), bits, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_gradients_of_recorded_passes_are_given_back(problem, recorded):
    clf = CNNClassifier(batch_size=8, **PARAMS).fit(*problem)
    assert recorded
    assert all(weight.grad is None for weight in clf.module_.parameters())


class Waiting(torch.nn.Module):
    """A network that cannot be recorded, as it waits for the GPU."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.dropout = Dropout(0.2)
        self.output = torch.nn.Linear(int(np.prod(input_shape)), n_outputs)

    def forward(self, x):
        x = self.dropout(x)
        assert np.isfinite(x.sum().item())
        return self.output(x.flatten(1))


def test_what_cannot_be_recorded_trains_all_the_same(problem, recorded, monkeypatch):
    make = CNNClassifier(Waiting, batch_size=8, **PARAMS)
    expected = state(make.fit(*problem))
    monkeypatch.setattr(steps, "is_recordable", lambda *args: True)
    for a, b in zip(state(make.fit(*problem)), expected, strict=True):
        assert torch.equal(a, b)
    assert not recorded
    CNNClassifier(batch_size=8, **PARAMS).fit(*problem)  # the GPU is as before
    assert recorded


def test_networks_with_hooks_and_foreign_callbacks_run_as_they_are(problem, recorded):
    from skorch.callbacks import Callback, Freezer

    class Foreign(Callback):
        pass

    X, y = problem
    for callback in (Foreign(), Freezer("*conv.weight")):
        CNNClassifier(batch_size=8, callbacks=[callback], **PARAMS).fit(X, y)
    assert not recorded
    counts = []
    clf = CNNClassifier(batch_size=8, warm_start=True, **PARAMS).fit(X, y)
    del recorded[:]
    clf.module_.register_forward_hook(lambda *args: counts.append(1))
    clf.fit(X, y)
    assert not recorded
    assert len(counts) >= 3 * 15


def test_pretrained_networks_are_recorded(recorded):
    X, y = colour(n_samples=64, size=32)
    clf = FineTunedClassifier(
        "resnet18",
        weights=None,
        image_size=32,
        batch_size=8,
        max_epochs=2,
        random_state=0,
    ).fit(X, y)
    assert recorded
    assert np.isfinite(clf.predict_proba(X)).all()


def count_waits(clf, X, y):
    """How often a fit waits for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            clf.fit(X, y)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("share", [0.5, 0.0], ids=["resident", "streamed"])
@pytest.mark.parametrize("parameters", [{}, {"augmentation": "standard"}])
def test_no_batch_waits_for_the_gpu(parameters, share, monkeypatch):
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", share)
    X, y = colour()
    make = [CNNClassifier(batch_size=size, **PARAMS, **parameters) for size in (40, 10)]
    make[0].fit(X, y)
    few, many = (count_waits(clf, X, y) for clf in make)
    assert many <= few + 2  # recording waits, once for each size of batch


def forms(rng):
    """Arrays that torch reads as they are, and arrays that it does not."""
    X = rng.integers(0, 256, size=(120, 10, 12), dtype=np.uint8)
    frozen = X.copy()
    frozen.flags.writeable = False
    return {
        "uint8": X,
        "read-only": frozen,
        "reversed": X[::-1],
        "Fortran": np.asfortranarray(X),
        "16 bits": X.astype(np.uint16) * 257,
        "big-endian": X.astype(">f4"),
        "float64": X / 255,
        "bool": X > 99,
    }


@pytest.mark.parametrize("form", forms(np.random.default_rng(0)))
def test_images_are_moved_once_where_they_fit(form, rng, monkeypatch):
    X = forms(rng)[form]
    scaler = ChannelScaler(find_layout(X.shape[1:])).fit(X)
    index = torch.arange(0, 120, 7)
    resident = Images(X, scaler, DEVICE, torch.float32)
    assert resident.source.is_cuda
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", 0.0)
    streamed = Images(X, scaler, DEVICE, torch.float32)
    expected = Images(X, scaler, torch.device("cpu"), torch.float32).take(index)
    assert not streamed.is_resident
    rows = np.arange(0, 120, 7)
    for images in (resident, streamed):
        assert torch.equal(images.take(index), images.take(index.to(DEVICE)))
        torch.testing.assert_close(images.take(index).cpu(), expected)
        part = images.subset(rows).take(slice(2, 9))
        torch.testing.assert_close(part.cpu(), expected[2:9])
        ((_, batch),) = images.batches([rows])
        torch.testing.assert_close(batch.cpu(), expected)


def test_uint8_stays_uint8_on_the_gpu(problem):
    X, _ = problem
    scaler = ChannelScaler(find_layout(X.shape[1:])).fit(X)
    assert Images(X, scaler, DEVICE, torch.float32).source.dtype == torch.uint8


def test_batches_are_sent_whole_and_in_their_order():
    values = [torch.full((1000, 1000), float(i)) for i in range(20)]
    are_right = []
    for i, tensor in send_ahead(range(20), DEVICE, values.__getitem__):
        assert tensor.is_cuda
        torch.cuda._sleep(10_000_000)  # what was sent is not overwritten meanwhile
        are_right.append((tensor == i).all())
        del tensor
    assert torch.stack(are_right).all()


def test_streamed_fits_in_threads_are_equal(monkeypatch):
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", 0.0)
    X, y = colour()
    make = [
        CNNClassifier(batch_size=16, n_filters=8, max_epochs=40, random_state=0)
        for _ in range(8)
    ]
    with ThreadPoolExecutor(4) as pool:
        fits = list(pool.map(lambda clf: clf.fit(X, y), make))
    for fit in fits[1:]:
        assert_same_bits(fits[0], fit)


def test_streamed_and_resident_images_train_the_same_network(monkeypatch):
    X, y = colour()
    resident = CNNClassifier(batch_size=16, **PARAMS).fit(X, y)
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", 0.0)
    streamed = CNNClassifier(batch_size=16, **PARAMS).fit(X, y)
    assert_same_bits(resident, streamed)
    expected = resident.predict_proba(X)
    monkeypatch.setattr(images_module, "SMALL", 0)
    np.testing.assert_array_equal(resident.predict_proba(X), expected)


def test_streamed_fit_works(problem, monkeypatch):
    monkeypatch.setattr(images_module, "DEVICE_MEMORY_SHARE", 0.0)
    assert CNNClassifier(**PARAMS).fit(*problem).score(*problem) > 0.9


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_other_precisions_train(problem, precision):
    clf = CNNClassifier(precision=precision, **PARAMS).fit(*problem)
    assert clf.score(*problem) > 0.9


def test_regressor_predicts_on_the_gpu(problem):
    X, _ = problem
    y = X.mean(axis=(1, 2)).astype(float)
    assert CNNRegressor(**PARAMS).fit(X, y).predict(X).shape == (120,)


KINDS = {
    "classifier": lambda: CNNClassifier(**PARAMS),
    "features": lambda: CNNFeatureTransformer(CNNClassifier(**PARAMS)),
    "fine-tuned": lambda: FineTunedClassifier(
        CNNClassifier(**PARAMS).fit(*colour()), max_epochs=1, random_state=0
    ),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_was_fitted_here_loads_without_a_gpu(make, tmp_path):
    X, y = colour()
    fitted = make().fit(X, y)
    method = "transform" if hasattr(fitted, "transform") else "predict_proba"
    (tmp_path / "fitted.pkl").write_bytes(pickle.dumps(fitted))
    np.savez(tmp_path / "X.npz", X=X, expected=getattr(fitted, method)(X))
    code = (
        "import pickle, numpy as np; data = np.load('X.npz');"
        "fitted = pickle.load(open('fitted.pkl', 'rb'));"
        "np.testing.assert_allclose("
        f"fitted.{method}(data['X']), data['expected'], rtol=2e-3, atol=2e-3)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        env={"CUDA_VISIBLE_DEVICES": "", "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )


def test_search_in_processes_finds_what_one_in_this_process_does(problem):
    X, y = problem
    searches = [
        GridSearchCV(
            CNNClassifier(**PARAMS), {"n_layers": [1, 2]}, cv=2, n_jobs=n_jobs
        ).fit(X, y)
        for n_jobs in (1, 2)
    ]
    first, second = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_array_equal(first, second)


def test_sentences_are_classified():
    sentences = ["a good film", "a bad film indeed", "good", "bad bad"] * 20
    labels = ["good", "bad", "good", "bad"] * 20
    clf = TextCNNClassifier(max_epochs=5, random_state=0).fit(sentences, labels)
    assert next(clf.module_.parameters()).is_cuda
    assert clf.score(sentences, labels) > 0.9


@pytest.fixture
def make_transformer(tmp_path):
    """Make a transformer with random weights, the same for each."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), tmp_path / "weights.pt")

    def make(**parameters):
        parameters = {"weights": tmp_path / "weights.pt", "image_size": 64} | parameters
        return CNNFeatureTransformer("resnet18", **parameters)

    return make


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("limit", [0, 2**26], ids=["streamed", "resident"])
def test_features_agree_with_those_of_the_cpu(
    make_transformer, dtype, limit, monkeypatch
):
    monkeypatch.setattr(images_module, "SMALL", limit)
    X, _ = colour(n_samples=70, size=64)
    if dtype == "float32":
        X = X.astype(np.float32) / 255
    expected = make_transformer(device="cpu").transform(X)
    scale = np.abs(expected).max()
    features = make_transformer(batch_size=16).transform(X)
    np.testing.assert_allclose(features / scale, expected / scale, atol=3e-3)
    order = np.random.default_rng(0).permutation(70)
    shuffled = make_transformer(batch_size=16).transform(X[order])
    np.testing.assert_allclose(shuffled / scale, features[order] / scale, atol=1e-5)


@pytest.mark.parametrize("allow_tf32", [True, False])
@pytest.mark.parametrize("size", [1, 7, 70])
def test_batches_change_features_by_rounding_only(
    make_transformer, size, allow_tf32, monkeypatch
):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allow_tf32)
    X, _ = colour(n_samples=70, size=64)
    features = make_transformer(batch_size=16).transform(X)
    other = make_transformer(batch_size=size).transform(X)
    scale = np.abs(features).max()
    atol = 3e-3 if allow_tf32 else 1e-5
    np.testing.assert_allclose(other / scale, features / scale, atol=atol)


def test_predictions_do_not_depend_on_the_order():
    X, y = colour(n_samples=150)
    clf = CNNClassifier(**PARAMS).fit(X, y)
    order = np.random.default_rng(0).permutation(150)
    np.testing.assert_allclose(
        clf.predict_proba(X[order]), clf.predict_proba(X)[order], atol=1e-6
    )


def test_bad_pixels_are_found_on_the_gpu(make_transformer):
    X = np.random.default_rng(0).random((70, 64, 64, 3)).astype(np.float32)
    X[40, 3, 4, 1] = 1.5
    with pytest.raises(ValueError, match="pixels from"):
        make_transformer(batch_size=16).transform(X)


def test_features_of_files_are_those_of_arrays_also_from_the_cache(
    make_transformer, tmp_path
):
    X, _ = colour(n_samples=40, size=64)
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    make = make_transformer(batch_size=16, memory=tmp_path / "features")
    expected = make_transformer(batch_size=16).transform(X)
    np.testing.assert_array_equal(make.transform(paths), expected)
    np.testing.assert_array_equal(make.transform(paths), expected)
    assert (make.cache_info_.hits, make.cache_info_.misses) == (40, 40)


def test_bfloat16_features_are_close(make_transformer):
    X, _ = colour(n_samples=40, size=64)
    expected = make_transformer().transform(X)
    features = make_transformer(precision="bfloat16").transform(X)
    error = np.linalg.norm(features - expected) / np.linalg.norm(expected)
    assert error < 0.02
