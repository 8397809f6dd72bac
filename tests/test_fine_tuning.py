"""Fine-tuned estimators: phases, freezing, learning rates, and life in scikit-learn."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback
from torch import nn

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    FineTunedClassifier,
    FineTunedRegressor,
)
from skcnn._base import backbone_input
from skcnn.backbones import WeightsError
from skcnn.data import ImageFiles

# Trained from random weights, as the blobs of these checks show no images.
FROM_SCRATCH = {
    "trainable": "all",
    "weights": None,
    "lr": 0.01,
    "lr_decay": 1.0,
    "max_epochs": 5,
}
WEIGHTS_ARE_NOT_REPEATS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "A repeated sample has its own places in mini-batches and counts twice in "
        "their statistics, a sample of weight 2 does not."
    )
}
SMALL_TRAINING = {"max_epochs": 2, "head_epochs": 5, "random_state": 0}
SMALL = {"image_size": 16, **SMALL_TRAINING}


@pytest.mark.numerics
@parametrize_with_checks(
    [FineTunedClassifier("convnet", **FROM_SCRATCH)],
    expected_failed_checks=lambda estimator: WEIGHTS_ARE_NOT_REPEATS,
)
def test_scikit_learn_check(estimator, check, run_check):
    run_check(estimator, check)


@pytest.mark.slow
@parametrize_with_checks(
    [FineTunedRegressor("convnet", **FROM_SCRATCH)],
    expected_failed_checks=lambda estimator: WEIGHTS_ARE_NOT_REPEATS,
)
def test_scikit_learn_check_of_the_regressor(estimator, check, run_check):
    run_check(estimator, check)


@pytest.fixture(scope="module")
def weights(data_dir):
    return str(data_dir / "weights" / "resnet20_cifar10.safetensors")


def draw(n_samples=32, size=16, seed=0):
    """Return colour images, reddish ones and bluish ones, and which they are."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n_samples) % 2
    X = rng.integers(0, 200, (n_samples, size, size, 3), np.uint8)
    X[codes == 1, ..., 0] += 50
    X[codes == 0, ..., 2] += 50
    return X, np.array(["blue", "red"])[codes]


@pytest.fixture(scope="module")
def make(weights):
    """Return a function that makes a classifier with pretrained weights."""

    def make(cls=FineTunedClassifier, **params):
        return cls("resnet20", **{"weights": weights, **SMALL, **params})

    return make


@pytest.fixture(scope="module")
def fitted(make):
    """A classifier that `draw` has trained; tests leave it as it is."""
    return make().fit(*draw())


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def pretrained(weights, layer="penultimate"):
    """Return a transformer that has the network as it was before."""
    transformer = CNNFeatureTransformer("resnet20", weights=weights, image_size=16)
    return transformer.fit(draw()[0])


# Phases


@pytest.mark.numerics
def test_a_head_alone_is_a_linear_model_of_the_features(make, weights):
    X, y = draw()
    clf = make(trainable="head", precision="float64").fit(X, y)
    features = pretrained(weights).transform(X).astype(float)
    linear = clf.module_.head[1]
    outputs = features @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    expected = np.log(np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True))
    np.testing.assert_allclose(clf.predict_log_proba(X), expected, atol=1e-3)


def test_the_first_phase_trains_the_head_on_features(make):
    X, y = draw()
    params = {"trainable": "head", "max_epochs": 1, "lr": 1e-12}
    clf = make(head_epochs=30, **params).fit(X, y)
    assert len(clf.head_loss_curve_) == 30
    assert clf.head_loss_curve_[-1] < 0.5 * clf.head_loss_curve_[0]
    assert clf.score(X, y) == 1
    assert clf.n_iter_ == 1
    without = make(head_epochs=0, **params).fit(X, y)
    assert without.head_loss_curve_ == []
    np.testing.assert_allclose(without.predict_proba(X), 0.5, atol=1e-6)


def test_random_weights_have_no_first_phase():
    X, y = draw()
    clf = FineTunedClassifier("resnet20", weights=None, max_epochs=1, random_state=0)
    assert clf.fit(X, y).head_loss_curve_ == []


