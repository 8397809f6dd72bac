"""Which axes of what a layer returns are its channels, and not positions.

Most networks have channels first. Where axes are moved or merged, a dry run of the
network at two sizes tells: positions are the axes whose lengths follow the size. Of
networks that take one size alone, the operations tell some of it.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from .dry_run import find_shapes

FIRST, LAST = (1,), (-1,)
# What has channels first in its maps, and what leaves nothing to tell by.
CHANNELS_FIRST = (_ConvNd, _BatchNorm, nn.GroupNorm, _MaxPoolNd, _AvgPoolNd)
CHANNELS_FIRST += (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
# What moves or merges axes, by the names of functions, methods and layers.
MOVES = {"view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten"}
MOVES |= {"transpose", "permute", "movedim", "swapaxes"}
MOVES |= {"Flatten", "Unflatten", "Permute"}
KNOWN_LIBRARIES = {"torch", "_operator", "builtins", "math"}


def find_channel_axes(ends, module, input_shape=None):
    """Return which axes are channels in what some operations return.

    Parameters
    ----------
    ends : sequence of torch.fx.Node
        Operations of one graph.

    module : torch.nn.Module
        The network that the graph is of.

    input_shape : tuple of int or None, default=None
        ``(n_channels, *spatial_shape)`` of a sample; without it, nothing is run.

    Returns
    -------
    list of tuple of int or None
        One for each operation. None stands for what is usual: the second axis of
        maps, and the last of tokens.
    """
    modules = dict(module.named_modules())
    graph = ends[0].graph
    told, moved = {}, {}
    for node in graph.nodes:
        told[node] = _axes_of_node(node, modules, told)
        inputs = any(moved[n] for n in node.all_input_nodes)
        moved[node] = inputs or _moves_axes(node, modules)
    axes = {node: told[node] or _usual_axes(module) for node in ends}
    asked = [n for n in ends if moved[n] and not _gives_rows(n, modules)]
    if asked and input_shape is not None:
        axes |= _measure(asked, graph, module, input_shape)
    return [axes[node] for node in ends]


def channel_axes_of_part(module, name, of_input=False):
    """Return which axes are channels in what a part of a network returns.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    name : str
        Of the part.

    of_input : bool, default=False
        Whether it is what the part receives that is asked for.

    Returns
    -------
    tuple of int or None
        As of `find_channel_axes`. It tells less, as nothing is run.
    """
    part = module.get_submodule(name)
    if of_input:
        return FIRST if isinstance(part, CHANNELS_FIRST) else LAST
    while isinstance(part, nn.Sequential) and len(part):
        name, part = f"{name}.{len(part) - 1}".lstrip("."), part[-1]
    parent, _, index = name.rpartition(".")
    if _is_elementwise(part) and index.isdigit() and int(index) > 0:
        before = f"{parent}.{int(index) - 1}".lstrip(".")
        if isinstance(module.get_submodule(parent), nn.Sequential):
            return channel_axes_of_part(module, before)
    owners = [name.rsplit(".", n)[0] for n in range(name.count(".") + 1)]
    usual = (_usual_axes(module.get_submodule(owner)) for owner in [*owners, ""])
    return _axes_of_layer(part) or next(filter(None, usual), None)


def _usual_axes(module):
    """Return which axes are channels in the maps of a network, None for the second."""
    is_swin = type(module).__name__ == "SwinTransformer"
    has_last = is_swin or getattr(module, "output_fmt", "NCHW") == "NHWC"
    return LAST if has_last else None


def _measure(nodes, graph, module, input_shape):
    """Return the axes that no size of the input changes, of those that have some."""
    n_channels, *spatial_shape = input_shape
    doubled = (n_channels, *(2 * length for length in spatial_shape))
    small, large = (
        find_shapes(module, graph, shape) for shape in (tuple(input_shape), doubled)
    )
    axes = {}
    for node in nodes:
        one, other = small.get(node), large.get(node)
        if one and other and len(one) == len(other) > 2:
            same = tuple(i for i in range(1, len(one)) if one[i] == other[i])
            if 0 < len(same) < len(one) - 1:
                axes[node] = same
    return axes


def _moves_axes(node, modules):
    """Return whether an operation may move or merge axes."""
    if node.op == "call_module":
        return type(modules[node.target]).__name__ in MOVES
    if node.op == "call_method":
        return node.target in MOVES
    if node.op != "call_function":
        return False
    library = (getattr(node.target, "__module__", None) or "torch").partition(".")[0]
    return library not in KNOWN_LIBRARIES or node.target.__name__ in MOVES


def _gives_rows(node, modules):
    """Return whether an operation leaves one axis besides that of samples."""
    if node.op == "call_module":
        layer = modules[node.target]
        is_flat = isinstance(layer, nn.Flatten)
        return is_flat and (layer.start_dim, layer.end_dim) == (1, -1)
    return _name(node) == "flatten" and node.args[1:] == (1,) and not node.kwargs


def _name(node):
    return getattr(node.target, "__name__", node.target)


def _axes_of_node(node, modules, told):
    """Return which axes are channels in what an operation returns, None if unknown.

    Parameters
    ----------
    node : torch.fx.Node
        The operation.

    modules : dict
        The parts of the network by name.

    told : dict
        The answers for the operations before it.
    """
    if node.op == "placeholder":
        return FIRST
    if node.op == "call_module" and (axes := _axes_of_layer(modules[node.target])):
        return axes
    if _name(node) == "permute":
        return _axes_of_order(*node.args[1:] or node.kwargs.get("dims", ()))
    if _name(node) == "layer_norm" and len(node.args[1]) == 1:
        return LAST
    if _moves_axes(node, modules) and _name(node) != "flatten":
        return None
    return next((told[n] for n in node.all_input_nodes if told[n]), None)


def _axes_of_layer(layer):
    """Return which axes are channels in what a layer returns, None if unknown."""
    if isinstance(layer, CHANNELS_FIRST):
        return FIRST
    is_norm = type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1
    if is_norm or isinstance(layer, nn.Linear):
        return LAST
    return _axes_of_order(layer.dims) if type(layer).__name__ == "Permute" else None


def _is_elementwise(layer):
    """Return whether a layer leaves axes as they are."""
    kind = type(layer).__module__.rpartition(".")[2]
    return (
        kind in ("activation", "dropout") and type(layer) is not nn.MultiheadAttention
    )


def _axes_of_order(*order):
    """Return which axes are channels where they were second or last, and are moved."""
    order = list(order[0] if isinstance(order[0], (tuple, list)) else order)
    axes = list(range(len(order)))
    if order == [0, *axes[2:], 1]:
        return LAST
    return FIRST if order == [0, *axes[-1:], *axes[1:-1]] else None
