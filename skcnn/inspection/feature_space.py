"""Features of images, computed by transformers, networks or pipelines."""

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._base import BaseCNN
from .._feature_transformer import CNNFeatureTransformer


def compute_features(estimator, X):
    """Compute the features of images.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted transformer, estimator of this package, pipeline or search.

    X : array-like or sequence of image files
        Images.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Output of a transformer, or input of the last layer of a network or of the last
        step of a pipeline.

    Raises
    ------
    TypeError
        If the estimator computes no features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from skcnn.inspection.feature_space import compute_features
    >>> X, y = load_digits(return_X_y=True)
    >>> compute_features(make_pipeline(PCA(5), SVC()).fit(X, y), X).shape
    (1797, 5)
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    if isinstance(estimator, Pipeline) and len(estimator) and not _ends_in(estimator):
        return _as_rows(estimator[:-1].transform(X))
    if isinstance(estimator, Pipeline) and not hasattr(estimator, "transform"):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return compute_features(estimator[-1], X)
    if hasattr(estimator, "transform"):
        return _as_rows(estimator.transform(X))
    if isinstance(estimator, BaseCNN):
        return CNNFeatureTransformer(estimator).fit(X).transform(X)
    raise TypeError(
        f"{type(estimator).__name__} computes no features, expected a transformer, an "
        "estimator of skcnn, or a Pipeline with one. Compute features yourself and "
        "call from_features."
    )


def _ends_in(pipeline):
    """Return whether a pipeline ends in a transformer or a network."""
    last = getattr(pipeline[-1], "best_estimator_", pipeline[-1])
    return hasattr(last, "transform") or isinstance(last, (BaseCNN, Pipeline))


def _as_rows(features):
    """Return features as an array of rows, in double precision."""
    features = np.asarray(features, dtype=np.float64)
    return features.reshape(len(features), -1)


def check_features(features, n_samples):
    """Return features as an array with one row for each sample."""
    features = _as_rows(features)
    if len(features) != n_samples:
        raise ValueError(
            f"features has {len(features)} rows, but X has {n_samples} images. Pass "
            "one row for each image."
        )
    return features