def test_a_head_is_trained_on_images_that_go_through_the_network_once(
    make, monkeypatch
):
    calls = []
    monkeypatch.setattr(
        "skcnn._base.backbone_features.compute_features",
        lambda source, *args: calls.append(len(source)) or compute(source, *args),
    )
    from skcnn.features import compute_features as compute

    X, y = draw()
    X_val, y_val = draw(8, seed=1)
    clf = make(trainable="head", max_epochs=5).fit(X, y, X_val=X_val, y_val=y_val)
    assert calls == [32, 8]
    assert len(clf.validation_scores_) == 5
    last = clf.validation_scores_[-1]
    assert clf.score(X_val, y_val) == pytest.approx(last)


@pytest.mark.numerics
def test_head_training_on_features_is_like_training_on_images(make, monkeypatch):
    X, y = draw()
    params = {"trainable": "head", "lr": 0.01, "precision": "float64"}
    on_features = make(**params).fit(X, y)
    monkeypatch.setattr(FineTunedClassifier, "_trains_on_features", False)
    on_images = make(**params).fit(X, y)
    np.testing.assert_allclose(
        on_features.predict_proba(X), on_images.predict_proba(X), atol=1e-6
    )


@pytest.mark.numerics
def test_features_are_taken_from_the_cache(make, weights, tmp_path):
    X, y = draw()
    transformer = CNNFeatureTransformer(
        "resnet20", weights=weights, image_size=16, memory=tmp_path
    )
    transformer.fit(X)
    first = make(memory=tmp_path, trainable="all").fit(X, y)
    transformer.transform(X)
    assert transformer.cache_info_.hits == 32
    second = make(memory=tmp_path, trainable="all").fit(X, y)
    third = make(trainable="all").fit(X, y)
    for clf in (second, third):
        np.testing.assert_array_equal(clf.predict_proba(X), first.predict_proba(X))


@pytest.mark.numerics
def test_decoded_files_share_no_rows_with_arrays_of_the_same_pixels(tmp_path):
    """Files are resized and cropped as they are read, arrays are afterwards."""
    network = nn.Sequential(nn.Conv2d(3, 4, 9), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(1, 3, 224, 224))
    X, y = draw(4, size=32)
    images = [Image.fromarray(image) for image in X]
    params = {"preprocessing": "resnet18", "memory": tmp_path}
    clf = FineTunedClassifier(network, trainable="head", **params, **SMALL_TRAINING)
    clf.fit(images, y)
    read = backbone_input.image_files(clf._backbone, images)
    _, pixels = next(iter(read.batches([np.arange(len(images))])))
    transformer = CNNFeatureTransformer(network, **params)
    features = transformer.fit_transform(np.asarray(pixels))
    assert transformer.cache_info_ == (0, len(images))
    expected = transformer.set_params(memory=None).fit_transform(np.asarray(pixels))
    np.testing.assert_array_equal(features, expected)


# Freezing and rates


@pytest.mark.parametrize("trainable", ["head", 1, "layer3.2"])
def test_frozen_parameters_and_statistics_keep_each_bit(make, weights, trainable):
    before = state(pretrained(weights).module_)
    clf = make(trainable=trainable, weight_averaging="ema", early_stopping=True)
    clf.fit(*draw())
    changed = {
        name
        for name, value in clf.module_.backbone.state_dict().items()
        if not torch.equal(value, before[name])
    }
    trained = {"head": "-", 1: "layer3."}.get(trainable, trainable)
    assert all(name.startswith(trained) for name in changed)
    assert (len(changed) > 5) == (trainable in (1, "layer3.2"))


def test_going_on_training_keeps_what_is_frozen(make):
    X, y = draw()
    clf = make(trainable=1, warm_start=True).fit(X, y)
    before = state(clf.module_.backbone)
    clf.fit(X, y).partial_fit(X, y)
    after = clf.module_.backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("layer3.") for name in changed)


def test_the_backbone_that_is_given_is_not_changed(rng):
    X, y = draw()
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(784, 7)
    )
    before = state(network)
    clf = FineTunedClassifier(network, max_epochs=2, lr=0.01, random_state=0).fit(X, y)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert clf.blocks_ == ("0", "1")


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", None])
def test_rates_of_earlier_layers_are_smaller_under_any_schedule(make, schedule):
    class Rates(Callback):
        def on_epoch_end(self, net, **kwargs):
            groups = net.optimizer_.param_groups
            rates.append([(group["lr"], group["lr_factor"]) for group in groups])

    rates = []
    clf = make(lr_schedule=schedule, lr_decay=0.5, callbacks=[Rates()], max_epochs=3)
    clf.set_params(trainable="all").fit(*draw()).partial_fit(*draw())
    assert len(rates) == 4
    for groups in rates:
        head = max(lr for lr, _ in groups)
        assert head > 0
        for lr, factor in groups:
            assert lr == pytest.approx(head * factor)
        assert sorted(f for _, f in groups) == [0.5**i for i in range(5, -1, -1)]
    assert max(lr for lr, _ in rates[-1]) == clf.lr


