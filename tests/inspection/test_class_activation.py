import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    TextCNNClassifier,
)
from skcnn.backbones import Preprocessing
from skcnn.inspection import ClassActivationDisplay, class_activation_maps


def make_squares(size, n_samples, seed, noise=0.2):
    """Return noise with one bright square, its quadrant, and where it is."""
    rng = np.random.default_rng(seed)
    side = size // 3
    X = rng.uniform(0, noise, (n_samples, size, size)).astype(np.float32)
    inside = np.zeros(X.shape, bool)
    corners = rng.integers(0, size - side + 1, (n_samples, 2))
    for mask, (top, left) in zip(inside, corners, strict=True):
        mask[top : top + side, left : left + side] = True
    X[inside] += 0.8
    y = (corners + side / 2 > size / 2) @ [2, 1]
    return X, y, inside


def make_signs_of_presence(size, n_samples, seed, noise=0.2):
    """Return noise, half of which has one bright square."""
    X, _, inside = make_squares(size, n_samples, seed, noise)
    y = np.arange(n_samples) % 2
    X[y == 0] -= 0.8 * inside[y == 0]
    return X, y, inside


def hit_rates(maps, inside):
    """Return the share of maps inside, and how often their maximum is inside."""
    total = maps.sum(axis=(1, 2))
    share = (maps * inside).sum(axis=(1, 2)) / np.where(total > 0, total, np.inf)
    largest = maps.reshape(len(maps), -1).argmax(axis=1)
    hits = inside.reshape(len(maps), -1)[np.arange(len(maps)), largest]
    return share.mean(), hits.mean()


def check_squares(make, size, n_samples, max_epochs):
    X, y, _ = make(size, n_samples, 0)
    clf = CNNClassifier(max_epochs=max_epochs, batch_size=16, random_state=0).fit(X, y)
    X, y, inside = make(size, 40, 1)
    kept = (clf.predict(X) == y) & (X.max(axis=(1, 2)) > 0.5)
    assert kept.mean() > 0.4
    share, pointing = hit_rates(class_activation_maps(clf, X[kept]), inside[kept])
    assert share >= 0.8
    assert pointing >= 0.95


def test_maps_are_within_the_square_that_decides():
    check_squares(make_squares, 8, 200, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "size", "n_samples", "max_epochs"),
    [
        (make_squares, 12, 200, 6),
        (make_signs_of_presence, 8, 300, 6),
        (make_signs_of_presence, 20, 160, 4),
        (make_squares, 32, 160, 4),
        (make_signs_of_presence, 64, 60, 3),
    ],
)
def test_maps_are_within_squares_of_any_size(make, size, n_samples, max_epochs):
    check_squares(make, size, n_samples, max_epochs)


