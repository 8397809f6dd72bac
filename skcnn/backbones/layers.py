"""Layers of a network by name, and networks that end at them.

Networks of the known libraries are traced with torch.fx: every operation has a
name, what follows the wanted layers is not computed, and batch normalisation
is folded into the convolutions before it. Tracing runs a network on symbols, which
code that nobody here has read may not survive, and what it finds has no hooks; so
networks with parts of others, or with hooks, run as they are, and the names are those
of their modules.
"""

import copy
import math
from collections import Counter
from difflib import get_close_matches
from functools import cache
from threading import Lock, get_ident

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.conv import _ConvNd

from .channels import find_channel_axes, usual_channel_axes
from .dry_run import N_SAMPLES, find_shapes

PENULTIMATE = "penultimate"
TRACED_LIBRARIES = ("torchvision.", "timm.", "skcnn.", "torch.nn.")
WITH_WEIGHTS = (_ConvNd, nn.Linear)
SKIPPED = (nn.modules.dropout._DropoutNd, nn.Identity)
TRACING = Lock()
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
        ``(n_channels, *spatial_shape)`` of a sample, by which what is no layer is
        left out where the network can be traced: weights, shapes and comparisons.

    Returns
    -------
    list of str
        In the order in which they run where the network can be traced,
        otherwise in that of their definition. A name that leads several of
        them, like `layer1` of `layer1.0.conv1`, stands for the last.
    """
    module = _evaluating(module)
    nodes = _trace(module)
    if nodes is None:
        return [name for name, _ in module.named_modules() if name]
    if input_shape is None:
        return list(nodes)
    shapes = find_shapes(module, next(iter(nodes.values())).graph, input_shape)
    is_layer = {
        node: (shape or ())[:1] == (N_SAMPLES,) for node, shape in shapes.items()
    }
    return [name for name, node in nodes.items() if is_layer.get(node, True)]


def cut_network(module, layers, input_shape=None):
    """Return a network that ends at some layers of another.

    Parameters
    ----------
    module : torch.nn.Module
        The network, which is left as it is.

    layers : sequence of str
        Names of layers. "penultimate" is what the last layer with weights
        receives, that is, the network without its last layer.

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
    nodes = _trace(module)
    if nodes is not None:
        return _cut_graph(module, nodes, layers, input_shape)
    known = [name for name, _ in module.named_modules() if name]
    for layer in layers:
        if layer not in (PENULTIMATE, *known):
            raise _unknown_layer(layer, known)
    return HookedNetwork(module, layers)


def _evaluating(module):
    """Return a network in evaluation mode, a copy where it is not."""
    if any(part.training for part in module.modules()):
        return copy.deepcopy(module).eval()
    return module


def _trace(module):
    """Return the graph's nodes by name, or None where it cannot be traced."""
    from torchvision import ops

    if not all(map(_is_plain, module.modules())):
        return None
    leaves, functions = _untraceable_of_timm(module)
    tracer = _tracer_class()(
        autowrap_modules=(math, ops),
        autowrap_functions=functions,
        leaf_modules=leaves,
    )
    try:
        with TRACING:
            graph = tracer.trace(module)
    except (TypeError, ValueError, RuntimeError, AttributeError, fx.proxy.TraceError):
        return None
    arguments = [node for node in graph.nodes if node.op == "placeholder"]
    if any(node.users for node in arguments[1:]):  # traced as given, which they are not
        return None
    return {name: node for node, name in tracer.node_to_qualname.items()}


def _is_plain(part):
    """Return whether a part does what a class of the known libraries does."""
    has_hooks = part._forward_hooks or part._forward_pre_hooks
    return type(part).__module__.startswith(TRACED_LIBRARIES) and not has_hooks


@cache
def _tracer_class():
    """Return a tracer that leaves other threads alone.

    That of torch changes how all modules of the process are called meanwhile.
    """
    from torchvision.models.feature_extraction import NodePathTracer

    class Tracer(NodePathTracer):
        def trace(self, root, concrete_args=None):
            self.thread = get_ident()
            return super().trace(root, concrete_args)

        def call_module(self, m, forward, args, kwargs):
            if get_ident() != self.thread:
                return forward(*args, **kwargs)
            return super().call_module(m, forward, args, kwargs)

        def getattr(self, attr, attr_val, parameter_proxy_cache):
            if get_ident() != self.thread:
                return attr_val
            return super().getattr(attr, attr_val, parameter_proxy_cache)

    return Tracer


