"""Several labels for each sample, row 22 of the bad inputs."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import cross_val_score
from sklearn.utils import compute_sample_weight
from sklearn.utils.estimator_checks import (
    check_classifiers_multilabel_output_format_predict,
    check_classifiers_multilabel_output_format_predict_proba,
    check_classifiers_multilabel_representation_invariance,
)

from skcnn import CNNClassifier, FineTunedClassifier, TextCNNClassifier

RNG = np.random.default_rng(0)
N_SAMPLES, N_LABELS = 120, 3
Y = (RNG.random((N_SAMPLES, N_LABELS)) < [0.5, 0.3, 0.2]).astype(int)
IMAGES = RNG.normal(size=(N_SAMPLES, 9, 9))
for label in range(N_LABELS):  # each label brightens its third
    IMAGES[:, 3 * label : 3 * label + 3] += 2 * Y[:, label, None, None]
WORDS = np.array(["good", "long", "loud"])
TEXTS = ["a film " + " ".join(WORDS[row > 0]) for row in Y]
SMALL = {"max_epochs": 15, "batch_size": 8, "random_state": 0}
CNN = CNNClassifier(n_layers=2, n_filters=8, **SMALL)
NETWORK = clone(CNN).set_params(max_epochs=3).fit(IMAGES, Y[:, 0])
ESTIMATORS = [
    CNN,
    FineTunedClassifier(NETWORK, **{**SMALL, "lr": 0.01}),
    TextCNNClassifier(n_filters=8, lr=0.01, **SMALL),
]
ALL = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


def data(estimator):
    return TEXTS if isinstance(estimator, TextCNNClassifier) else IMAGES


def make(**parameters):
    return clone(CNN).set_params(**parameters)


@ALL
def test_labels_are_predicted_independently(estimator):
    X = data(estimator)
    clf = clone(estimator).fit(X[:80], Y[:80])
    predicted, probabilities = clf.predict(X[80:]), clf.predict_proba(X[80:])
    assert predicted.dtype.kind == "i"
    assert predicted.shape == probabilities.shape == (40, N_LABELS)
    np.testing.assert_array_equal(predicted, probabilities > 0.5)
    np.testing.assert_allclose(
        clf.predict_log_proba(X[80:]), np.log(probabilities), rtol=1e-6, atol=1e-12
    )
    np.testing.assert_array_equal(clf.classes_, [0, 1, 2])
    score = clf.score(X[80:], Y[80:])
    assert score == accuracy_score(Y[80:], predicted) > 0.8


@pytest.mark.parametrize("kind", [bool, np.uint8, float, pd.DataFrame, list, "torch"])
def test_an_indicator_matrix_has_any_form(kind):
    forms = {
        pd.DataFrame: pd.DataFrame(Y, columns=WORDS),
        list: Y.tolist(),
        "torch": torch.from_numpy(Y),
    }
    y = forms[kind] if kind in forms else Y.astype(kind)
    clf = make(max_epochs=1)
    expected = clone(clf).fit(IMAGES, Y).predict_proba(IMAGES)
    np.testing.assert_array_equal(clf.fit(IMAGES, y).predict_proba(IMAGES), expected)


def test_the_loss_is_the_mean_over_labels():
    weights = np.linspace(0.1, 2, N_SAMPLES)
    clf = make(max_epochs=2, label_smoothing=0.1)
    clf.fit(IMAGES, Y, X_val=IMAGES, y_val=Y, sample_weight_val=weights)
    probabilities = clf.predict_proba(IMAGES)
    losses = [
        log_loss(Y[:, i], probabilities[:, i], sample_weight=weights)
        for i in range(N_LABELS)
    ]
    assert clf.history_[-1]["valid_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    expected = accuracy_score(Y, clf.predict(IMAGES), sample_weight=weights)
    assert clf.validation_scores_[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    "class_weight", ["balanced", {0: 1, 1: 3}, [{0: 1, 1: 3}, {1: 2}, {0: 0.5}]]
)
def test_class_weights_are_multiplied_as_in_trees(class_weight):
    by_column = class_weight
    if isinstance(class_weight, dict):
        by_column = [class_weight] * N_LABELS
    if isinstance(class_weight, list):  # scikit-learn's must be complete
        by_column = [{0: 1, 1: 1} | pair for pair in class_weight]
    weights = compute_sample_weight(by_column, Y)
    clf = make(max_epochs=2)
    expected = clone(clf).fit(IMAGES, Y, weights).predict_proba(IMAGES)
    clf.set_params(class_weight=class_weight).fit(IMAGES, Y)
    np.testing.assert_allclose(clf.predict_proba(IMAGES), expected, rtol=1e-3)


@pytest.mark.parametrize("class_weight", [{2: 1}, [{0: 1}], {1: -1}])
def test_other_class_weights_are_refused(class_weight):
    with pytest.raises(ValueError, match="class_weight="):
        make(class_weight=class_weight).fit(IMAGES, Y)


@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": True},
        {"early_stopping": True, "scoring": "average_precision"},
        {"augmentation": "mixup"},
        {"label_smoothing": 0.1, "weight_averaging": "ema"},
        {"precision": "float64"},
    ],
    ids=str,
)
def test_options_of_training_work(options):
    clf = make(**options).fit(IMAGES[:80], Y[:80])
    assert clf.score(IMAGES[80:], Y[80:]) > 0.6


def test_cross_validation_and_partial_fit_work():
    assert cross_val_score(CNN, IMAGES, Y, cv=2, scoring="f1_macro").min() > 0.7
    clf = make()
    for _ in range(3):
        clf.partial_fit(IMAGES, Y, classes=np.arange(N_LABELS))
    assert clf.n_iter_ == 3
    assert clf.predict(IMAGES).shape == Y.shape


@pytest.mark.parametrize(
    "check",
    [
        check_classifiers_multilabel_representation_invariance,
        check_classifiers_multilabel_output_format_predict,
        check_classifiers_multilabel_output_format_predict_proba,
    ],
)
def test_the_checks_of_scikit_learn_pass(check):
    assert CNN.__sklearn_tags__().classifier_tags.multi_label
    check("CNNClassifier", make(max_epochs=2))


@ALL
@pytest.mark.parametrize("y", [Y + RNG.integers(2, size=Y.shape), 2 * Y - 1])
def test_several_outputs_of_several_classes_are_refused(estimator, y):
    with pytest.raises(ValueError, match=r"sklearn\.multioutput\.MultiOutput"):
        clone(estimator).fit(data(estimator), y)


def test_what_else_is_refused():
    with pytest.raises(TypeError, match="dense data is required"):
        make().fit(IMAGES, csr_array(Y))
    with pytest.raises(ValueError, match=r"Pass classes=numpy\.arange\(3\)"):
        make().partial_fit(IMAGES, Y, classes=[0, 1])
    clf = make(max_epochs=1, warm_start=True).fit(IMAGES, Y)
    for other in (Y[:, 0], Y[:, :2]):
        with pytest.raises(ValueError, match="indicator matrix of 3 labels"):
            clf.fit(IMAGES, other)
    with pytest.raises(ValueError, match="fitted on one column of labels"):
        make().fit(IMAGES, Y[:, 0], X_val=IMAGES, y_val=Y)