def randomize(part, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in part.parameters():
            shuffled = weights.flatten()[
                torch.randperm(weights.numel(), generator=generator)
            ]
            weights.copy_(shuffled.view_as(weights))


def test_maps_change_with_the_weights(digits, digits_clf):
    """Cascading randomisation, from the top (Adebayo et al. 2018)."""
    X, y = digits[0][400:440], digits[1][400:440]
    before = class_activation_maps(digits_clf, X, classes="true", y=y)
    other = copy.deepcopy(digits_clf)
    for name in ("output", "block3", "block2", "block1"):
        randomize(other.module_.get_submodule(name), seed=1)
        after = class_activation_maps(other, X, classes="true", y=y)
        pairs = zip(before.reshape(40, -1), after.reshape(40, -1), strict=True)
        similarity = np.nanmean([spearmanr(*pair)[0] for pair in pairs])
        assert similarity < 0.5


@pytest.mark.parametrize("method", ["hirescam", "gradcam"])
def test_maps_are_gradients_times_feature_maps(digits, digits_clf, method):
    X = digits[0][:5]
    net, scaler = digits_clf.module_.eval(), digits_clf.scaler_
    x = torch.as_tensor((X - scaler.mean_) / scaler.scale_, dtype=torch.float32)
    maps = net.block2(net.block1(x[:, None])).detach().requires_grad_()  # (5, 64, 2, 2)
    rest = net.output(net.flatten(net.block3(maps)))
    (gradient,) = torch.autograd.grad(rest[:, 3].sum(), maps)
    if method == "gradcam":
        gradient = gradient.mean((2, 3), keepdim=True)
    expected = (gradient * maps.detach()).sum(1).relu().numpy()
    options = {"classes": 3, "layer": "block2", "method": method}
    found = class_activation_maps(digits_clf, X, **options)
    corners = found[:, ::7, ::7]  # which interpolation leaves as they are
    np.testing.assert_allclose(corners, expected, rtol=1e-4, atol=1e-6)


def test_classes_are_chosen_by_label(digits, digits_clf):
    X, y = digits[0][400:410], digits[1][400:410]
    every = class_activation_maps(digits_clf, X, classes="all")
    assert every.shape == (10, 10, 8, 8)
    rows = np.arange(10)
    predicted = class_activation_maps(digits_clf, X)
    true = class_activation_maps(digits_clf, X, classes="true", y=y)
    two = class_activation_maps(digits_clf, X, classes=[7, 2])
    np.testing.assert_array_equal(predicted, every[rows, digits_clf.predict(X)])
    np.testing.assert_array_equal(true, every[rows, y])
    np.testing.assert_array_equal(two, every[:, [7, 2]])


def test_networks_with_averaged_maps_have_one_map(digits):
    """HiResCAM is Grad-CAM for them, also of layers that are frozen."""
    X, y = digits[0][:60], np.where(digits[1][:60] % 2, "odd", "even")
    clf = FineTunedClassifier(
        "resnet20", weights=None, trainable="head", max_epochs=1, random_state=0
    )
    search = GridSearchCV(clf, {"lr": [1e-3]}, cv=2).fit(X, y)
    layer = "backbone.layer3"
    both = [
        class_activation_maps(search, X, classes="all", layer=layer, method=method)
        for method in ("hirescam", "gradcam")
    ]
    assert (both[0] > 0).any()
    np.testing.assert_allclose(*both, atol=1e-6)


def test_weights_get_no_gradients(digits, digits_clf):
    digits_clf.module_.zero_grad()
    class_activation_maps(digits_clf, digits[0][:3])
    assert all(weights.grad is None for weights in digits_clf.module_.parameters())


@pytest.mark.parametrize(
    ("shape", "kwargs"), [((40,), {}), ((6, 10, 9), {"channel_axis": None})]
)
def test_signals_and_volumes_have_maps_of_their_shape(rng, shape, kwargs):
    X = rng.normal(size=(20, *shape)).astype(np.float32)
    y = X.reshape(20, -1).mean(axis=1)
    reg = CNNRegressor(max_epochs=1, n_layers=2, random_state=0, **kwargs).fit(X, y)
    assert class_activation_maps(reg, X).shape == X.shape
    display = ClassActivationDisplay.from_estimator(reg, X, y, n_images=2)
    assert display.maps.shape == (2, 1, *shape)
    assert display.axes_.shape == (2, 2)


@pytest.fixture(scope="module")
def crops():
    """Parts of two photographs, and which of them they are from."""
    X = [i[r : r + 256 : 8, c : c + 256 : 8] for i in load_sample_images().images
         for r in (0, 60, 120) for c in (0, 100, 200, 300)]  # fmt: skip
    return np.stack(X), np.repeat([0, 1], 12)


@pytest.fixture(scope="module")
def features(crops):
    network = CNNFeatureTransformer("resnet20", weights=None, random_state=0)
    return network.fit(crops[0])


def tail_of(n_classes, *steps, marks=()):
    return pytest.param(n_classes, steps, marks=marks, id=type(steps[-1]).__name__)


@pytest.mark.parametrize(
    ("n_classes", "tail"),
    [
        tail_of(3, StandardScaler(), LogisticRegression()),
        tail_of(2, StandardScaler(), PCA(5), LinearSVC(), marks=pytest.mark.slow),
        tail_of(2, Ridge(), marks=pytest.mark.slow),
    ],
)
def test_means_of_exact_maps_are_the_scores(crops, features, n_classes, tail):
    X, y = crops[0], np.arange(24) % n_classes
    pipeline = make_pipeline(features, *tail).fit(X, y)
    maps = class_activation_maps(pipeline, X, classes="all")
    is_regressor = isinstance(tail[-1], Ridge)
    score = pipeline.predict if is_regressor else pipeline.decision_function
    expected = (score(X) - pipeline[-1].intercept_).reshape(24, -1)
    if not is_regressor and n_classes == 2:
        expected = np.hstack([-expected, expected])
    assert maps.shape == (*expected.shape, 32, 32)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), expected, atol=1e-5)


