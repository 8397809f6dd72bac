"""Export of a network by torch, and of what torch has no types for."""

import torch

from .silence import silenced_warnings

OPSET = 18  # the first in which torch exports all; skl2onnx has it, too


def export_network(network, example, estimator):
    """Return the ONNX model of a network.

    Parameters
    ----------
    network : Exported
        The network.

    example : ndarray of shape (n_samples, ...)
        Input of at least two samples.

    estimator : BaseEstimator
        Estimator whose classes the labels are.

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
    """Let the first output be the label of the code of a class."""
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
    """Return classes as an array of a dtype that ONNX has.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels.

    Returns
    -------
    ndarray
        Strings as objects, others as they are.

    Raises
    ------
    TypeError
        If they are objects of another kind.
    """
    if classes.dtype.kind in "biuf":
        return classes
    if all(isinstance(label, str) for label in classes):
        return classes.astype(object)
    raise TypeError(
        f"The classes {classes[:3]} are neither numbers nor strings, which ONNX has. "
        "Fit with labels of one of these."
    )
