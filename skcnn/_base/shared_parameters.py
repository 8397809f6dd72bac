"""Parameters that a clone shares with the original: a fitted backbone, embeddings."""

import copy

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from .base_cnn import BaseCNN


def clone_sharing(estimator, name):
    """Return a clone that shares the value of one parameter instead of a copy."""
    light = copy.copy(estimator)
    setattr(light, name, None)
    other = BaseEstimator.__sklearn_clone__(light)
    setattr(other, name, getattr(estimator, name))
    return other


def is_fitted_estimator(backbone):
    """Return whether a backbone is a fitted estimator."""
    if isinstance(backbone, FrozenEstimator):
        backbone = backbone.estimator
    return isinstance(backbone, BaseCNN) and backbone.__sklearn_is_fitted__()


def clone_with_backbone(estimator):
    """Return a clone, which shares a fitted backbone."""
    if is_fitted_estimator(estimator.backbone):
        return clone_sharing(estimator, "backbone")
    return BaseEstimator.__sklearn_clone__(estimator)


def check_backbone_stays(estimator, params):
    """Raise an error if `params` would change a fitted backbone."""
    nested = [name for name in params if name.startswith("backbone__")]
    if nested and is_fitted_estimator(params.get("backbone", estimator.backbone)):
        raise ValueError(
            f"{nested[0]} cannot be set, as backbone is already fitted. "
            "Pass sklearn.base.clone(backbone) to train it again."
        )
