"""Networks traced with torch.fx: a graph in which each operation has a name.

Tracing runs a network on symbols, which code of unknown libraries may not support, and
its result has no hooks. Therefore, a network is traced only if all its parts are of
known libraries and have no hooks.
"""

import math
import re
from dataclasses import dataclass
from functools import cache
from itertools import count
from threading import Lock, get_ident

from torch import fx, nn

from ..runtime import is_of
from .copies import copy_sharing_weights

TRACED_LIBRARIES = ("torchvision", "timm", "skcnn", "torch.nn")
TRACING = Lock()


@dataclass(frozen=True)
class TracedNetwork:
    """Network and its operations.

    Parameters
    ----------
    module : torch.nn.Module
        Network that the graph refers to: a copy that shares the weights.

    graph : torch.fx.Graph
        Graph of the operations.

    nodes : dict of str to torch.fx.Node
        Operations by name. A part of the network has its own name; a function, the name
        of the part that calls it and its own. Repeated operations have the suffixes
        `_1`, `_2` and so on.
    """

    module: nn.Module
    graph: fx.Graph
    nodes: dict


def trace(module):
    """Return a network as a graph of operations.

    Parameters
    ----------
    module : torch.nn.Module
        Network in evaluation mode. It is not modified.

    Returns
    -------
    TracedNetwork or None
        Traced network; None if it cannot be traced.
    """
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
        module = copy_sharing_weights(module)  # some keep results as attributes
        with TRACING:
            graph = tracer.trace(module)
    except (TypeError, ValueError, RuntimeError, AttributeError, fx.proxy.TraceError):
        return None
    arguments = [node for node in graph.nodes if node.op == "placeholder"]
    if any(node.users for node in arguments[1:]):  # traced as given
        return None
    nodes = {name: node for node, name in tracer.node_to_qualname.items()}
    return TracedNetwork(module, graph, nodes)


def _is_plain(part):
    """Return whether a part is of a known library and has no hooks."""
    has_hooks = part._forward_hooks or part._forward_pre_hooks
    return is_of(type(part), *TRACED_LIBRARIES) and not has_hooks


@cache
def _tracer_class():
    """Return a tracer class that does not affect other threads or names of parts.

    During a trace, torch's tracer changes how all modules of the process are called.
    Torchvision's mistakes a number at the end of a name for its own suffix.
    """
    from torchvision.models.feature_extraction import NodePathTracer

    class Tracer(NodePathTracer):
        def trace(self, root, concrete_args=None):
            self.thread = get_ident()
            self.part_names = {name for name, _ in root.named_modules()}
            self.used_names = set()
            return super().trace(root, concrete_args)

        def call_module(self, m, forward, args, kwargs):
            if get_ident() != self.thread:
                return forward(*args, **kwargs)
            return super().call_module(m, forward, args, kwargs)

        def getattr(self, attr, attr_val, parameter_proxy_cache):
            if get_ident() != self.thread:
                return attr_val
            return super().getattr(attr, attr_val, parameter_proxy_cache)

        def _get_node_qualname(self, module_qualname, node):
            name = module_qualname
            if node.op != "call_module":
                own = re.sub(r"_\d+$", "", str(node))  # fx numbers them all together
                name = f"{name}.{own}" if name else own
            is_own = node.op == "call_module" and name not in self.used_names
            if self._is_taken(name) and not is_own:
                numbered = (f"{name}_{number}" for number in count(1))
                name = next(other for other in numbered if not self._is_taken(other))
            self.used_names.add(name)
            return name

        def _is_taken(self, name):
            return name in self.part_names or name in self.used_names

    return Tracer


def _untraceable_of_timm(module):
    """Return the modules and functions that timm declares to be leaves."""
    if not is_of(type(module), "timm"):
        return (), ()
    from timm.layers import get_notrace_functions, get_notrace_modules

    return tuple(get_notrace_modules()), tuple(get_notrace_functions())
