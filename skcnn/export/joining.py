"""A network and steps of scikit-learn as one model."""

from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline

from .silence import silenced_warnings

FEATURES = "features"


def models_of_steps(steps, n_features, network_model):
    """Return the model of steps of scikit-learn, made by skl2onnx.

    Parameters
    ----------
    steps : list of estimator
        Fitted estimators.

    n_features : int
        Number of features of the first.

    network_model : onnx.ModelProto
        Model whose versions it has.

    Returns
    -------
    onnx.ModelProto
        Model that takes ``features``.
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
    for entry in model.opset_import:  # which is the lowest that would do
        entry.version = entry.version if entry.domain else opset
    return model


def joined_models(network_model, steps_model):
    """Return a model that runs one after the other.

    Parameters
    ----------
    network_model, steps_model : onnx.ModelProto
        Models; the second takes what the first returns.

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