def test_find_lr_leaves_the_estimator_as_it_is(make):
    clf = make(trainable="all")
    curve = clf.find_lr(*draw(), n_steps=8)
    assert 1e-6 <= curve.suggestion <= 1
    assert not hasattr(clf, "net_")


# Input


def as_files(X, tmp_path):
    paths = []
    for i, image in enumerate(X):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(paths[-1])
    return paths


@pytest.mark.numerics
def test_files_frames_images_and_bytes_are_like_arrays(make, fitted, tmp_path):
    pd = pytest.importorskip("pandas")
    X, y = draw()
    paths = as_files(X, tmp_path)
    expected = fitted.predict_proba(X)
    frame = pd.DataFrame({"file": list(map(str, paths))})
    clf = make().fit(frame, y)
    np.testing.assert_allclose(clf.predict_proba(frame), expected, atol=1e-6)
    refuse(lambda: clf.predict(frame.rename(columns={"file": "path"})), "names")
    clf = make().fit(paths, y)
    same = [
        paths,
        frame["file"].to_numpy(),
        frame["file"],
        [Image.fromarray(image) for image in X],
        [path.read_bytes() for path in paths],
        X,
    ]
    for images in same:
        np.testing.assert_allclose(clf.predict_proba(images), expected, atol=1e-6)


@pytest.mark.numerics
def test_files_of_unequal_size_validate_arrays_and_the_other_way_round(make, tmp_path):
    X, y = draw(size=24)
    paths = as_files([x[: 16 + i % 8] for i, x in enumerate(X)], tmp_path)
    clf = make().fit(paths, y, X_val=X, y_val=y)
    assert clf.validation_scores_[-1] == clf.score(X, y)
    clf = make().fit(X, y, X_val=paths, y_val=y)
    assert clf.validation_scores_[-1] == clf.score(paths, y)
    clf.partial_fit(paths, y)
    with pytest.raises(ValueError, match="partial_fit does not support"):
        make(early_stopping=True).partial_fit(paths, y)


def test_files_are_decoded_once(make, tmp_path, monkeypatch):
    X, y = draw()
    paths = as_files(X, tmp_path)
    decoded = []
    decode = ImageFiles._decode
    monkeypatch.setattr(
        ImageFiles, "_decode", lambda *args: decoded.append(args[2]) or decode(*args)
    )
    make(max_epochs=3, early_stopping=True).fit(paths, y)
    assert sorted(decoded) == list(range(32))


@pytest.mark.numerics
def test_weights_of_files_count(make, tmp_path):
    X, y = draw()
    paths = as_files(X, tmp_path)
    weights = np.ones(32)
    weights[8:] = 0
    weighted = make(batch_size=8).fit(paths, y, sample_weight=weights)
    alone = make(batch_size=8).fit(paths[:8], y[:8], sample_weight=weights[:8])
    np.testing.assert_allclose(
        weighted.predict_proba(X), alone.predict_proba(X), atol=1e-6
    )


@pytest.mark.numerics
def test_grey_and_flattened_images(make):
    X, y = draw()
    grey = X.mean(-1).astype(np.uint8)
    short = {"max_epochs": 1, "head_epochs": 2}
    clf = make(**short).fit(grey, y)
    repeated = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(
        clf.predict_proba(grey), make(**short).fit(repeated, y).predict_proba(repeated)
    )
    flat = make(image_shape=(16, 16), **short).fit(grey.reshape(32, -1), y)
    np.testing.assert_array_equal(
        flat.predict_proba(grey.reshape(32, -1)), clf.predict_proba(grey)
    )
    assert flat.n_features_in_ == 256


