import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skcnn import CNNFeatureTransformer
from skcnn.localization import ActivationLocalizer
from skcnn.localization._activation_localizer import find_region


@pytest.fixture(scope="module")
def localizer(scenes):
    X, y, _, _ = scenes
    features = CNNFeatureTransformer(image_size=96)
    classifier = make_pipeline(features, LogisticRegression(C=0.1, max_iter=1000))
    return ActivationLocalizer(classifier.fit(X, [len(boxes) > 0 for boxes in y]))


def test_the_largest_region_is_found():
    activation = np.zeros((20, 30))
    activation[2:5, 3:9] = 1
    activation[10:18, 20:21] = 2
    assert find_region(activation, 0.4).tolist() == [3, 2, 9, 5]
    assert find_region(activation, 0.9).tolist() == [20, 10, 21, 18]
    assert find_region(np.ones((4, 6)), 0.5).tolist() == [0, 0, 6, 4]


@pytest.mark.slow
def test_a_threshold_is_searched_with_few_boxes(localizer, scenes):
    X, y, _, _ = scenes
    one = [i for i, boxes in enumerate(y) if len(boxes) == 1]
    search = GridSearchCV(localizer, {"threshold": [0.2, 0.5]}, cv=2)
    search.fit(X[one], [y[i] for i in one])
    assert search.best_estimator_.estimator is localizer.estimator
    assert 0 <= search.score(X[one], [y[i] for i in one]) <= 1
    boxes = search.predict(X)
    assert boxes.shape == (len(X), 4)
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert boxes.max() <= X.shape[1]


@pytest.mark.slow
def test_files_are_localized_like_arrays(localizer, scenes):
    X = scenes[2][:3]
    files = [Image.fromarray(image) for image in X]
    np.testing.assert_allclose(localizer.predict(files), localizer.predict(X), atol=2)


def test_the_classifier_has_to_be_fitted():
    localizer = ActivationLocalizer(clone(make_pipeline(LogisticRegression())))
    with pytest.raises(NotFittedError):
        localizer.fit(None)
