"""Exact class activation maps for average pooling and linear steps (Zhou 2016).

Features are means of feature maps over positions, and the steps after them are linear,
so a score is the mean of the scores of all positions.
"""

from math import prod

import numpy as np
import torch

from .._base.backbone_features import (
    asked_layers,
    feature_widths,
    make_asked_extractor,
    make_extractor,
)
from .._base.backbone_parameter import known_backbone
from .layer_outputs import default_layers
from .networks import innermost

RTOL = 1e-3  # relative to the largest score, for rounding errors


def linear_maps(found, X, choose, layer=None):
    """Compute the contribution of each position to chosen scores of a pipeline.

    Parameters
    ----------
    found : FoundNetwork
        Transformer, followed by linear steps.

    X : array-like or sequence of image files
        Samples.

    choose : callable
        See `gradient_maps`.

    layer : str or None, default=None
        Layer of feature maps whose means are the features. None finds it.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_chosen, *positions)
        Maps, whose means are the scores minus the intercept.
    """
    parts, start, maps_of = [], 0, None
    for batch in found.batches(X):
        maps_of = maps_of or _maps_reader(found, batch, layer)
        maps, features = maps_of(batch)
        scores = _scores_of_positions(found, maps, features)
        rows = slice(start, start + len(batch))
        columns = choose(scores.reshape(*scores.shape[:2], -1).mean(axis=2), rows)
        shape = (*columns.shape, *(1 for _ in maps.shape[2:]))
        chosen = np.take_along_axis(scores, columns.reshape(shape), axis=1)
        parts.append(torch.from_numpy(chosen))
        start += len(batch)
    return torch.cat(parts)


def _maps_reader(found, batch, layer):
    """Return a function from a batch to feature maps and features."""
    transformer, backbone = found.estimator, known_backbone(found.estimator)
    layers = asked_layers(transformer)
    if len(layers) > 1 or transformer.pooling != "avg":
        raise ValueError(
            f"CNNFeatureTransformer has layer={transformer.layer!r} and pooling="
            f"{transformer.pooling!r}. Class activation maps need one layer and "
            "pooling='avg'."
        )
    averaged = make_asked_extractor(transformer, backbone)
    features = averaged(batch)[0]
    (width,) = feature_widths(backbone, averaged)
    options = {"device": averaged.device, "precision": transformer.precision}
    for row in reversed(found.layers_with_maps):
        n_channels, *positions = row.output_shape
        is_asked = layer in (None, row.name)
        if not is_asked or n_channels != width or prod(positions) == 1:
            continue
        whole = make_extractor(backbone, (row.name,), pooling=None, **options)
        maps = whole(batch)[0].view(-1, *row.output_shape)
        if torch.allclose(maps.flatten(2).mean(2), features, rtol=RTOL, atol=RTOL):
            shape = row.output_shape
            return lambda x: (whole(x)[0].view(-1, *shape), averaged(x)[0])
    raise ValueError(
        f"The features of layer={transformer.layer!r} are not means of feature maps, "
        "which class activation maps need. Choose a layer with feature maps, such as "
        f"{default_layers(found)[-1]!r}, in CNNFeatureTransformer, and fit again."
    )


def _scores_of_positions(found, maps, features):
    """Return the scores of each position minus the intercept, (n, k, *positions)."""
    n, width, *positions = maps.shape
    rows = maps.flatten(2).transpose(1, 2).reshape(-1, width).double().cpu().numpy()
    intercept = np.atleast_1d(_intercept(found.after[-1])) if found.after else 0
    scores = _scores(found.after, rows) - intercept
    scores = scores.reshape(n, prod(positions), -1).transpose(0, 2, 1)
    expected = _scores(found.after, features.double().cpu().numpy()) - intercept
    _check_is_linear(scores.mean(axis=2), expected, found.after)
    if scores.shape[1] == 1 and hasattr(found.after[-1], "classes_"):
        scores = np.concatenate([-scores, scores], axis=1)
    return scores.reshape(n, -1, *positions)


def _scores(steps, rows):
    """Return decision values, or predictions of a regressor, (n_rows, n_scores)."""
    if not steps:
        raise ValueError(
            "CNNFeatureTransformer returns features, not scores. Pass a pipeline that "
            "ends in a linear model."
        )
    for step in steps[:-1]:
        rows = step.transform(_as_fitted(step, rows))
    final = steps[-1]
    is_classifier = hasattr(final, "classes_")
    score = getattr(final, "decision_function" if is_classifier else "predict", None)
    if score is None:
        raise TypeError(
            f"{type(final).__name__} has no decision_function, expected a linear "
            "model, such as LogisticRegression."
        )
    scores = score(_as_fitted(final, rows))
    return scores.reshape(len(rows), -1)


def _as_fitted(step, rows):
    """Return rows as a data frame if a step was fitted on one."""
    names = getattr(step, "feature_names_in_", None)
    if names is None or hasattr(rows, "columns"):
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=names)


def _intercept(model):
    return getattr(innermost(model), "intercept_", 0.0)


def _check_is_linear(means, scores, steps):
    """Raise an error if scores are not the means over positions."""
    scale = np.abs(scores).max()
    if np.abs(means - scores).max() > RTOL * max(scale, 1):
        names = ", ".join(type(step).__name__ for step in steps)
        raise ValueError(
            f"The steps after CNNFeatureTransformer ({names}) are not linear, which "
            "class activation maps need. Use linear steps, such as StandardScaler and "
            "LogisticRegression, or OcclusionDisplay, which takes any classifier."
        )