@pytest.mark.numerics
@pytest.mark.parametrize(
    ("dtype", "scale"), [("float32", 1 / 255), ("float64", 1 / 255), ("uint16", 257)]
)
def test_pixels_have_the_range_of_their_dtype(fitted, dtype, scale):
    X, _ = draw()
    np.testing.assert_allclose(
        fitted.predict_proba(X.astype(dtype) * scale),
        fitted.predict_proba(X),
        atol=1e-4,
    )


# Bad input; the numbers are rows of the list of bad inputs


def refuse(call, *words, error=ValueError):
    with pytest.raises(error) as info:
        call()
    for word in words:
        assert word in str(info.value)


def test_arrays_of_another_shape_are_refused(make, fitted):
    X, y = draw()
    name = "FineTunedClassifier was fitted on (16, 16, 3)"
    refuse(lambda: fitted.predict(X[..., :2]), "(16, 16, 2)", name)  # 9
    refuse(lambda: fitted.predict(X[:, :9]), "(9, 16, 3)", name)  # 10
    refuse(lambda: fitted.predict(X.transpose(0, 3, 1, 2)), "(3, 16, 16)", name)  # 11
    refuse(lambda: fitted.partial_fit(X[:, :9], y), "(9, 16, 3)", name)
    refuse(
        lambda: make().fit(X, y, X_val=X[:, :9], y_val=y),
        "validation data",
        "(9, 16, 3)",
    )


def test_images_that_the_network_cannot_take_are_refused(make, weights, tmp_path):
    X, y = draw()
    refuse(lambda: make().fit(X[..., :2], y), "2 channels", "3 (RGB) or 1 (grey)")  # 12
    squeezenet = FineTunedClassifier("squeezenet1_1", weights=None, image_size=8)
    refuse(lambda: squeezenet.fit(X, y), "at least 17 x 17", "8 x 8")  # 13
    refuse(lambda: make(image_shape=(9, 9)).fit(X.reshape(32, -1), y), "needs 81")  # 14
    refuse(lambda: make().fit(X.astype(complex), y), "Complex data")  # 17
    refuse(lambda: make().fit(X.astype(float), y), "or scale them")
    paths = as_files(X, tmp_path)
    clf = make().fit(paths, y)
    refuse(lambda: clf.predict(X[..., :2]), "2 channels", "3 (RGB) or 1 (grey)")


def test_targets_of_files_are_checked(make, tmp_path):
    X, y = draw()
    paths = as_files(X, tmp_path)
    refuse(lambda: make().fit(paths, y[1:]), "inconsistent numbers of samples")  # 18
    refuse(lambda: make().fit(paths, np.linspace(0, 1, 32)), "continuous")  # 19
    refuse(lambda: make().fit(paths, [np.nan] * 32), "NaN")  # 20
    refuse(lambda: make().fit(paths, None), "requires y to be passed")  # 23
    refuse(lambda: make().fit(paths, y, -np.ones(32)), "Negative values")  # 24
    refuse(lambda: make().fit([], []), "0 sample(s)")  # 3
    refuse(lambda: make().fit([*paths[:31], X[0]], y), "mixes", error=TypeError)  # 31


def test_files_of_every_mode_are_read(make, data_dir):
    names = [
        "hopper_gray.jpg",  # 37
        "pil123rgba.png",  # 38
        "pil_sample_cmyk.jpg",  # 39
        "p_trns_single.png",  # 40
        "hopper_orientation_6.jpg",
        "hopper.jpg",
    ]
    paths = [data_dir / "odd_images" / name for name in names]
    clf = make(max_epochs=1).fit(paths, [0, 1] * 3)
    assert clf.predict_proba(paths).shape == (6, 2)


@pytest.mark.parametrize(
    "name",
    [
        "not_there.jpg",  # 44
        "made_empty.jpg",  # 45
        "made_text_named.jpg",
        "made_truncated_hopper.jpg",  # 46
        "broken_data_stream.png",  # 47
        "made_bomb_30000x30000_1bit.png",  # 48
        "",  # 49, a folder
    ],
)
def test_a_file_that_cannot_be_read_is_named(make, fitted, data_dir, name):
    good, bad = (data_dir / "odd_images" / n for n in ("hopper.jpg", name))
    refuse(lambda: make().fit([good, bad], [0, 1]), "Row 1 of X", str(bad))
    refuse(lambda: fitted.predict([good, good, bad]), "Row 2 of X", str(bad))


