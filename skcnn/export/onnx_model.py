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

    The model takes what `predict` takes, in batches of any size, and contains the
    scale of X and y and the classes. Its inputs and outputs are

    - ``X``: images of the shape and dtype of `X`; for a network with published
      preprocessing, images that have its size already, unless `resize` is True. For
      text: ``codes``, int64 of shape (n_samples, length), which are filled up with 0.
      Unknown words are 1; the entry "vocabulary" of the model's metadata has the codes
      of the others, as JSON.
    - ``label`` and ``probabilities`` of a classifier, ``variable`` of a regressor,
      ``features`` of a transformer. Steps of a pipeline after the first are named
      as skl2onnx names them.

    The model is run with onnxruntime before it is returned.

    Parameters
    ----------
    estimator_or_pipeline : estimator or sklearn.pipeline.Pipeline
        Fitted estimator of this package, or pipeline of one and of steps that
        skl2onnx converts.

    path : str, path-like or None, default=None
        File to write. None writes no file.

    X : array-like or None, default=None
        Samples that the model is compared on with the estimator, and whose dtype it
        takes. None stands for noise, of uint8 for published preprocessing and of the
        dtype of `fit` otherwise.

    resize : bool, default=False
        Whether the model resizes and crops images as was published with the weights.
        It then takes images of any size; those of one batch have the same size.
        Resized integers are rounded in another way than by the estimator: on 200
        photographs of uint8, probabilities differed by at most 0.008, and on the same
        photographs as floats by 3e-6.

    Returns
    -------
    onnx.ModelProto
        The model.

    Raises
    ------
    ImportError
        If onnx, onnxruntime, onnxscript or skl2onnx is not installed.

    TypeError
        If a step cannot be exported, or X are not numbers.

    ValueError
        If X has no size that the model can take, if `resize` is True for a network
        without published preprocessing, or if results differ by more than rounding;
        the message has the largest difference.

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
    """Return the estimators that X goes through, this package's first."""
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [
            step for _, step in estimator.steps if step not in (None, "passthrough")
        ]
    steps = [s.estimator if isinstance(s, FrozenEstimator) else s for s in steps]
    if not (steps and is_ours(steps[0])) or any(map(is_ours, steps[1:])):
        names = [type(step).__name__ for step in steps]
        raise TypeError(
            f"{' and '.join(names)} cannot be exported, expected an estimator of this "
            "package, alone or as the first step of a Pipeline. Export other "
            "estimators with skl2onnx.to_onnx."
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
                f"X has the dtype {dtype}, expected images as an array of numbers, "
                "which the model takes. Read image files first."
            )
        return dtype
    scaler = getattr(estimator, "scaler_", None)
    if scaler is None and hasattr(estimator, "_backbone"):
        scaler = estimator._backbone.scaler
    return np.dtype("uint8") if scaler is None else scaler.dtype_


def _samples(estimator, X, example, network):
    """Return samples as the estimator and as the model takes them."""
    if reads_text(estimator):
        X = list(estimator._vocabulary.words_[2:12]) if X is None else X
        return X, estimator.to_input(X).numpy()
    if X is None:
        return example, example
    X, scale = np.asarray(X), network.scale
    if _without(X.shape[1:], scale) != _without(scale.sample_shape, scale):
        raise ValueError(
            f"X has images of shape {X.shape[1:]}, and the exported model takes "
            f"{scale.sample_shape}: its network has a size of its own. Resize and crop "
            "the images first, or let the model do it with resize=True."
        )
    return X, X


def _without(shape, scale):
    """Return a shape without the axes that may have any length."""
    axes = range(1, len(shape) + 1)
    return [n for i, n in zip(axes, shape, strict=True) if i not in scale.free_axes]


def _describe(model, estimator, network):
    """Write into the metadata what the input is."""
    import onnx

    entries = {"estimator": type(estimator).__name__}
    if reads_text(estimator):
        entries["vocabulary"] = json.dumps(estimator._vocabulary.codes_)
    elif hasattr(network.scale, "preprocessing") and not network.scale.free_axes:
        entries["resize_before"] = str(network.scale.preprocessing)
    onnx.helper.set_model_props(model, entries)
