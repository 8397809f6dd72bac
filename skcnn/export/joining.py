"""Conversion of scikit-learn steps, and their join with a network."""

from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline

from .silence import silenced_warnings

FEATURES = "features"


def models_of_steps(steps, n_features, network_model):
    """Convert steps of scikit-learn to a model with skl2onnx.

    Parameters
    ----------
    steps : list of estimator
        Fitted estimators.

    n_features : int
        Number of input features of the first step.

    network_model : onnx.ModelProto
        Model whose operator set version is used.

    Returns
    -------
    onnx.ModelProto
        Model with the input ``features``.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    pipeline = make_pipeline(*steps)
    last = steps[-1]
    options = {id(last): {"zipmap": False}} if is_classifier(last) else None
    opset = next(o.version for o in network_model.opset_import if not o.domain)
    with silenced_warnings():
        model = convert_sklearn(
            pipeline,
            initial_types=[(FEATURES, FloatTensorType([None, n_features]))],
            options=options,
            target_opset={"": opset, "ai.onnx.ml": 3},
        )
    for entry in model.opset_import:  # skl2onnx sets the lowest sufficient version
        entry.version = entry.version if entry.domain else opset
    return model


def joined_models(network_model, steps_model):
    """Join two models into one that runs them one after the other.

    Parameters
    ----------
    network_model, steps_model : onnx.ModelProto
        Models; the output of the first is the input of the second.

    Returns
    -------
    onnx.ModelProto
        The joined model.
    """
    from onnx import compose

    steps_model.ir_version = network_model.ir_version
    steps_model = compose.add_prefix(
        steps_model, "steps_", rename_inputs=False, rename_outputs=False
    )
    return compose.merge_models(
        network_model, steps_model, io_map=[(FEATURES, FEATURES)]
    )
