"""The images that a classifier gets wrong."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skcnn import CNNClassifier, FixedFilterTransformer
from skcnn.inspection import ConfusionImagesDisplay

X, y = load_digits(return_X_y=True)
FLAT = {"image_shape": (8, 8)}
NETWORK = CNNClassifier(n_layers=1, n_filters=4, max_epochs=1, random_state=0, **FLAT)
FILTERED = make_pipeline(
    FixedFilterTransformer("sharpen", **FLAT), LogisticRegression()
)


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (NETWORK, {}),
        (FILTERED.set_params(logisticregression__C=1e-4), {}),
        (SVC(), FLAT),
    ],
    ids=["network", "pipeline", "svc"],
)
def test_wrong_images_by_confidence(estimator, options):
    estimator.fit(X[:100], y[:100])
    display = ConfusionImagesDisplay.from_estimator(
        estimator, X[100:400], y[100:400], n_images=5, **options
    )
    predicted = estimator.predict(X[100:400])
    wrong = [row for row in range(300) if predicted[row] != y[100 + row]]
    score = getattr(estimator, "predict_proba", None) or estimator.decision_function
    confidence = score(X[100:400]).max(axis=1)
    expected = sorted(wrong, key=lambda row: -confidence[row])[:5]
    assert display.rows.tolist() == expected
    assert display.n_wrong == len(wrong)
    np.testing.assert_array_equal(display.y_pred, predicted[expected])
    np.testing.assert_array_equal(display.y_true, y[100:400][expected])
    for row, ax in zip(expected, display.axes_.flat, strict=False):
        drawn = np.asarray(ax.images[0].get_array())
        np.testing.assert_allclose(drawn * 16, X[100 + row].reshape(8, 8))
        title = ax.get_title()
        assert title.startswith(f"predicted {predicted[row]} (")
        assert title.endswith(f"true {y[100 + row]}")


def test_two_classes_have_one_decision_value():
    X2, y2 = X[y < 2], y[y < 2]
    flipped = np.where(np.arange(len(y2)) < 5, 1 - y2, y2)
    svc = SVC().fit(X2, y2)
    display = ConfusionImagesDisplay.from_estimator(svc, X2, flipped, **FLAT)
    values = np.abs(svc.decision_function(X2[:5]))
    np.testing.assert_array_equal(display.rows, np.argsort(-values))


def test_nothing_is_wrong_and_nothing_tells_confidence():
    display = ConfusionImagesDisplay.from_predictions(y[:9], y[:9], X[:9], **FLAT)
    assert display.pictures == []
    assert display.axes_[0, 0].texts[0].get_text() == "No image is wrong."
    display = ConfusionImagesDisplay.from_predictions(y[:9], y[1:10], X[:9], **FLAT)
    np.testing.assert_array_equal(display.rows, np.flatnonzero(y[:9] != y[1:10]))


def test_lengths_differ():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ConfusionImagesDisplay.from_predictions(y[:9], y[:9], X[:8], **FLAT)