def test_labels_of_every_kind(make):
    X, _ = draw()
    for labels in ([-5, 7, 100], [3]):  # 41, 42
        y = np.array(labels)[np.arange(32) % len(labels)]
        clf = make(max_epochs=1).fit(X, y)
        assert set(clf.predict(X)) <= set(labels)
    with pytest.warns(match="column-vector"):  # 43
        make(max_epochs=1).fit(X, y[:, None])


def test_what_is_asked_of_the_backbone_must_be_there(make, tmp_path):
    X, y = draw()
    refuse(lambda: make(trainable="layr1").fit(X, y), "trainable='layr1'", "'layer1'")
    refuse(lambda: make(trainable=9).fit(X, y), "5 blocks")
    missing = make(weights=str(tmp_path / "no.safetensors"))
    refuse(lambda: missing.fit(X, y), "no.safetensors", error=WeightsError)
    unfitted = FineTunedClassifier(CNNClassifier())
    refuse(lambda: unfitted.fit(X, y), "fitted estimator", error=TypeError)
    random = FineTunedClassifier("resnet20", weights=None)
    refuse(lambda: random.fit(as_files(X, tmp_path), y), "Pass an array")
    module = FineTunedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)))
    refuse(
        lambda: module.fit(as_files(X, tmp_path), y),
        "set preprocessing, for example to 'resnet18'",
    )

    class Softmax(nn.Sequential):
        def forward(self, x):
            return super().forward(x).softmax(1)

    network = FineTunedClassifier(Softmax(nn.Flatten(), nn.Linear(768, 2)))
    refuse(lambda: network.fit(X, y), "softmax transforms the output of its last layer")


# In scikit-learn


@pytest.mark.numerics
def test_a_clone_and_the_same_seed_are_the_same_model(make):
    X, y = draw()
    clf = make(dropout=0.2, max_epochs=1).fit(X, y)
    again = clone(clf).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    other = clone(clf).set_params(random_state=1).fit(X, y)
    assert not np.allclose(other.predict_proba(X), clf.predict_proba(X))


@pytest.mark.slow
def test_a_pickle_predicts_where_the_weights_file_is_missing(make, weights, tmp_path):
    X, y = draw()
    copy = tmp_path / "weights.safetensors"
    with open(weights, "rb") as file:
        copy.write_bytes(file.read())
    clf = make(weights=str(copy)).fit(X, y)
    copy.unlink()
    np.savez(tmp_path / "data.npz", X=X, expected=clf.predict_proba(X))
    (tmp_path / "clf.pickle").write_bytes(pickle.dumps(clf))
    code = (
        "import pickle, sys, numpy as np\n"
        "data = np.load(sys.argv[1])\n"
        "clf = pickle.load(open(sys.argv[2], 'rb'))\n"
        "np.testing.assert_allclose(clf.predict_proba(data['X']), data['expected'],"
        " atol=1e-6)\n"
    )
    command = [sys.executable, "-c", code]
    paths = [str(tmp_path / name) for name in ("data.npz", "clf.pickle")]
    subprocess.run([*command, *paths], check=True)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_truth_value_is_no_number_of_blocks(make, trainable):
    with pytest.raises(ValueError, match="expected 'all', 'head'"):
        make(trainable=trainable).fit(*draw())


def test_a_pickle_has_one_network(make):
    clf = make(head_epochs=0).fit(*draw())
    n_bytes = sum(v.nbytes for v in clf.module_.state_dict().values())
    assert len(pickle.dumps(clf)) < len(pickle.dumps(clf.net_)) + n_bytes / 2


def test_searches_and_scores(make):
    X, y = draw()
    search = GridSearchCV(make(max_epochs=1), {"trainable": ["head", "all"]}, cv=2)
    search.fit(X, y)
    assert search.best_estimator_.score(X, y) > 0.5
    pipeline = make_pipeline(FunctionTransformer(np.flip), make(max_epochs=1))
    assert cross_val_score(pipeline, X, y, cv=2).shape == (2,)


def test_a_regressor_learns_values_below_zero(make):
    X, y = draw()
    values = np.where(y == "red", -100.0, -90.0)
    reg = make(FineTunedRegressor, trainable="head", head_epochs=50).fit(X, values)
    assert reg.score(X, values) > 0.8
    two = make(FineTunedRegressor).fit(X, np.c_[values, -values])
    assert two.predict(X).shape == (32, 2)


# Networks of this package


