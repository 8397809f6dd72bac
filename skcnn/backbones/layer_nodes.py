"""Layers by name: blocks, and operations of traced networks."""

from torch import fx, nn

from .head import PENULTIMATE, SKIPPED, find_head, has_weights, joined, no_head
from .running_order import close_names, find_blocks

# The names of the AlexNet paper's fully connected layers, after their ReLU.
ALIASES = {
    "AlexNet": {"fc6": "classifier.2", "fc7": "classifier.5"},
    "VGG": {"fc6": "classifier.1", "fc7": "classifier.4"},
}


def find_node(layer, traced):
    """Return the node that a name stands for, skipping dropout and identities."""
    nodes, modules = traced.nodes, dict(traced.module.named_modules())
    if layer == PENULTIMATE:
        return _penultimate_node(traced, modules)
    layer = ALIASES.get(type(traced.module).__name__, {}).get(layer, layer)
    found = inside(layer, nodes)
    if not found:
        blocks = block_names(traced.module, list(nodes), traced)
        raise unknown_layer(layer, [*blocks, *nodes])
    return _before(nodes[layer if layer in nodes else found[-1]], modules)


def canonical_name(node, layer, traced):
    """Return the name of a node, or `layer` if it has none of its own."""
    return next((name for name, own in traced.nodes.items() if own is node), layer)


def _penultimate_node(traced, modules):
    """Return the input of the last layer; without one, the output of the network."""
    graph, nodes = traced.graph, traced.nodes
    heads = find_head(traced.module)
    if heads is not None:
        heads = [head for head in heads if inside(head, nodes)]
    else:
        heads = _last_with_weights(graph, nodes, modules)
    received = [_input_of([nodes[n] for n in inside(head, nodes)]) for head in heads]
    received = list(dict.fromkeys(_before(node, modules) for node in received))
    if len(received) > 1:
        with graph.inserting_before(graph.output_node()):
            return graph.call_function(joined, tuple(received))
    return received[0] if received else graph.output_node().args[0]


def _last_with_weights(graph, nodes, modules):
    """Return a list of the last part with weights, empty if an identity replaces it."""

    def is_weighted(node):
        return node.op == "call_module" and has_weights(modules[node.target])

    names = [name for name, node in nodes.items() if is_weighted(node)]
    if not names:
        raise no_head(list(nodes))
    (end,) = graph.output_node().args
    is_bare = isinstance(end, fx.Node) and _before(end, modules, nn.Identity) is not end
    return [] if is_bare and not is_weighted(_before(end, modules)) else names[-1:]


def _input_of(nodes):
    """Return the first input of some operations that is not one of them."""
    return next(n for node in nodes for n in node.all_input_nodes if n not in nodes)


def _before(node, modules, skipped=SKIPPED):
    """Return the last operation up to `node` that is not of the skipped classes."""
    while node.op == "call_module" and isinstance(modules[node.target], skipped):
        node = node.all_input_nodes[0]
    return node


def inside(name, names):
    """Return the names of a part and of the parts inside it."""
    return [n for n in names if f"{n}.".startswith(f"{name}.")]


def block_names(module, names, traced):
    """Return the names of the blocks of a network, given the names of its layers."""
    positions = {}
    for name in names:
        path = name.split(".")
        first = 1 if traced else len(path)  # an untraced part that runs is named itself
        for n in range(first, len(path) + 1):
            positions.setdefault(".".join(path[:n]), len(positions))
    return find_blocks(module, positions)


def unknown_layer(layer, names):
    """Return the error for an unknown layer, with similar names."""
    names = list(dict.fromkeys(names))
    return ValueError(
        f"layer={layer!r} is not one of the network's {len(names)} layers. "
        f"Similar names are {close_names(layer, names)}; layer_names() lists all."
    )