def test_exact_maps_are_scores_of_positions(crops, features):
    X, y = crops
    pipeline = make_pipeline(features, StandardScaler(), LogisticRegression()).fit(X, y)
    whole = CNNFeatureTransformer(features.backbone, layer="layer3", pooling=None,
                                  weights=None, random_state=0)  # fmt: skip
    of_layer = whole.fit(X).transform(X).reshape(24, 64, 8, 8)
    scaler, model = pipeline[1], pipeline[2]
    scaled = (of_layer - scaler.mean_[:, None, None]) / scaler.scale_[:, None, None]
    expected = np.einsum("c,nchw->nhw", model.coef_[0], scaled)
    maps = class_activation_maps(pipeline, X, classes=1)
    corners = maps[:, ::31, ::31]  # which interpolation leaves as they are
    np.testing.assert_allclose(corners, expected[:, ::7, ::7], atol=1e-4)


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param([Normalizer(), LogisticRegression()], marks=pytest.mark.slow),
        [SVC()],
    ],
)
def test_steps_that_are_not_linear_are_an_error(crops, features, tail):
    pipeline = make_pipeline(features, *tail).fit(*crops)
    with pytest.raises(ValueError, match="are not linear"):
        class_activation_maps(pipeline, crops[0])


def test_maps_of_a_crop_are_placed_in_the_image():
    published = Preprocessing((16, 16), 20, "bilinear", (0.5,), (0.5,))
    placed = published.place_maps(torch.ones(1, 1, 16, 16), 40, 80)[0, 0]
    assert placed.shape == (40, 80)
    torch.testing.assert_close(placed.sum(), torch.tensor(32.0 * 32))
    torch.testing.assert_close(placed[6:34, 26:54], torch.ones(28, 28))
    assert placed[:, :22].max() == placed[:2].max() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 11}, "classes=11 is not known"),
        ({"classes": "true"}, "Pass y"),
        ({"layer": "blok2"}, "Similar names are .*'block2'"),
        ({"layer": "output"}, "expected feature maps with 2 spatial axes"),
        ({"method": "cam"}, "Use one of"),
    ],
)
def test_errors_say_what_to_do(digits, digits_clf, options, message):
    with pytest.raises(ValueError, match=message):
        class_activation_maps(digits_clf, digits[0][:3], **options)


@pytest.mark.parametrize("est", [LogisticRegression(), TextCNNClassifier()])
def test_estimators_without_images_are_an_error(est):
    with pytest.raises(TypeError, match="expected"):
        class_activation_maps(est, np.zeros((2, 8, 8)))


def test_steps_before_the_network_are_run(digits, digits_clf):
    X = digits[0][:4]
    pipeline = make_pipeline(FunctionTransformer(np.copy), digits_clf)
    np.testing.assert_array_equal(
        class_activation_maps(pipeline, X), class_activation_maps(digits_clf, X)
    )


def test_display_shows_right_or_wrong_images(digits, digits_clf):
    X, y = digits[0][400:600], digits[1][400:600]
    wrong = np.flatnonzero(digits_clf.predict(X) != y)
    options = {"classes": "all", "show": "wrong", "n_images": 2}
    display = ClassActivationDisplay.from_estimator(digits_clf, X, y, **options)
    np.testing.assert_array_equal(display.rows, wrong[:2])
    maps = class_activation_maps(digits_clf, X[wrong[:2]], classes="all")
    np.testing.assert_array_equal(display.maps, maps)
    assert display.labels.tolist() == [list(range(10))] * 2
    shown = display.axes_[1, 0].images[-1].get_array()
    np.testing.assert_allclose(shown, maps[0, 0] / (maps[0, 0].max() or 1))
    title = display.axes_[0, 0].get_title()
    assert title == f"predicted {display.y_pred[0]}\ntrue {y[wrong[0]]}"
    frames = [ax.spines["top"].get_visible() for ax in display.axes_[0]]
    assert frames == [True, True]
