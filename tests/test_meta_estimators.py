"""scikit-learn's tools with a CNN inside, on image arrays and on flat rows.

``python tests/test_meta_estimators.py`` prints the table.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import sklearn
from matplotlib import pyplot as plt
from sklearn import ensemble, inspection, metrics, multiclass, multioutput
from sklearn import model_selection as ms
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RANSACRegressor, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import skcnn
from skcnn import CNNClassifier, CNNRegressor

SIDE = 6
N_SAMPLES = 48
SETTINGS = {
    "n_layers": 1,
    "n_filters": 4,
    "max_epochs": 2,
    "batch_size": 8,
    "lr": 0.03,
    "random_state": 0,
}
CV = 2
GRID = {"lr": [0.01, 0.03]}
# "sigmoid", "isotonic" and, from scikit-learn 1.8, "temperature"
CALIBRATIONS = sorted(
    CalibratedClassifierCV._parameter_constraints["method"][0].options
)

TWO_AXES = "Found array with dim 4"
BY_COLUMN = "when indexing the columns"
# Tool -> (what scikit-learn says to an array of images, why).
REFUSALS = {
    "Pipeline, MinMaxScaler": (TWO_AXES, "the scaler scales columns"),
    "FeatureUnion": ("returned an array .* with 4 dimensions", "joins columns"),
    "ColumnTransformer": (BY_COLUMN, "chooses columns"),
    "SequentialFeatureSelector": (TWO_AXES, "chooses columns"),
    "BaggingClassifier": (TWO_AXES, "may draw columns"),
    "BaggingRegressor": (TWO_AXES, "may draw columns"),
    "OneVsOneClassifier": (TWO_AXES, "checks that X is a matrix"),
    "OutputCodeClassifier": (TWO_AXES, "checks that X is a matrix"),
    "ClassifierChain": (TWO_AXES, "appends labels to X as columns"),
    "RegressorChain": (TWO_AXES, "appends targets to X as columns"),
    "SelfTrainingClassifier": (TWO_AXES, "checks that X is a matrix"),
    "RANSACRegressor": (TWO_AXES, "checks that X is a matrix"),
    "permutation_importance": (TWO_AXES, "permutes columns"),
    "partial_dependence": (BY_COLUMN, "varies columns"),
}
# Tool -> how rows get through where a column more or less makes no image.
ROUTES = {
    "SequentialFeatureSelector": "rows read as signals, without image_shape",
    "ClassifierChain": "in a Pipeline that pads X to an image of one more row",
    "RegressorChain": "in a Pipeline that pads X to an image of one more row",
}


def make_images(n_classes=3):
    """Return images (n, 6, 6, 1), each with a bright spot, and its place."""
    rng = np.random.default_rng(0)
    y = np.arange(N_SAMPLES) % n_classes
    X = rng.normal(scale=0.3, size=(N_SAMPLES, SIDE, SIDE, 1))
    for image, place in zip(X, y, strict=True):
        image[2 * place : 2 * place + 2, 2:4] += 3
    return X, y


def make_estimator(cls, X, **params):
    """Return an estimator that reads rows as images."""
    shape = (SIDE, SIDE) if X.ndim == 2 else None
    return cls(**SETTINGS, image_shape=shape, **params)


def classifier(X, **params):
    return make_estimator(CNNClassifier, X, **params)


def regressor(X, **params):
    return make_estimator(CNNRegressor, X, **params)


def check_labels(model, X, y):
    """Hold predicted labels to chance: a broken route ends near it."""
    predicted = model.predict(X)
    assert predicted.shape == y.shape
    assert np.isin(predicted, y).all()
    assert (predicted == y).mean() > 1.5 / len(np.unique(y))


def check_values(model, X, y):
    predicted = model.predict(X)
    assert predicted.shape == y.shape
    assert np.square(predicted - y).mean() < np.square(y - y.mean(axis=0)).mean()


def check_probabilities(model, X, y):
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), len(np.unique(y)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def check_scores(scores, n_expected):
    assert np.size(scores) == n_expected
    assert np.isfinite(scores).all()


# -- model selection ----------------------------------------------------------


def cross_val_score(X, y):
    scores = ms.cross_val_score(classifier(X), X, y, cv=CV, error_score="raise")
    check_scores(scores, CV)
    assert scores.mean() > 0.5


def cross_validate(X, y):
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"]
    result = ms.cross_validate(
        classifier(X), X, y, cv=CV, scoring=scoring, return_estimator=True
    )
    for name in scoring:
        check_scores(result[f"test_{name}"], CV)
    check_labels(result["estimator"][0], X, y)


def cross_validate_regressor(X, y):
    scoring = {"mae": metrics.make_scorer(metrics.mean_absolute_error), "r2": "r2"}
    result = ms.cross_validate(
        regressor(X), X, y.astype(float), cv=CV, scoring=scoring, error_score="raise"
    )
    check_scores(result["test_mae"], CV)
    check_scores(result["test_r2"], CV)


def cross_val_predict(X, y):
    for method in ("predict_proba", "predict_log_proba"):
        out = ms.cross_val_predict(classifier(X), X, y, cv=CV, method=method)
        assert out.shape == (len(X), 3)
        assert (out.argmax(axis=1) == y).mean() > 0.5


def learning_curve(X, y):
    sizes, train, test = ms.learning_curve(
        classifier(X), X, y, cv=CV, train_sizes=[12, 24], error_score="raise"
    )
    assert sizes.tolist() == [12, 24]
    check_scores([train, test], 8)


def incremental_learning_curve(X, y):
    sizes, train, test = ms.learning_curve(
        classifier(X),
        X,
        y,
        cv=CV,
        train_sizes=[12, 24],
        exploit_incremental_learning=True,
        error_score="raise",
    )
    assert sizes.tolist() == [12, 24]
    check_scores([train, test], 8)


def validation_curve(X, y):
    train, test = ms.validation_curve(
        classifier(X),
        X,
        y,
        param_name="n_filters",
        param_range=[2, 4],
        cv=CV,
        error_score="raise",
    )
    check_scores([train, test], 8)


def permutation_test_score(X, y):
    score, permuted, p_value = ms.permutation_test_score(
        classifier(X), X, y, cv=CV, n_permutations=3, random_state=0
    )
    assert score > permuted.mean()
    assert 0 < p_value <= 1


def check_search(search, X, y):
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_.keys() == search.cv_results_["params"][0].keys()
    check_labels(search, X, y)


def grid_search(X, y):
    check_search(ms.GridSearchCV(classifier(X), GRID, cv=CV, error_score="raise"), X, y)


def grid_search_of_regressor(X, y):
    search = ms.GridSearchCV(regressor(X), GRID, cv=CV, error_score="raise")
    check_values(search.fit(X, y.astype(float)), X, y.astype(float))


def randomized_search(X, y):
    space = {"lr": [0.01, 0.02, 0.03], "kernel_size": [1, 3], "dropout": [0, 0.2]}
    search = ms.RandomizedSearchCV(
        classifier(X), space, n_iter=3, cv=CV, random_state=0, error_score="raise"
    )
    check_search(search, X, y)


def halving_grid_search(X, y):
    search = ms.HalvingGridSearchCV(
        classifier(X), GRID, cv=CV, factor=2, random_state=0, error_score="raise"
    )
    check_search(search, X, y)


def halving_grid_search_on_epochs(X, y):
    search = ms.HalvingGridSearchCV(
        classifier(X),
        {"lr": [0.01, 0.02, 0.03, 0.04]},
        cv=CV,
        factor=2,
        resource="max_epochs",
        min_resources=1,
        max_resources=4,
        random_state=0,
        error_score="raise",
    )
    check_search(search, X, y)
    assert search.n_resources_ == [1, 2, 4]
    assert search.best_estimator_.n_iter_ == 4


def halving_random_search(X, y):
    search = ms.HalvingRandomSearchCV(
        classifier(X),
        {"lr": [0.01, 0.02, 0.03], "n_filters": [2, 4]},
        n_candidates=3,
        cv=CV,
        random_state=0,
        error_score="raise",
    )
    check_search(search, X, y)


def nested_cross_validation(X, y):
    search = ms.GridSearchCV(classifier(X), GRID, cv=CV, error_score="raise")
    check_scores(ms.cross_val_score(search, X, y, cv=CV, error_score="raise"), CV)


# -- composition --------------------------------------------------------------


def pipeline(X, y):
    pipe = Pipeline([("same", "passthrough"), ("cnn", classifier(X))])
    search = ms.GridSearchCV(pipe, {"cnn__lr": [0.01, 0.03]}, cv=CV)
    check_search(search, X, y)


def pipeline_with_scaler(X, y):
    check_labels(make_pipeline(MinMaxScaler(), classifier(X)).fit(X, y), X, y)


def make_pipeline_with_function(X, y):
    pipe = make_pipeline(FunctionTransformer(np.negative), classifier(X)).fit(X, y)
    check_labels(pipe, X, y)
    check_probabilities(pipe, X, y)


def feature_union(X, y):
    """Two images, one above the other."""
    union = FeatureUnion([(name, FunctionTransformer()) for name in "ab"])
    cnn = classifier(X)
    if X.ndim == 2:
        cnn.set_params(image_shape=(2 * SIDE, SIDE))
    pipe = make_pipeline(union, cnn).fit(X, y)
    assert pipe[-1].image_shape_[:2] == (2 * SIDE, SIDE)
    check_labels(pipe, X, y)


def column_transformer(X, y):
    """The upper half of the image, its columns chosen by their number."""
    half = slice(0, SIDE * SIDE // 2)
    columns = ColumnTransformer([("upper", "passthrough", half)])
    cnn = classifier(X).set_params(image_shape=(SIDE // 2, SIDE))
    check_labels(make_pipeline(columns, cnn).fit(X, y), X, y)


def transformed_target(X, y):
    model = TransformedTargetRegressor(
        regressor(X), func=np.log1p, inverse_func=np.expm1
    )
    check_values(model.fit(X, y), X, y)


def sequential_feature_selector(X, y):
    """Rows read as signals: a selection of pixels is no image."""
    X = X[:, 13:16]
    cnn = classifier(X).set_params(image_shape=None)
    selector = SequentialFeatureSelector(cnn, n_features_to_select=2, cv=CV)
    assert selector.fit(X, y).transform(X).shape == (len(X), 2)


# -- ensembles ----------------------------------------------------------------


def bagging_classifier(X, y):
    model = ensemble.BaggingClassifier(classifier(X), 2, random_state=0).fit(X, y)
    check_labels(model, X, y)
    check_probabilities(model, X, y)


def bagging_regressor(X, y):
    model = ensemble.BaggingRegressor(regressor(X), 2, random_state=0)
    check_values(model.fit(X, y), X, y)


def two_of(make, X):
    return [("a", make(X)), ("b", make(X).set_params(random_state=1))]


def voting_soft(X, y):
    model = ensemble.VotingClassifier(two_of(classifier, X), voting="soft").fit(X, y)
    check_labels(model, X, y)
    check_probabilities(model, X, y)


def voting_hard(X, y):
    labels = np.array(["one", "three", "two"])[y]
    model = ensemble.VotingClassifier(two_of(classifier, X)).fit(X, labels)
    check_labels(model, X, labels)


def voting_regressor(X, y):
    check_values(ensemble.VotingRegressor(two_of(regressor, X)).fit(X, y), X, y)


def stacking_classifier(X, y):
    model = ensemble.StackingClassifier(
        two_of(classifier, X), LogisticRegression(), cv=CV
    )
    check_labels(model.fit(X, y), X, y)
    check_probabilities(model, X, y)


def stacking_regressor(X, y):
    model = ensemble.StackingRegressor(two_of(regressor, X), Ridge(), cv=CV)
    check_values(model.fit(X, y), X, y)


def ada_boost_classifier(X, y):
    model = ensemble.AdaBoostClassifier(classifier(X), n_estimators=2, random_state=0)
    check_labels(model.fit(X, y), X, y)
    check_probabilities(model, X, y)


def ada_boost_regressor(X, y):
    model = ensemble.AdaBoostRegressor(regressor(X), n_estimators=2, random_state=0)
    check_values(model.fit(X, y), X, y)


# -- many classes, many outputs -----------------------------------------------


def one_vs_rest(X, y):
    model = multiclass.OneVsRestClassifier(classifier(X)).fit(X, y)
    check_labels(model, X, y)
    check_probabilities(model, X, y)


def one_vs_rest_multilabel(X, y):
    labels = np.stack([y == 0, y > 0], axis=1).astype(int)
    model = multiclass.OneVsRestClassifier(classifier(X)).fit(X, labels)
    assert model.predict(X).shape == labels.shape
    assert (model.predict(X) == labels).mean() > 0.6


def one_vs_one(X, y):
    check_labels(multiclass.OneVsOneClassifier(classifier(X)).fit(X, y), X, y)


def output_code(X, y):
    model = multiclass.OutputCodeClassifier(classifier(X), random_state=0)
    check_labels(model.fit(X, y), X, y)


def append_row(X):
    """Return flat images with one more row, which starts with what was appended."""
    return np.pad(X, ((0, 0), (0, (SIDE + 1) * SIDE - X.shape[1])))


def chain_link(make, X):
    """A CNN that finds what a chain appends to X in a row below the image."""
    cnn = make(X).set_params(image_shape=(SIDE + 1, SIDE))
    return make_pipeline(FunctionTransformer(append_row), cnn)


def classifier_chain(X, y):
    labels = np.stack([y == 0, y > 0], axis=1).astype(int)
    model = multioutput.ClassifierChain(chain_link(classifier, X)).fit(X, labels)
    assert (model.predict(X) == labels).mean() > 0.6
    assert model.predict_proba(X).shape == labels.shape


def regressor_chain(X, y):
    values = np.stack([y, -2.0 * y], axis=1)
    model = multioutput.RegressorChain(chain_link(regressor, X))
    check_values(model.fit(X, values), X, values)


def multi_output_classifier(X, y):
    labels = np.stack([y, y > 0], axis=1)
    model = multioutput.MultiOutputClassifier(classifier(X)).fit(X, labels)
    assert (model.predict(X) == labels).mean() > 0.5
    assert [p.shape[1] for p in model.predict_proba(X)] == [3, 2]
    model.partial_fit(X, labels)


def multi_output_regressor(X, y):
    values = np.stack([y, -2.0 * y], axis=1)
    model = multioutput.MultiOutputRegressor(regressor(X))
    check_values(model.fit(X, values), X, values)


def self_training(X, y):
    partly = np.where(np.arange(len(y)) % 4 == 3, -1, y)
    model = SelfTrainingClassifier(classifier(X), threshold=0.4, max_iter=2)
    check_labels(model.fit(X, partly), X, y)
    assert (model.labeled_iter_ > 0).any()


# -- probabilities and thresholds ---------------------------------------------


def calibrated(method):
    def run(X, y):
        model = CalibratedClassifierCV(classifier(X), method=method, cv=CV).fit(X, y)
        check_labels(model, X, y)
        check_probabilities(model, X, y)

    return run


def calibrated_frozen(X, y):
    fitted = classifier(X).fit(X, y)
    model = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X, y)
    assert model.calibrated_classifiers_[0].estimator.estimator is fitted
    check_labels(model, X, y)


def tuned_threshold(X, y):
    model = ms.TunedThresholdClassifierCV(classifier(X), cv=CV, thresholds=5)
    check_labels(model.fit(X, y == 0), X, y == 0)
    assert 0 <= model.best_threshold_ <= 1


def fixed_threshold(X, y):
    model = ms.FixedThresholdClassifier(classifier(X), threshold=0.0)
    assert model.fit(X, y == 0).predict(X).all()


# -- inspection ---------------------------------------------------------------


def permutation_importance(X, y):
    fitted = classifier(X).fit(X, y)
    result = inspection.permutation_importance(
        fitted, X, y, n_repeats=1, random_state=0
    )
    assert result.importances.shape == (SIDE * SIDE, 1)


def partial_dependence(X, y):
    fitted = classifier(X).fit(X, y)
    result = inspection.partial_dependence(fitted, X, features=[3], grid_resolution=3)
    assert result["average"].shape == (3, 3)
    assert np.ptp(result["average"]) > 0


def confusion_matrix_display(X, y):
    fitted = classifier(X).fit(X, y)
    display = metrics.ConfusionMatrixDisplay.from_estimator(fitted, X, y)
    assert display.confusion_matrix.sum() == len(X)


def binary_displays(X, y):
    fitted = classifier(X).fit(X, y == 0)
    roc = metrics.RocCurveDisplay.from_estimator(fitted, X, y == 0)
    assert roc.roc_auc > 0.5
    metrics.DetCurveDisplay.from_estimator(fitted, X, y == 0)
    metrics.PrecisionRecallDisplay.from_estimator(fitted, X, y == 0)
    CalibrationDisplay.from_estimator(fitted, X, y == 0, n_bins=2)


def prediction_error_display(X, y):
    fitted = regressor(X).fit(X, y)
    display = metrics.PredictionErrorDisplay.from_estimator(fitted, X, y)
    assert display.y_pred.shape == y.shape


def curve_displays(X, y):
    ms.LearningCurveDisplay.from_estimator(
        classifier(X), X, y, cv=CV, train_sizes=[12, 24]
    )
    display = ms.ValidationCurveDisplay.from_estimator(
        classifier(X), X, y, cv=CV, param_name="n_filters", param_range=[2, 4]
    )
    check_scores(display.test_scores, 4)


# -- sample weights and targets -----------------------------------------------


def weights_routed(X, y):
    """The estimator that the tool fits is the one fitted by hand."""
    weights = np.where(y == 0, 5.0, 1.0)
    train, test = np.arange(0, len(X), 2), np.arange(1, len(X), 2)
    by_hand = classifier(X).fit(X[train], y[train], sample_weight=weights[train])
    with sklearn.config_context(enable_metadata_routing=True):
        result = ms.cross_validate(
            classifier(X)
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True),
            X,
            y,
            cv=[(train, test)],
            params={"sample_weight": weights},
            return_estimator=True,
            error_score="raise",
        )
    probabilities = result["estimator"][0].predict_proba(X)
    np.testing.assert_allclose(probabilities, by_hand.predict_proba(X), rtol=1e-4)
    expected = by_hand.score(X[test], y[test], sample_weight=weights[test])
    assert result["test_score"][0] == pytest.approx(expected)


def weights_routed_through_pipeline(X, y):
    weights = np.where(y == 0, 5.0, 1.0)
    by_hand = classifier(X).fit(X, y, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        cnn = (
            classifier(X)
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True)
        )
        pipe = make_pipeline(FunctionTransformer(), cnn)
        search = ms.GridSearchCV(pipe, {"cnnclassifier__lr": [0.03]}, cv=CV)
        search.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(
        search.predict_proba(X), by_hand.predict_proba(X), rtol=1e-4
    )


def ransac(X, y):
    model = RANSACRegressor(regressor(X), min_samples=24, max_trials=2, random_state=0)
    check_values(model.fit(X, y), X, y)


TOOLS = {
    "cross_val_score": cross_val_score,
    "cross_validate, 4 scorers": cross_validate,
    "cross_validate, regressor": cross_validate_regressor,
    "cross_val_predict": cross_val_predict,
    "learning_curve": learning_curve,
    "learning_curve, incremental": incremental_learning_curve,
    "validation_curve": validation_curve,
    "permutation_test_score": permutation_test_score,
    "GridSearchCV": grid_search,
    "GridSearchCV, regressor": grid_search_of_regressor,
    "RandomizedSearchCV": randomized_search,
    "HalvingGridSearchCV": halving_grid_search,
    "HalvingGridSearchCV, max_epochs": halving_grid_search_on_epochs,
    "HalvingRandomSearchCV": halving_random_search,
    "GridSearchCV in cross_val_score": nested_cross_validation,
    "Pipeline": pipeline,
    "Pipeline, MinMaxScaler": pipeline_with_scaler,
    "make_pipeline, FunctionTransformer": make_pipeline_with_function,
    "FeatureUnion": feature_union,
    "ColumnTransformer": column_transformer,
    "TransformedTargetRegressor": transformed_target,
    "SequentialFeatureSelector": sequential_feature_selector,
    "BaggingClassifier": bagging_classifier,
    "BaggingRegressor": bagging_regressor,
    "VotingClassifier, soft": voting_soft,
    "VotingClassifier, hard": voting_hard,
    "VotingRegressor": voting_regressor,
    "StackingClassifier": stacking_classifier,
    "StackingRegressor": stacking_regressor,
    "AdaBoostClassifier": ada_boost_classifier,
    "AdaBoostRegressor": ada_boost_regressor,
    "OneVsRestClassifier": one_vs_rest,
    "OneVsRestClassifier, multilabel": one_vs_rest_multilabel,
    "OneVsOneClassifier": one_vs_one,
    "OutputCodeClassifier": output_code,
    "ClassifierChain": classifier_chain,
    "RegressorChain": regressor_chain,
    "MultiOutputClassifier": multi_output_classifier,
    "MultiOutputRegressor": multi_output_regressor,
    "SelfTrainingClassifier": self_training,
    **{
        f"CalibratedClassifierCV, {method}": calibrated(method)
        for method in CALIBRATIONS
    },
    "CalibratedClassifierCV, frozen": calibrated_frozen,
    "TunedThresholdClassifierCV": tuned_threshold,
    "FixedThresholdClassifier": fixed_threshold,
    "RANSACRegressor": ransac,
    "permutation_importance": permutation_importance,
    "partial_dependence": partial_dependence,
    "ConfusionMatrixDisplay": confusion_matrix_display,
    "Roc-, Det-, PrecisionRecall-, CalibrationDisplay": binary_displays,
    "PredictionErrorDisplay": prediction_error_display,
    "LearningCurve-, ValidationCurveDisplay": curve_displays,
    "metadata routing, cross_validate": weights_routed,
    "metadata routing, GridSearchCV of Pipeline": weights_routed_through_pipeline,
}


def run_on_images(tool):
    TOOLS[tool](*make_images())


def run_on_rows(tool):
    X, y = make_images()
    TOOLS[tool](X.reshape(len(X), -1), y)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool not in REFUSALS])
def test_tool_takes_image_arrays(tool):
    run_on_images(tool)


@pytest.mark.parametrize("tool", REFUSALS)
def test_refusal_of_image_arrays_is_scikit_learns_own(tool):
    message, _ = REFUSALS[tool]
    with pytest.raises(ValueError, match=message) as caught:
        run_on_images(tool)
    package = Path(skcnn.__file__).parent
    assert all(package not in Path(entry.path).parents for entry in caught.traceback)


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param(tool, marks=() if tool in REFUSALS else pytest.mark.slow)
        for tool in TOOLS
    ],
)
def test_tool_takes_rows_with_an_image_shape(tool):
    run_on_rows(tool)


def test_rfe_asks_for_importances():
    X, y = make_images()
    X = X.reshape(len(X), -1)
    with pytest.raises(
        ValueError, match=re.escape("`coef_` or `feature_importances_`")
    ):
        RFE(classifier(X)).fit(X, y)


def outcome(run, tool, refusals):
    """Return what a line of the table says, and whether it is what it should be."""
    message, reason = refusals.get(tool, (None, None))
    try:
        run(tool)
    except Exception as error:
        if message and re.search(message, str(error)):
            return f"refused: {reason}", True
        return f"FAILED: {type(error).__name__}: {error}".splitlines()[0], False
    finally:
        plt.close("all")
    return "passed", message is None


def print_table():
    on_images, on_rows = [], []
    print(f"{'tool':50} {'4-D':44} flat with image_shape")
    for tool in TOOLS:
        images, right = outcome(run_on_images, tool, REFUSALS)
        rows, passed = outcome(run_on_rows, tool, {})
        on_images.append((images == "passed", right))
        on_rows.append(passed)
        note = f" ({ROUTES[tool]})" if tool in ROUTES else ""
        print(f"{tool:50} {images:44} {rows}{note}")
    taken = sum(passed for passed, _ in on_images)
    refused = sum(right for passed, right in on_images if not passed)
    print(f"4-D: {taken} / {len(TOOLS)}, and {refused} refused by scikit-learn")
    print(
        f"flat: {sum(on_rows)} / {len(TOOLS)}, {len(ROUTES)} of them by the route named"
    )


if __name__ == "__main__":
    print_table()
