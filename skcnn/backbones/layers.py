"""Layers of a network by name, and networks that end at them.

Networks of the known libraries are traced: every operation has a name, what follows
the wanted layers is not computed, and batch normalisation is folded into the
convolutions before it. Others run as they are, and the names are those of their
modules.
"""

import contextlib
from collections import Counter
from difflib import get_close_matches
from functools import partial

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from .channels import find_channel_axes
from .checkpoints import check_complete
from .copies import copy_network, copy_sharing_weights
from .dry_run import N_SAMPLES, find_shapes
from .hooked import (
    PENULTIMATE,
    WITH_WEIGHTS,
    HookedNetwork,
    check_tensor,
    has_no_classes,
    no_penultimate,
)
from .tracing import trace

SKIPPED = (nn.modules.dropout._DropoutNd, nn.Identity)
LINEAR_FUNCTIONS = (F.linear, F.conv1d, F.conv2d, F.conv3d)
# The names of the AlexNet paper's fully connected layers, after their ReLU.
ALIASES = {
    "AlexNet": {"fc6": "classifier.2", "fc7": "classifier.5"},
    "VGG": {"fc6": "classifier.1", "fc7": "classifier.4"},
}


def layer_names(module, input_shape=None):
    """Return the names of the layers of a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    input_shape : tuple of int or None, default=None
        ``(n_channels, *spatial_shape)`` of a sample, by which is left out what is
        no layer: weights, shapes, comparisons, parts that do not run. A network
        that cannot be traced is run for it, on three samples.

    Returns
    -------
    list of str
        In the order in which they run; of a network that cannot be traced nor run,
        in that of their definition. A name that leads several of them, like
        `layer1` of `layer1.0.conv1`, stands for the last. What runs several times
        has its name for the first time; `_1` and so on are behind those of the
        others, where the network can be traced.
    """
    module = _evaluating(module)
    traced = trace(module)
    if traced is None:
        running = None if input_shape is None else _names_that_run(module, input_shape)
        return running or [name for name, _ in module.named_modules() if name]
    if input_shape is None:
        return list(traced.nodes)
    shapes = find_shapes(traced.module, traced.graph, input_shape)
    others = {n for n, shape in shapes.items() if (shape or ())[:1] != (N_SAMPLES,)}
    return [name for name, node in traced.nodes.items() if node not in others]


def _names_that_run(module, input_shape):
    """Return the parts that give a row for each sample, in the order of running."""
    module = copy_sharing_weights(module)
    names = {}

    def note(part, args, output, name):
        if isinstance(output, torch.Tensor) and output.shape[:1] == (N_SAMPLES,):
            names[name] = None

    for name, part in module.named_modules():
        part.register_forward_hook(partial(note, name=name))
    like = next(module.parameters(), torch.zeros(0))
    # Where a network cannot take such a sample, whoever uses it is told.
    with torch.no_grad(), contextlib.suppress(Exception):
        module(like.new_zeros(N_SAMPLES, *input_shape))
        return [name for name in names if name]
    return []


def cut_network(module, layers, input_shape=None):
    """Return a network that ends at some layers of another.

    Parameters
    ----------
    module : torch.nn.Module
        The network, which is left as it is.

    layers : sequence of str
        Names of layers. "penultimate" is what the last layer with weights
        receives, that is, the network without its last layer; or what a network
        returns that has an identity, or no classes, in the place of that.

    input_shape : tuple of int or None, default=None
        ``(n_channels, *spatial_shape)`` of a sample, which helps to tell channels
        from positions where a network moves its axes.

    Returns
    -------
    torch.nn.Module
        From a batch to a tuple of the layers' outputs. It is in evaluation
        mode and has parameters of its own. Its `channel_axes` says of each layer
        which axes of its output are channels, a tuple; None if that is as usual:
        the second of maps and the last of tokens.

    Raises
    ------
    ValueError
        If there is no such layer; the message names those that are close.

    WeightsError
        If a layer is behind the head of a checkpoint that has no such head.

    Examples
    --------
    >>> import torch
    >>> from skcnn.backbones import cut_network
    >>> from skcnn.modules import LeNet5
    >>> network = cut_network(LeNet5((1, 28, 28), 10), ["penultimate"])
    >>> network(torch.zeros(2, 1, 28, 28))[0].shape
    torch.Size([2, 84])
    """
    module = _evaluating(module)
    traced = trace(module)
    if traced is not None:
        network = _cut_graph(traced, layers, input_shape)
        check_complete(network, layers)
        return network
    known = [name for name, _ in module.named_modules() if name]
    for layer in layers:
        if layer not in (PENULTIMATE, *known):
            raise _unknown_layer(layer, known)
    return HookedNetwork(module, layers)


