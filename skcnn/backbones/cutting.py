"""Layers of a network by name, and networks cut at layers.

Networks of known libraries are traced: every operation has a name, layers after the
requested ones are not computed, and batch normalisation is folded into the convolutions
before it. Other networks run unchanged, and their modules are the layers.
"""

from collections import Counter

from torch import fx

from .checkpoints import check_complete
from .copies import copy_network
from .dry_run import N_SAMPLES, find_channel_axes, find_shapes
from .folding import fold_norms
from .head import PENULTIMATE
from .hooked import HookedNetwork, check_tensor
from .layer_nodes import (
    block_names,
    canonical_name,
    find_node,
    inside,
    unknown_layer,
)
from .tracing import trace


def layer_names(module, input_shape=None):
    """Return the names of the layers of a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    input_shape : tuple of int or None, default=None
        Shape of a sample, ``(n_channels, *spatial_shape)``. If given, names that are
        not of layers are left out: weights, shapes, comparisons and modules that do not
        run. The network is run on shapes alone, or on three samples if that fails and
        it cannot be traced.

    Returns
    -------
    list of str
        Blocks, such as `layer1`, then all layers, both in order of execution, or of
        definition if the network can be neither traced nor run. A block stands for its
        last layer. If the network can be traced, repeated runs of a layer have the
        suffixes `_1`, `_2` and so on.

    Examples
    --------
    >>> from skcnn.backbones import layer_names
    >>> from skcnn.modules import CIFARResNet
    >>> layer_names(CIFARResNet((3, 32, 32), 10))[:5]
    ['conv1', 'bn1', 'layer1', 'layer2', 'layer3']
    """
    module = evaluating(module)
    traced = trace(module)
    every = _names_of_definition(module) if traced is None else list(traced.nodes)
    names = every
    if input_shape is not None:
        shapes = find_shapes(traced or module, input_shape)
        others = {name for name, shape in shapes.items() if not _has_samples(shape)}
        if traced is None:
            names = every = [name for name in shapes if name not in others] or every
        else:
            names = [name for name in every if name not in others]
    blocks = [
        block
        for block in block_names(module, names, traced)
        if block != names[-1] and inside(block, every)[-1] in names
    ]
    return list(dict.fromkeys([*blocks, *names]))


def canonical_layer(module, name):
    """Return the canonical name of a layer, which may have several names.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    name : str
        Name of a layer, see `cut_network`.

    Returns
    -------
    str
        Name that `cut_network` accepts; `name` itself if the network cannot be traced.

    Raises
    ------
    ValueError
        If there is no such layer.

    Examples
    --------
    >>> from skcnn.backbones import canonical_layer
    >>> from skcnn.modules import CIFARResNet
    >>> network = CIFARResNet((3, 32, 32), 10)
    >>> canonical_layer(network, "layer1"), canonical_layer(network, "penultimate")
    ('layer1.2.relu_1', 'mean')
    """
    module = evaluating(module)
    traced = trace(module)
    if traced is None:
        _check_parts(module, [name])
        return name
    return canonical_name(find_node(name, traced), name, traced)


def cut_network(module, layers, input_shape=None):
    """Cut a network at some layers.

    Parameters
    ----------
    module : torch.nn.Module
        Network. It is not modified.

    layers : sequence of str
        Names of layers. "penultimate" is the input of the last layer with weights, or
        the output of a network that has an identity or no classes in place of its last
        layer.

    input_shape : tuple of int or None, default=None
        Shape of a sample, ``(n_channels, *spatial_shape)``. It helps to distinguish
        channels from positions if a network permutes its axes.

    Returns
    -------
    torch.nn.Module
        Network from a batch to a tuple of the layers' outputs, in evaluation mode and
        with its own parameters. Its attribute `channel_axes` has a tuple of the channel
        axes of each output, or None for the second axis of feature maps and the last
        axis of tokens. `canonical_layers` has the names of `canonical_layer`.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists similar names.

    WeightsError
        If a layer needs a head for which the checkpoint has no weights.

    Examples
    --------
    >>> import torch
    >>> from skcnn.backbones import cut_network
    >>> from skcnn.modules import LeNet5
    >>> network = cut_network(LeNet5((1, 28, 28), 10), ["penultimate"])
    >>> network(torch.zeros(2, 1, 28, 28))[0].shape
    torch.Size([2, 84])
    """
    module = evaluating(module)
    traced = trace(module)
    if traced is not None:
        network = _cut_graph(traced, layers, input_shape)
        check_complete(network, layers)
        return network
    _check_parts(module, layers)
    network = HookedNetwork(module, layers)
    network.channel_axes = find_channel_axes(module, layers, input_shape)
    network.canonical_layers = tuple(layers)
    return network


def evaluating(module):
    """Return a network in evaluation mode, a copy if it is not."""
    if any(part.training for part in module.modules()):
        return copy_network(module).eval()
    return module


def _names_of_definition(module):
    return [name for name, _ in module.named_modules() if name]


def _has_samples(shape):
    """Return whether an output has a row for each sample."""
    return shape is not None and shape[:1] == (N_SAMPLES,)


def _cut_graph(traced, layers, input_shape):
    """Return the part of a traced network that leads to some layers."""
    module, graph = traced.module, traced.graph
    modules = dict(module.named_modules())
    ends = [find_node(layer, traced) for layer in layers]
    names = tuple(map(canonical_name, ends, layers, [traced] * len(ends)))
    channel_axes = find_channel_axes(traced, names, input_shape)
    outputs = list(map(_protected, ends, layers))
    graph.erase_node(graph.output_node())
    graph.output(tuple(outputs))
    network = fx.GraphModule(module, graph)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    nodes = network.graph.nodes
    calls = Counter(node.target for node in nodes if node.op == "call_module")
    network = copy_network(network)
    if not _is_shared(calls, modules):
        fold_norms(network)
    network.channel_axes = channel_axes
    network.canonical_layers = names
    return network


def _protected(node, layer):
    """Return a node whose value later in-place operations do not change."""
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


def _check_parts(module, layers):
    """Raise an error if an untraced network does not have some modules."""
    known = _names_of_definition(module)
    for layer in layers:
        if layer not in (PENULTIMATE, *known):
            raise unknown_layer(layer, [*block_names(module, known, None), *known])


def _kept(output, layer):
    """Return a copy of an output, which in-place operations may change."""
    return check_tensor(output, layer).clone()