@pytest.fixture(scope="module")
def network():
    X, y = draw(64, size=8)
    return CNNClassifier(n_layers=2, n_filters=4, random_state=0).fit(X, y)


@pytest.mark.parametrize("wrap", [lambda x: x, FrozenEstimator])
def test_a_fitted_estimator_is_a_backbone_that_stays_as_it_is(network, wrap):
    X, y = draw(size=8, seed=1)
    before = state(network.module_)
    clf = FineTunedClassifier(wrap(network), head_epochs=5, max_epochs=2, lr=0.01)
    clf = clone(clf).fit(X, np.where(y == "red", 5, 7))
    after = network.module_.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert clf.scaler_ is network.scaler_
    assert clf.score(X, np.where(y == "red", 5, 7)) == 1
    refuse(lambda: clf.fit(X[:, :6], y), "(6, 8, 3)", "(8, 8, 3)")


def test_a_scale_is_learnt_from_what_is_trained_on(rng):
    X, y = draw()
    clf = FineTunedClassifier("resnet20", weights=None, max_epochs=1, random_state=0)
    clf.fit(X, y, X_val=X // 2, y_val=y)
    np.testing.assert_allclose(clf.scaler_.mean_, X.mean((0, 1, 2)))
    assert clf.preprocessing_ is None


@pytest.mark.numerics
def test_a_fine_tuned_network_computes_features(fitted):
    X, _ = draw()
    features = CNNFeatureTransformer(fitted).fit_transform(X)
    with torch.inference_mode():
        batch = backbone_input.images(fitted, X, torch.device("cpu")).take(slice(None))
        expected = fitted.module_.eval().features(batch)
    np.testing.assert_allclose(features, expected, atol=1e-4)


# Real photographs


@pytest.mark.slow
def test_ants_and_bees(data_dir):
    folder = data_dir / "images" / "hymenoptera"
    X, y, X_test, y_test = (
        part
        for name in ("train", "val")
        for paths in [sorted((folder / name).glob("*/*.jpg"))]
        for part in (paths, [path.parent.name for path in paths])
    )
    weights = data_dir / "weights" / "squeezenet1_0_imagenet.fp32.safetensors"
    clf = FineTunedClassifier(
        "squeezenet1_0", weights=weights, max_epochs=2, random_state=0
    )
    assert clf.fit(X, y).score(X_test, y_test) >= 0.9


def test_parameters_of_a_fitted_backbone_are_not_set(rng):
    X, y = rng.random((24, 8, 8)), np.arange(24) % 3
    base = CNNClassifier(n_layers=1, n_filters=4, max_epochs=1).fit(X, y)
    model = FineTunedClassifier(base, max_epochs=1, head_epochs=1)
    for estimator in (model, clone(model)):
        with pytest.raises(ValueError, match="backbone__n_filters cannot be set"):
            estimator.set_params(backbone__n_filters=8)
    assert base.n_filters == 4


def test_partial_fit_does_not_train_other_layers_than_so_far(rng):
    X, y = rng.random((24, 8, 8)), np.arange(24) % 3
    base = CNNClassifier(n_layers=1, n_filters=4, max_epochs=1).fit(X, y)
    model = FineTunedClassifier(base, trainable="all", max_epochs=1, head_epochs=1)
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"trainable is 'head', but .* with 'all'"):
        model.set_params(trainable="head").partial_fit(X, y)
    model.set_params(trainable="all").partial_fit(X, y)
    model.set_params(trainable="head", warm_start=True).fit(X, y).partial_fit(X, y)


class ReturningDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def forward(self, x):
        return {"out": self.body(x)}


class WithTwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat = nn.Flatten()
        self.first, self.second = nn.Linear(64, 3), nn.Linear(64, 3)

    def forward(self, x):
        return self.first(self.flat(x)) + self.second(self.flat(x))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (ReturningDict(), "returns dict, expected a tensor"),
        (WithTwoHeads(), "operations after the last layer with weights fail"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.BatchNorm1d(3)),
            "operations after the last layer with weights fail",
        ),
    ],
)
def test_a_network_whose_head_cannot_be_replaced_says_so(network, words, rng):
    X, y = rng.random((24, 8, 8)), np.arange(24) % 3
    with pytest.raises(ValueError, match=words):
        FineTunedClassifier(network, max_epochs=1).fit(X, y)