def _untraceable_of_timm(module):
    """Return the modules and functions that timm declares to be leaves."""
    if not type(module).__module__.startswith("timm."):
        return (), ()
    from timm.layers import get_notrace_functions, get_notrace_modules

    return tuple(get_notrace_modules()), tuple(get_notrace_functions())


def _cut_graph(module, nodes, layers, input_shape):
    """Return the part of a traced network that leads to some layers."""
    modules = dict(module.named_modules())
    ends = [_find_node(layer, nodes, modules, module) for layer in layers]
    graph, channel_axes = ends[0].graph, find_channel_axes(ends, module, input_shape)
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
        network = copy.deepcopy(network)
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
        return _penultimate_node(nodes, modules)
    layer = ALIASES.get(type(module).__name__, {}).get(layer, layer)
    if layer in nodes:
        return nodes[layer]
    inside = [node for name, node in nodes.items() if name.startswith(f"{layer}.")]
    if not inside:
        raise _unknown_layer(layer, nodes)
    return inside[-1]


def _penultimate_node(nodes, modules):
    """Return what the last layer with weights receives, dropout left out."""
    calls = [node for node in nodes.values() if node.op == "call_module"]
    weighted = [n for n in calls if isinstance(modules[n.target], WITH_WEIGHTS)]
    if not weighted:
        raise ValueError(
            "layer='penultimate' is what the last convolution or fully connected "
            f"layer receives, and the network has none. Name one of {list(nodes)}."
        )
    node = weighted[-1].all_input_nodes[0]
    while node.op == "call_module" and isinstance(modules[node.target], SKIPPED):
        node = node.all_input_nodes[0]
    return node


def _unknown_layer(layer, names):
    """Return an error that names the layers that are close."""
    names = list(names)
    close = get_close_matches(layer, names, n=5, cutoff=0.4) or names[-5:]
    return ValueError(
        f"layer={layer!r} is none of the network's {len(names)} layers. Close ones are "
        f"{', '.join(map(repr, close))}; layer_names() lists all."
    )


class HookedNetwork(nn.Module):
    """A network that runs as it is, and returns what some modules returned.

    Parameters
    ----------
    module : torch.nn.Module
        The network, of which a copy is kept.

    layers : sequence of str
        Names of modules, or "penultimate". Of a module that runs several times it
        is the last time that counts.
    """

    def __init__(self, module, layers):
        super().__init__()
        self.network = copy.deepcopy(module)
        self.layers = tuple(layers)
        self.channel_axes = [usual_channel_axes(module)] * len(layers)
        self._lock = Lock()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._lock = Lock()

    def forward(self, x):
        """Map a batch to a tuple of outputs."""
        outputs = {}
        with self._lock:  # hooks see the batches of all threads
            handles = [
                handle
                for layer in self.layers
                for handle in self._watch(layer, outputs)
            ]
            try:
                self.network(x)
            finally:
                for handle in handles:
                    handle.remove()
        missing = [layer for layer in self.layers if layer not in outputs]
        if missing:
            raise ValueError(f"The network did not run its layer {missing[0]!r}.")
        return tuple(outputs[layer] for layer in self.layers)

    def _watch(self, layer, outputs):
        """Return hooks that keep what a layer returns."""
        if layer != PENULTIMATE:

            def keep_output(_, args, output):
                outputs[layer] = _kept(output, layer)

            return [
                self.network.get_submodule(layer).register_forward_hook(keep_output)
            ]

        def keep_input(_, args, kwargs):
            outputs[layer] = _kept(*args[:1] or kwargs.values(), layer)

        return [
            module.register_forward_pre_hook(keep_input, with_kwargs=True)
            for module in self.network.modules()
            if isinstance(module, WITH_WEIGHTS)
        ]


def _kept(output, layer):
    """Return a copy of the output of a layer, which operations in place may change."""
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"layer={layer!r} returns {type(output).__name__}, expected a tensor. "
            "Choose a layer inside or before it."
        )
    return output.clone()
