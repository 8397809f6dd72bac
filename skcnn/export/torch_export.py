"""Export of a network with torch, and of class labels of any type."""

import torch

from .silence import silenced_warnings

OPSET = 18  # the first that torch exports fully; skl2onnx supports it, too


def export_network(network, example, estimator):
    """Export a network as an ONNX model.

    Parameters
    ----------
    network : Exported
        The network.

    example : ndarray of shape (n_samples, ...)
        Input of at least two samples.

    estimator : BaseEstimator
        Estimator with the class labels.

    Returns
    -------
    onnx.ModelProto
        Model for batches of any size.
    """
    names = {0: "n_samples"} | network.scale.free_axes
    axes = {axis: torch.export.Dim(name) for axis, name in names.items()}
    with silenced_warnings():
        program = torch.onnx.export(
            network.eval(),
            (torch.from_numpy(example),),
            dynamo=True,
            dynamic_shapes=(axes,),
            input_names=[network.scale.name],
            output_names=list(network.results.names),
            opset_version=OPSET,
            verbose=False,
        )
    model = program.model_proto
    if network.results.names[0] == "code":
        _add_labels(model, estimator.classes_)
    return model


def _add_labels(model, classes):
    """Replace class codes by class labels in the first output."""
    from onnx import helper, numpy_helper

    classes = as_labels(classes)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(classes, "classes"))
    node = helper.make_node("Gather", ["classes", "code"], ["label"], name="label")
    graph.node.append(node)
    kind = helper.np_dtype_to_tensor_dtype(classes.dtype)
    shape = [d.dim_param for d in graph.output[0].type.tensor_type.shape.dim]
    graph.output[0].CopyFrom(helper.make_tensor_value_info("label", kind, shape))


def as_labels(classes):
    """Return classes as an array of a dtype that ONNX supports.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels.

    Returns
    -------
    ndarray
        Strings as objects, numbers unchanged.

    Raises
    ------
    TypeError
        If classes are neither numbers nor strings.
    """
    if classes.dtype.kind in "biuf":
        return classes
    if all(isinstance(label, str) for label in classes):
        return classes.astype(object)
    raise TypeError(
        f"The classes {classes[:3]} are not supported by ONNX, expected numbers or "
        "strings. Fit with such labels."
    )
