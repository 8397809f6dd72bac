"""Comparison of an exported model with its estimator."""

import numpy as np
from sklearn.base import is_classifier

# Absolute for probabilities, relative to the largest value for other results.
TOLERANCE = 1e-4
RESIZED_TOLERANCE = 0.05  # resized integers are rounded differently


def check_same_results(model, estimator, X, raw, tolerance):
    """Raise an error if a model and its estimator differ by more than rounding.

    Parameters
    ----------
    model : onnx.ModelProto
        The model.

    estimator : BaseEstimator
        Estimator or pipeline.

    X, raw : array-like
        Input of the estimator and of the model.

    tolerance : float
        Maximum difference that counts as rounding.

    Raises
    ------
    ValueError
        If results differ by more; the message gives the largest difference.
    """
    results = run_model(model, raw)
    if hasattr(estimator, "predict_proba"):
        name, expected = "probabilities", estimator.predict_proba(X)
    elif is_classifier(estimator):
        name, expected = None, None
    else:
        name = next(iter(results))
        is_predictor = hasattr(estimator, "predict")
        expected = estimator.predict(X) if is_predictor else estimator.transform(X)
    if name is not None:
        _check_difference(results[name], expected, name, tolerance)
    if "label" in results:
        _check_labels(results["label"], estimator.predict(X), expected, tolerance)


def run_model(model, raw):
    """Run a model with onnxruntime.

    Parameters
    ----------
    model : onnx.ModelProto
        The model.

    raw : ndarray
        Input of the model.

    Returns
    -------
    dict of str to ndarray
        Results by name.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {session.get_inputs()[0].name: raw})
    return dict(zip(names, values, strict=True))


def _check_difference(values, expected, name, tolerance):
    """Raise an error if numbers differ by more than rounding."""
    expected = np.asarray(expected)
    values = values.reshape(expected.shape)
    scale = 1.0 if name == "probabilities" else max(1.0, np.abs(expected).max())
    difference = float(np.abs(values - expected).max() / scale)
    if not difference <= tolerance:  # NaN, too
        raise ValueError(
            f"The exported model and the estimator differ in {name} by up to "
            f"{difference:.2g} (tolerance {tolerance:g}). Pass samples of the "
            "training data as X. If the difference remains, please report it."
        )


def _check_labels(labels, expected, probabilities, tolerance):
    """Raise an error if labels differ, unless their probabilities are tied."""
    differs = np.reshape(labels, np.shape(expected)) != np.asarray(expected)
    if differs.ndim > 1 or probabilities is None:
        is_wrong = differs
    else:
        second, first = np.sort(probabilities, axis=1)[:, -2:].T
        is_wrong = differs & (first - second > 2 * tolerance)
    if np.any(is_wrong):
        raise ValueError(
            f"The exported model and the estimator differ in {int(is_wrong.sum())} of "
            f"{len(differs)} labels. Please report it."
        )
