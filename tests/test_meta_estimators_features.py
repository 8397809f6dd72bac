"""scikit-learn's tools around features of a CNN, on image arrays and on flat rows."""

import tempfile

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import ensemble, inspection
from sklearn import model_selection as ms
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer

SIDE = 6
N_SAMPLES = 36
CV = 2
NETWORK = {"n_layers": 1, "n_filters": 4, "max_epochs": 3, "batch_size": 8}
STEP = "cnnfeaturetransformer__"


def make_images():
    """Return images (n, 6, 6), each with a bright spot, and its place."""
    rng = np.random.default_rng(0)
    y = np.arange(N_SAMPLES) % 3
    X = rng.normal(scale=0.3, size=(N_SAMPLES, SIDE, SIDE))
    for image, place in zip(X, y, strict=True):
        image[2 * place : 2 * place + 2, 2:4] += 3
    return X, y


def features(X, backbone="convnet", **parameters):
    """Return a transformer that reads rows as images."""
    shape = (SIDE, SIDE) if X.ndim == 2 else None
    settings = {"image_shape": shape, "random_state": 0}
    if isinstance(backbone, str):
        settings["weights"] = None
    else:
        backbone.set_params(image_shape=shape)
    return CNNFeatureTransformer(backbone, **settings | parameters)


def trained(X, **parameters):
    """Return a transformer that trains its network."""
    return features(X, CNNClassifier(**NETWORK), **parameters)


def classifier(X, make=features):
    return make_pipeline(make(X), StandardScaler(), LogisticRegression())


def check_labels(model, X, y):
    predicted = model.predict(X)
    assert predicted.shape == y.shape
    assert (predicted == y).mean() > 0.7


def cross_val_score(X, y):
    for make in (features, trained):
        scores = ms.cross_val_score(
            classifier(X, make), X, y, cv=CV, error_score="raise"
        )
        assert scores.mean() > 0.6


