"""Validation score of an epoch: the estimator's own, a scorer's, or the loss."""

import copy
from inspect import signature

import numpy as np
from sklearn.metrics import check_scoring


def find_score(estimator, targets):
    """Return the score function of `Validation`, None for the loss."""
    scoring = estimator.scoring
    if scoring is None:
        return estimator._targets.score
    if isinstance(scoring, str) and scoring == "loss":
        return None
    scorer = check_scoring(estimator, scoring)
    return _ScorerScore(estimator, scorer, estimator._targets.labels(targets))


class _ScorerScore:
    """Score of a scikit-learn scorer, from precomputed outputs."""

    def __init__(self, estimator, scorer, y):
        self.scoring = estimator.scoring
        self.scorer = scorer
        self.y = y
        self.predictor = copy.copy(estimator)
        self.predictor._outputs = np.asarray  # X is the outputs

    def __call__(self, outputs, targets, weights):
        """Return the score, weighted if the scorer takes weights."""
        weighted = weights is not None and _takes_weights(self.scorer)
        options = {"sample_weight": weights} if weighted else {}
        score = float(self.scorer(self.predictor, outputs, self.y, **options))
        if not np.isfinite(score):
            raise ValueError(
                f"scoring={self.scoring!r} is {score} for the validation data, "
                "expected a finite number. Choose another scoring, or pass X_val."
            )
        return score


def _takes_weights(scorer):
    """Return whether a scorer, or the metric that it computes, takes weights."""
    function = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in signature(function).parameters
