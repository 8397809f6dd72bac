"""Validation scores by a scorer, at one positive in twenty."""

import numpy as np
import pytest
from sklearn.metrics import get_scorer, make_scorer, max_error

from skcnn import CNNClassifier, CNNRegressor, FineTunedClassifier, TextCNNClassifier

SMALL = {"max_epochs": 4, "batch_size": 16, "random_state": 0}
NET = {"n_layers": 1, "n_filters": 4, **SMALL}


def make_rare(n_samples=200, seed=0):
    """Return images of which one in twenty is bright on its left half."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_samples) % 20 == 0
    X = rng.normal(size=(n_samples, 8, 8))
    X[y, :, :4] += 0.7
    return X, np.where(y, "rare", "usual")


def fit(scoring, cls=CNNClassifier, seed=0, **weights):
    (X, y), (X_val, y_val) = make_rare(seed=seed), make_rare(100, seed=seed + 1)
    if cls is CNNRegressor:
        y, y_val = (y == "rare") * 3.0 + 2, (y_val == "rare") * 3.0 + 2
    estimator = cls(scoring=scoring, **NET)
    estimator.fit(X, y, X_val=X_val, y_val=y_val, **weights)
    return estimator, X_val, y_val


@pytest.mark.parametrize("scoring", ["balanced_accuracy", "roc_auc", "neg_log_loss"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_scorer_scores_as_it_scores_the_fitted_classifier(scoring, weighted):
    weights = {"sample_weight_val": np.linspace(0.1, 2, 100)} if weighted else {}
    clf, X_val, y_val = fit(scoring, **weights)
    options = {"sample_weight": weights["sample_weight_val"]} if weighted else {}
    expected = get_scorer(scoring)(clf, X_val, y_val, **options)
    assert clf.validation_scores_[-1] == pytest.approx(expected, rel=1e-5)


def test_early_stopping_watches_the_average_precision():
    X, y = make_rare(400)
    clf = CNNClassifier(
        scoring="average_precision", early_stopping=True, validation_fraction=0.3, **NET
    ).fit(X, (y == "rare").astype(int))
    chance = 0.05
    assert clf.best_validation_score_ == max(clf.validation_scores_) > 2 * chance
    assert min(clf.validation_scores_) < 0.95  # not the accuracy


@pytest.mark.parametrize(
    "scoring", ["neg_mean_absolute_error", "r2", make_scorer(max_error)]
)
def test_a_scorer_sees_the_units_of_y(scoring):
    weights = np.linspace(0.1, 2, 100)  # which max_error does not take
    model, X_val, y_val = fit(scoring, CNNRegressor, sample_weight_val=weights)
    scorer = get_scorer(scoring)
    is_weighted = isinstance(scoring, str)
    options = {"sample_weight": weights} if is_weighted else {}
    expected = scorer(model, X_val, y_val, **options)
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
def test_the_loss_may_be_the_score(cls):
    model, *_ = fit("loss", cls)
    losses = [row["valid_loss"] for row in model.history_]
    assert model.validation_scores_ == [-loss for loss in losses]


def test_the_epoch_of_the_best_score_is_restored():
    scores = iter([0.1, 0.9, 0.3, 0.2])
    (X, y), (X_val, y_val) = make_rare(), make_rare(100, seed=1)
    given = {"X_val": X_val, "y_val": y_val}
    options = {**NET, "lr_schedule": None, "early_stopping": True}
    clf = CNNClassifier(scoring=lambda *args: next(scores), **options)
    clf.fit(X, y, **given)
    assert clf.validation_scores_ == [0.1, 0.9, 0.3, 0.2]
    expected = CNNClassifier(**{**options, "max_epochs": 2, "scoring": "loss"})
    expected.set_params(early_stopping=False).fit(X, y, **given)
    np.testing.assert_array_equal(
        clf.predict_proba(X_val), expected.predict_proba(X_val)
    )


def test_pretrained_networks_and_texts_are_scored_alike():
    X, y = make_rare(100)
    network = CNNClassifier(**NET).fit(X, y)
    tuned = FineTunedClassifier(network, scoring="balanced_accuracy", **SMALL)
    tuned.fit(X, y, X_val=X, y_val=y)
    texts = ["a bad film" if label == "rare" else "a good film" for label in y]
    text = TextCNNClassifier(scoring="balanced_accuracy", n_filters=4, **SMALL)
    text.fit(texts, y, X_val=texts, y_val=y)
    for clf, data in ((tuned, X), (text, texts)):
        expected = get_scorer("balanced_accuracy")(clf, data, y)
        assert clf.validation_scores_[-1] == pytest.approx(expected)


def test_an_unknown_name_gets_the_error_of_scikit_learn():
    with pytest.raises(ValueError, match="'good' is not a valid scoring value"):
        fit("good")


def test_an_error_of_a_metric_is_raised_on():
    def broken(estimator, X, y):
        raise ZeroDivisionError("no negatives")

    with pytest.raises(ZeroDivisionError, match="no negatives"):
        fit(broken)


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match="is nan for the validation data"):
        fit(lambda estimator, X, y: np.nan)