def cross_val_score_in_processes(X, y):
    one, two = (
        ms.cross_val_score(classifier(X), X, y, cv=CV, n_jobs=n) for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def cross_validate(X, y):
    result = ms.cross_validate(
        classifier(X),
        X,
        y,
        cv=CV,
        scoring=["accuracy", "neg_log_loss", "roc_auc_ovr"],
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    assert result["test_accuracy"].mean() > 0.6
    check_labels(result["estimator"][0], X, y)


def cross_val_predict(X, y):
    out = ms.cross_val_predict(classifier(X), X, y, cv=CV, method="predict_proba")
    assert (out.argmax(axis=1) == y).mean() > 0.6


def check_search(search, X, y):
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    check_labels(search, X, y)


def grid_search(X, y):
    grid = {
        f"{STEP}layer": ["block1", ["block2", "penultimate"]],
        f"{STEP}pooling": ["avg", None],
        "logisticregression__C": [0.1, 1],
    }
    check_search(ms.GridSearchCV(classifier(X), grid, cv=CV, error_score="raise"), X, y)


def grid_search_of_backbones(X, y):
    grid = {f"{STEP}backbone": ["convnet", "resnet20"], f"{STEP}random_state": [0, 1]}
    search = ms.GridSearchCV(classifier(X), grid, cv=CV, error_score="raise")
    check_search(search, X, y)


def grid_search_of_the_network(X, y):
    grid = {f"{STEP}backbone__n_filters": [2, 4], f"{STEP}backbone__lr": [0.03]}
    search = ms.GridSearchCV(classifier(X, trained), grid, cv=CV, error_score="raise")
    check_search(search, X, y)


def randomized_search(X, y):
    space = {f"{STEP}pooling": ["avg", "max", "gem"], f"{STEP}batch_size": [3, "auto"]}
    search = ms.RandomizedSearchCV(
        classifier(X), space, n_iter=3, cv=CV, random_state=0, error_score="raise"
    )
    check_search(search, X, y)


def halving_grid_search(X, y):
    search = ms.HalvingGridSearchCV(
        classifier(X),
        {"logisticregression__C": [0.1, 1], f"{STEP}pooling": ["avg", "max"]},
        cv=CV,
        factor=2,
        random_state=0,
        error_score="raise",
    )
    check_search(search, X, y)


def nested_cross_validation(X, y):
    grid = {"logisticregression__C": [0.1, 1]}
    search = ms.GridSearchCV(classifier(X), grid, cv=CV, error_score="raise")
    scores = ms.cross_val_score(search, X, y, cv=CV, error_score="raise")
    assert scores.mean() > 0.6


def learning_curve(X, y):
    _, train, test = ms.learning_curve(
        classifier(X), X, y, cv=CV, train_sizes=[9, 18], error_score="raise"
    )
    assert train.shape == test.shape == (2, CV)


def pipeline_with_memory(X, y):
    with tempfile.TemporaryDirectory() as folder:
        steps = [("cnn", features(X)), ("head", LogisticRegression())]
        for _ in range(2):
            check_labels(Pipeline(steps, memory=folder).fit(X, y), X, y)


def pipeline_as_slice(X, y):
    pipe = classifier(X).fit(X, y)
    expected = features(X).fit_transform(X, y)
    np.testing.assert_array_equal(pipe[:1].transform(X), expected)
    names = pipe[:-1].get_feature_names_out()
    assert names[0] == "convnet_penultimate_0"
    assert len(names) == expected.shape[1]


def after_a_step(X, y):
    pipe = make_pipeline(FunctionTransformer(np.negative), *classifier(X))
    check_labels(pipe.fit(X, y), X, y)


def feature_union(X, y):
    union = FeatureUnion(
        [
            ("random", features(X)),
            ("trained", trained(X)),
            ("deep", features(X, "resnet20")),
        ]
    )
    found = union.fit_transform(X, y)
    names = union.get_feature_names_out()
    assert found.shape == (N_SAMPLES, len(names))
    assert names[0] == "random__convnet_penultimate_0"
    union.set_output(transform="pandas")
    assert list(union.fit_transform(X, y).columns) == list(names)


def column_transformer(X, y):
    """The upper half of the image, its columns chosen by their number."""
    half = slice(0, SIDE * SIDE // 2)
    transformer = features(X).set_params(image_shape=(SIDE // 2, SIDE))
    joined = ColumnTransformer([("upper", transformer, half)], remainder="passthrough")
    pipe = make_pipeline(joined, StandardScaler(), LogisticRegression())
    check_labels(pipe.fit(X, y), X, y)


def column_transformer_of_names(X, y):
    frame = pd.DataFrame(X, columns=[f"p{i}" for i in range(X.shape[1])]).assign(z=y)
    joined = ColumnTransformer(
        [("cnn", features(X), list(frame.columns[:-1])), ("z", "passthrough", ["z"])]
    ).set_output(transform="pandas")
    found = joined.fit_transform(frame, y)
    assert found.columns[0] == "cnn__convnet_penultimate_0"
    assert found.columns[-1] == "z__z"


def global_output(X, y):
    with sklearn.config_context(transform_output="pandas"):
        pipe = classifier(X).fit(X, y)
        assert isinstance(pipe[:-1].transform(X), pd.DataFrame)
        assert pipe[-1].feature_names_in_[0] == "convnet_penultimate_0"
        check_labels(pipe, X, y)


def frozen(X, y):
    fitted = trained(X).fit(X, y)
    pipe = make_pipeline(FrozenEstimator(fitted), LogisticRegression())
    ms.cross_val_score(pipe, X, y, cv=CV, error_score="raise")
    np.testing.assert_array_equal(pipe.fit(X, y)[:-1].transform(X), fitted.transform(X))


def metadata_routing(X, y):
    weights = np.where(y == 0, 5.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        head = LogisticRegression().set_fit_request(sample_weight=True)
        pipe = make_pipeline(features(X), head).fit(X, y, sample_weight=weights)
    by_hand = LogisticRegression().fit(
        features(X).fit_transform(X), y, sample_weight=weights
    )
    np.testing.assert_allclose(pipe[-1].coef_, by_hand.coef_, rtol=1e-6)


def voting(X, y):
    model = ensemble.VotingClassifier(
        [("a", classifier(X)), ("b", classifier(X, trained))], voting="soft"
    )
    check_labels(model.fit(X, y), X, y)


def stacking(X, y):
    model = ensemble.StackingClassifier(
        [("a", classifier(X)), ("b", classifier(X, trained))],
        LogisticRegression(),
        cv=CV,
    )
    check_labels(model.fit(X, y), X, y)


def bagging(X, y):
    model = ensemble.BaggingClassifier(classifier(X), 2, random_state=0)
    check_labels(model.fit(X, y), X, y)


def calibrated(X, y):
    check_labels(CalibratedClassifierCV(classifier(X), cv=CV).fit(X, y), X, y)


def one_vs_rest(X, y):
    check_labels(OneVsRestClassifier(classifier(X, trained)).fit(X, y), X, y)


def multi_output(X, y):
    labels = np.stack([y, y > 0], axis=1)
    model = MultiOutputClassifier(classifier(X)).fit(X, labels)
    assert (model.predict(X) == labels).mean() > 0.7


def self_training(X, y):
    partly = np.where(np.arange(len(y)) % 4 == 3, -1, y)
    check_labels(SelfTrainingClassifier(classifier(X)).fit(X, partly), X, y)


def transformed_target(X, y):
    model = TransformedTargetRegressor(
        make_pipeline(features(X), Ridge()), func=np.log1p, inverse_func=np.expm1
    )
    assert model.fit(X, y).score(X, y) > 0.5


def permutation_importance(X, y):
    fitted = classifier(X).fit(X, y)
    result = inspection.permutation_importance(fitted, X, y, n_repeats=1)
    assert result.importances.shape == (SIDE * SIDE, 1)


def tuned_threshold(X, y):
    model = ms.TunedThresholdClassifierCV(classifier(X), cv=CV, thresholds=5)
    check_labels(model.fit(X, y == 0), X, y == 0)


def followers(X, y):
    """What may follow the transformer in a pipeline."""
    for step in (SVC(), RandomForestClassifier(10), KNeighborsClassifier(3)):
        check_labels(make_pipeline(features(X), step).fit(X, y), X, y)
    for step in (PCA(2), VarianceThreshold(), RFE(LogisticRegression(), step=0.5)):
        pipe = make_pipeline(features(X), step, LogisticRegression(C=10))
        assert np.isfinite(pipe.fit(X, y).predict_proba(X)).all()
    pipe = make_pipeline(features(X), KMeans(3, n_init=2, random_state=0))
    assert len(np.unique(pipe.fit_predict(X))) == 3
    found = features(X).fit_transform(X)
    _, neighbours = NearestNeighbors(n_neighbors=2).fit(found).kneighbors(found)
    assert (y[neighbours[:, 1]] == y).mean() > 0.6


TOOLS = {
    "cross_val_score": cross_val_score,
    "cross_val_score, n_jobs=2": cross_val_score_in_processes,
    "cross_validate, 3 scorers": cross_validate,
    "cross_val_predict": cross_val_predict,
    "GridSearchCV": grid_search,
    "GridSearchCV, backbones": grid_search_of_backbones,
    "GridSearchCV, network": grid_search_of_the_network,
    "RandomizedSearchCV": randomized_search,
    "HalvingGridSearchCV": halving_grid_search,
    "GridSearchCV in cross_val_score": nested_cross_validation,
    "learning_curve": learning_curve,
    "Pipeline, memory": pipeline_with_memory,
    "Pipeline, slice": pipeline_as_slice,
    "Pipeline, FunctionTransformer": after_a_step,
    "Pipeline, followers": followers,
    "FeatureUnion": feature_union,
    "ColumnTransformer": column_transformer,
    "ColumnTransformer, names": column_transformer_of_names,
    "set_config": global_output,
    "FrozenEstimator": frozen,
    "metadata routing": metadata_routing,
    "VotingClassifier": voting,
    "StackingClassifier": stacking,
    "BaggingClassifier": bagging,
    "CalibratedClassifierCV": calibrated,
    "OneVsRestClassifier": one_vs_rest,
    "MultiOutputClassifier": multi_output,
    "SelfTrainingClassifier": self_training,
    "TransformedTargetRegressor": transformed_target,
    "TunedThresholdClassifierCV": tuned_threshold,
    "permutation_importance": permutation_importance,
}
# Tools that choose, vary or check columns, which images in an array do not have.
OF_COLUMNS = {
    "ColumnTransformer",
    "ColumnTransformer, names",
    "BaggingClassifier",
    "SelfTrainingClassifier",
    "permutation_importance",
}
STARTS_PROCESSES = {"cross_val_score, n_jobs=2"}


def with_marks(tools, slow):
    return [
        pytest.param(tool, marks=pytest.mark.slow if tool in slow else ())
        for tool in tools
    ]


@pytest.mark.parametrize(
    "tool", with_marks([t for t in TOOLS if t not in OF_COLUMNS], STARTS_PROCESSES)
)
def test_tool_takes_image_arrays(tool):
    TOOLS[tool](*make_images())


@pytest.mark.parametrize("tool", with_marks(TOOLS, TOOLS.keys() - OF_COLUMNS))
def test_tool_takes_rows_with_an_image_shape(tool):
    X, y = make_images()
    TOOLS[tool](X.reshape(len(X), -1), y)
