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

LAST = (-1,)
# What has channels first in its maps, and what leaves nothing to tell by.
CHANNELS_FIRST = (_ConvNd, _BatchNorm, nn.GroupNorm, _MaxPoolNd, _AvgPoolNd)
CHANNELS_FIRST += (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
RESHAPES = {"view", "reshape", "unsqueeze", "unflatten"}
# What moves or merges axes, by the names of functions, methods and layers.
MOVES = RESHAPES | {"flatten", "transpose", "permute", "movedim", "swapaxes", "squeeze"}
KNOWN_LIBRARIES = {"torch", "_operator", "builtins", "math"}
MOVES |= {"Flatten", "Unflatten", "Permute"}


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
    last, moved = {}, {}
    for node in graph.nodes:
        last[node] = _has_channels_last(node, modules, last)
        inputs = any(moved[n] for n in node.all_input_nodes)
        moved[node] = inputs or _moves_axes(node, modules)
    is_last = usual_channel_axes(module)
    axes = {
        n: is_last if last[n] is None else (LAST if last[n] else None) for n in ends
    }
    asked = [n for n in ends if moved[n] and not _gives_rows(n, modules)]
    if asked and input_shape is not None:
        axes |= _measure(asked, graph, module, input_shape)
    return [axes[node] for node in ends]


def usual_channel_axes(module):
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


def _has_channels_last(node, modules, known):
    """Return whether an operation's maps have channels last; None if it does not tell.

    Parameters
    ----------
    node : torch.fx.Node
        An operation.

    modules : dict
        The parts of the network by name.

    known : dict
        The answers for the nodes before it.
    """
    layer = modules.get(node.target) if node.op == "call_module" else None
    if node.op == "placeholder" or isinstance(layer, CHANNELS_FIRST):
        return False
    if isinstance(layer, nn.Linear):
        return True
    if _name(node) == "permute" or type(layer).__name__ == "Permute":
        order = node.args[1:] or (node.kwargs.get("dims", ()),)
        return _channels_are_last(getattr(layer, "dims", order))
    if _name(node) in RESHAPES:
        return None
    inputs = [known[n] for n in node.all_input_nodes if known[n] is not None]
    return inputs[0] if inputs else None


def _channels_are_last(order):
    """Return whether an order of axes takes the second one to the end, or back."""
    order = list(order[0] if isinstance(order[0], (tuple, list)) else order)
    axes = list(range(len(order)))
    if order == [0, *axes[2:], 1]:
        return True
    return False if order == [0, *axes[-1:], *axes[1:-1]] else None
