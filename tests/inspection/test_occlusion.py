import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from skcnn.inspection import OcclusionDisplay
from skcnn.inspection.occlusion import list_patches


def plain_drops(scores, image, size, stride):
    """Return the mean drop of a score at each pixel, by plain loops."""
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    for top in range(0, image.shape[0] - size + 1, stride):
        for left in range(0, image.shape[1] - size + 1, stride):
            part = np.s_[top : top + size, left : left + size]
            covered = image.copy()
            covered[part] = image.mean()
            total[part] += scores(image) - scores(covered)
            count[part] += 1
    return total / count


def test_drops_are_those_of_a_plain_loop(digits):
    X, y = digits[0].reshape(-1, 64), digits[1]
    svc = SVC().fit(X[:300], y[:300])
    display = OcclusionDisplay.from_estimator(
        svc, X[300:], y[300:], n_images=2, patch_size=2, stride=2, image_shape=(8, 8)
    )
    for row, drops in enumerate(display.drops):
        column = display.y_pred[row]
        image = X[300 + row].reshape(8, 8)
        scores = lambda one: svc.decision_function(one.reshape(1, -1))[0, column]  # noqa: B023, E731
        np.testing.assert_allclose(drops[0], plain_drops(scores, image, 2, 2))
        np.testing.assert_allclose(display.scores[row, 0], scores(image))
    assert display.axes_.shape == (2, 2)


def test_what_is_covered_keeps_shape_and_dtype(digits, digits_clf):
    X = digits[0].astype(np.uint8)
    seen = []

    def note(X):
        seen.append((X.shape[1:], X.dtype))
        return X.astype(np.float64)

    clf = make_pipeline(FunctionTransformer(note), digits_clf)
    display = OcclusionDisplay.from_estimator(clf, X, n_images=1, classes=[1, 7])
    assert set(seen) == {((8, 8), np.dtype(np.uint8))}
    assert display.labels.tolist() == [[1, 7]]
    expected = digits_clf.predict_proba(digits[0][:1])[:, [1, 7]]
    np.testing.assert_allclose(display.scores, expected, rtol=1e-5)


def test_only_what_is_looked_at_matters():
    """A classifier of images that reads one corner of each."""
    bright, dark = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (20, 20))
    corner = FunctionTransformer(
        lambda X: [[np.asarray(one)[:5, :5].mean() / 255] for one in X]
    )
    clf = make_pipeline(corner, LogisticRegression()).fit(
        [bright, dark] * 5, [1, 0] * 5
    )
    display = OcclusionDisplay.from_estimator(
        clf, [bright, dark], [1, 0], patch_size=5, stride=5, fill=0.0
    )
    drops = display.drops[0][0]
    assert drops.shape == (30, 40)
    assert (drops[:5, :5] > 0.05).all()
    drops[:5, :5] = 0
    assert not drops.any()
    assert not display.drops[1].any()  # black is covered by black


def test_patches_cover_all_and_end_at_the_borders():
    covered = np.zeros((11, 7), int)
    for patch in list_patches(covered.shape, 3):
        assert covered[patch].shape == (3, 3)
        covered[patch] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 2, "stride": 3}, "Use a smaller stride"),
        ({"fill": "black"}, "expected 'mean' or a number"),
        ({"show": "wrong"}, "Pass y"),
        ({"patch_size": 0}, "patch_size=0"),
    ],
)
def test_errors_say_what_to_do(digits, digits_clf, options, message):
    with pytest.raises(ValueError, match=message):
        OcclusionDisplay.from_estimator(digits_clf, digits[0][:2], **options)


def test_a_regressor_and_a_linear_classifier_are_taken(rng):
    X = rng.normal(size=(30, 20))
    clf = Perceptron().fit(X, X[:, 3] > 0)
    display = OcclusionDisplay.from_estimator(
        clf, X, n_images=2, patch_size=1, classes=True, fill=0
    )
    expected = clf.coef_[0] * X[:2]  # what each step adds to the decision value
    np.testing.assert_allclose(np.array(display.drops)[:, 0], expected, atol=1e-9)
