"""One ONNX model from raw input to predictions."""

import json

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .comparison import RESIZED_TOLERANCE, TOLERANCE, check_same_results
from .joining import joined_models, models_of_steps
from .networks import example_input, exported_network, is_ours, reads_text
from .torch_export import export_network


def to_onnx(estimator_or_pipeline, path=None, *, X=None, resize=False):
    """Export a fitted estimator or pipeline as one ONNX model.

    The model takes the input of `predict`, in batches of any size, and contains the
    scaling of X and y and the classes. Its inputs and outputs are

    - ``X``: images of the shape and dtype of `X`; for a network with published
      preprocessing, images of the network's input size, unless `resize` is True;
    - ``codes``, instead of ``X`` for sentences: word codes, int64 of shape (n_samples,
      length), padded with 0. Unknown words are 1. The entry "vocabulary" of the model's
      metadata has the codes of all other words, as JSON;
    - ``label`` and ``probabilities`` of a classifier, ``variable`` of a regressor,
      ``features`` of a transformer. If a pipeline has further steps, skl2onnx names
      the outputs.

    Before the model is returned, its results are computed with onnxruntime and compared
    with those of the estimator.

    Parameters
    ----------
    estimator_or_pipeline : estimator or sklearn.pipeline.Pipeline
        Fitted estimator of this package, or a pipeline of one followed by steps that
        skl2onnx can convert.

    path : str, path-like or None, default=None
        Path of the file to write. None writes no file.

    X : array-like or None, default=None
        Samples for the comparison; the model takes their dtype. None uses random
        samples, in uint8 for published preprocessing and in the dtype seen in `fit`
        otherwise.

    resize : bool, default=False
        Whether the model resizes and crops images as published with the weights. It
        then takes images of any size; all images of a batch have the same size.
        Resized integers are rounded differently than by the estimator, so results may
        differ slightly.

    Returns
    -------
    onnx.ModelProto
        The model.

    Raises
    ------
    ImportError
        If onnx, onnxruntime, onnxscript or skl2onnx is not installed.

    TypeError
        If a step cannot be exported, or X is not numeric.

    ValueError
        If the images in X have another size than the model takes, if `resize` is True
        for a network without published preprocessing, or if results differ by more than
        rounding.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier, to_onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 8, 8).astype(np.float32)
    >>> clf = CNNClassifier(n_layers=1, max_epochs=1, random_state=0).fit(X, y)
    >>> model = to_onnx(clf, X=X[:10])
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> label, probabilities = session.run(None, {"X": X})
    >>> bool((label == clf.predict(X)).all())
    True
    """
    check_is_fitted(estimator_or_pipeline)
    first, *others = _steps(estimator_or_pipeline)
    dtype = _dtype(first, X)
    network = exported_network(first, dtype, not others, resize)
    example = example_input(network, dtype)
    model = export_network(network, example, first)
    if others:
        n_features = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
        model = joined_models(model, models_of_steps(others, n_features, model))
    _describe(model, first, network)
    X, raw = _samples(first, X, example, network)
    is_rounded = getattr(network.scale, "is_rounded", False)
    tolerance = RESIZED_TOLERANCE if is_rounded else TOLERANCE
    check_same_results(model, estimator_or_pipeline, X, raw, tolerance)
    if path is not None:
        import onnx

        onnx.save(model, path)
    return model


def _steps(estimator):
    """Return the steps to export, the first of which is of this package."""
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [
            step for _, step in estimator.steps if step not in (None, "passthrough")
        ]
    steps = [s.estimator if isinstance(s, FrozenEstimator) else s for s in steps]
    if not (steps and is_ours(steps[0])) or any(map(is_ours, steps[1:])):
        names = [type(step).__name__ for step in steps]
        raise TypeError(
            f"{' and '.join(names)} cannot be exported, expected an estimator of "
            "skcnn, alone or as the first step of a Pipeline. Export other estimators "
            "with skl2onnx.to_onnx."
        )
    return steps


def _dtype(estimator, X):
    """Return the dtype of the model's input, None for text."""
    if reads_text(estimator):
        return None
    if X is not None:
        dtype = np.asarray(X).dtype
        if dtype.kind not in "buif":
            raise TypeError(
                f"X has dtype {dtype}, expected images as an array of numbers. Read "
                "image files first."
            )
        return dtype
    scaler = getattr(estimator, "scaler_", None)
    if scaler is None and hasattr(estimator, "_backbone"):
        scaler = estimator._backbone.scaler
    return np.dtype("uint8") if scaler is None else scaler.dtype_


def _samples(estimator, X, example, network):
    """Return samples as input of the estimator and of the model."""
    if reads_text(estimator):
        X = list(estimator._vocabulary.words_[2:12]) if X is None else X
        return X, estimator.to_input(X).numpy()
    if X is None:
        return example, example
    X, scale = np.asarray(X), network.scale
    if _without(X.shape[1:], scale) != _without(scale.sample_shape, scale):
        raise ValueError(
            f"X has images of shape {X.shape[1:]}, but the exported model takes "
            f"{scale.sample_shape}. Resize and crop the images first, or export with "
            "resize=True."
        )
    return X, X


def _without(shape, scale):
    """Return a shape without the axes that may have any length."""
    axes = range(1, len(shape) + 1)
    return [n for i, n in zip(axes, shape, strict=True) if i not in scale.free_axes]


def _describe(model, estimator, network):
    """Describe the input in the metadata of the model."""
    import onnx

    entries = {"estimator": type(estimator).__name__}
    if reads_text(estimator):
        entries["vocabulary"] = json.dumps(estimator._vocabulary.codes_)
    elif hasattr(network.scale, "preprocessing") and not network.scale.free_axes:
        entries["resize_before"] = str(network.scale.preprocessing)
    onnx.helper.set_model_props(model, entries)