def _evaluating(module):
    """Return a network in evaluation mode, a copy where it is not."""
    if any(part.training for part in module.modules()):
        return copy_network(module).eval()
    return module


def _cut_graph(traced, layers, input_shape):
    """Return the part of a traced network that leads to some layers."""
    module, graph = traced.module, traced.graph
    modules = dict(module.named_modules())
    ends = [_find_node(layer, traced.nodes, modules, module) for layer in layers]
    channel_axes = find_channel_axes(ends, module, input_shape)
    outputs = list(map(_protected, ends, layers))
    graph.erase_node(next(node for node in graph.nodes if node.op == "output"))
    graph.output(tuple(outputs))
    network = fx.GraphModule(module, graph)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    nodes = network.graph.nodes
    calls = Counter(node.target for node in nodes if node.op == "call_module")
    if max(calls.values(), default=0) > 1 and _is_shared(calls, modules):
        network = copy_network(network)
    else:
        network = fuse(network, no_trace=True)
    network.channel_axes = channel_axes
    return network


def _protected(node, layer):
    """Return a node whose value later operations in place do not change."""
    if all(user.op == "output" for user in node.users):
        return node
    with node.graph.inserting_after(node):
        return node.graph.call_function(_kept, (node, layer))


def _is_shared(calls, modules):
    """Return whether a layer with weights runs more than once."""
    return any(
        n_calls > 1 and next(modules[name].parameters(), None) is not None
        for name, n_calls in calls.items()
    )


def _find_node(layer, nodes, modules, module):
    """Return the node that a name stands for."""
    if layer == PENULTIMATE:
        return _penultimate_node(nodes, modules, module)
    layer = ALIASES.get(type(module).__name__, {}).get(layer, layer)
    if layer in nodes:
        return nodes[layer]
    inside = [node for name, node in nodes.items() if name.startswith(f"{layer}.")]
    if not inside:
        raise _unknown_layer(layer, nodes)
    return inside[-1]


def _penultimate_node(nodes, modules, module):
    """Return what the last layer with weights receives, dropout left out."""
    end = _bare_end(next(iter(nodes.values())).graph, modules, module)
    if end is not None:
        return end
    weighted = [node for node in nodes.values() if _has_weights(node, modules)]
    if not weighted:
        raise no_penultimate(list(nodes))
    return _before(weighted[-1].all_input_nodes[0], modules, SKIPPED)


def _bare_end(graph, modules, module):
    """Return what a network returns that has nothing in the place of its last layer.

    See `skcnn.backbones.hooked.Ending`. None where it has a last layer.
    """
    (end,) = graph.output_node().args
    if not isinstance(end, fx.Node):
        return None
    if has_no_classes(module):
        return end
    before = _before(end, modules, nn.Identity)
    if before is end or _has_weights(_before(before, modules, SKIPPED), modules):
        return None
    return before


def _before(node, modules, skipped):
    """Return the operation from which on there are only parts of some classes."""
    while node.op == "call_module" and isinstance(modules[node.target], skipped):
        node = node.all_input_nodes[0]
    return node


def _has_weights(node, modules):
    """Return whether an operation is a convolution or a fully connected layer."""
    if node.op == "call_function":
        return node.target in LINEAR_FUNCTIONS
    return node.op == "call_module" and isinstance(modules[node.target], WITH_WEIGHTS)


def _unknown_layer(layer, names):
    """Return an error that names the layers that are close."""
    names = list(names)
    close = get_close_matches(layer, names, n=5, cutoff=0.4) or names[-5:]
    return ValueError(
        f"layer={layer!r} is none of the network's {len(names)} layers. Close ones are "
        f"{', '.join(map(repr, close))}; layer_names() lists all."
    )


def _kept(output, layer):
    """Return a copy of what a layer returned, which operations in place may change."""
    return check_tensor(output, layer).clone()
