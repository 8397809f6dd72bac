"""Last layer of a network, which a new head would replace.

Networks of timm declare it; those of torchvision have it as an attribute with a known
name. In any other network, it is the last part with weights that runs.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from ..runtime import is_of

PENULTIMATE = "penultimate"
SKIPPED = (nn.modules.dropout._DropoutNd, nn.Identity)  # no effect in evaluation
ATTRIBUTES = ("fc", "classifier", "head", "heads")  # of torchvision's networks


def find_head(network):
    """Return the names of the last layers of a network of timm or torchvision.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    Returns
    -------
    list of str or None
        Several names if the network has several classifiers; an empty list if it has an
        identity or no classes in place of its last layer. None for other networks,
        which have to be run, see `Ending`.
    """
    if has_no_classes(network):
        return []
    libraries = {name for name in ("timm", "torchvision") if _is_a(network, name)}
    if "timm" in libraries and hasattr(network, "get_classifier"):
        return _named(network, _classifiers(network))
    if "torchvision" in libraries:
        heads = [getattr(network, n) for n in ATTRIBUTES if hasattr(network, n)]
        if heads:
            parts = [part for part in heads[0].modules() if has_weights(part)]
            return _named(network, parts[-1:])
    return None


def has_no_classes(network):
    """Return whether a network of timm was built without classes."""
    return getattr(network, "num_classes", None) == 0


def has_weights(part):
    """Return whether a part is a convolution, fully connected or similar layer.

    Parameters
    ----------
    part : torch.nn.Module
        Part of a network.

    Returns
    -------
    bool
        True also for other layers with a matrix of weights, and for quantised layers.
    """
    if isinstance(part, (_ConvNd, nn.Linear)) or hasattr(part, "in_features"):
        return True
    return any(weight.ndim > 1 for weight in part.parameters(recurse=False))


def no_head(names):
    """Return the error for a network that has no layer with weights."""
    return ValueError(
        "The network has no convolution or fully connected layer, which is needed to "
        f"take features or to replace the head. Its layers are {names}."
    )


def joined(*received):
    """Combine the inputs of the last layers in one tensor.

    Parameters
    ----------
    *received : torch.Tensor
        Input of each last layer.

    Returns
    -------
    torch.Tensor
        Mean of the inputs, as in timm's distilled networks; their concatenation if
        their shapes differ.
    """
    if len(received) == 1:
        return received[0]
    if len({value.shape for value in received}) == 1:
        return torch.stack(received).mean(0)
    return torch.cat(received, dim=1)


class Ending:
    """Observer of the last layers of a network while it runs.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    Raises
    ------
    ValueError
        If no part of it has weights.
    """

    def __init__(self, network):
        self.network = network
        self.known = find_head(network)
        self.received = {}
        self._returned = self._passed_on = None
        self.watched = _with_weights(network) if self.known is None else self.known

    def watch(self):
        """Register hooks, and return their handles."""
        parts = {name: self.network.get_submodule(name) for name in self.watched}
        handles = [
            part.register_forward_pre_hook(
                partial(self._note_input, name), with_kwargs=True
            )
            for name, part in parts.items()
        ]
        if self.known is not None:
            return handles
        identities = [m for m in self.network.modules() if isinstance(m, nn.Identity)]
        handles += [p.register_forward_hook(self._note_output) for p in parts.values()]
        handles += [p.register_forward_hook(self._note_identity) for p in identities]
        return handles

    def head(self, out):
        """Return the names of the last layers after a run.

        Parameters
        ----------
        out : object
            Output of the network.

        Returns
        -------
        list of str
            Names; empty if no layer with weights ran, or if the network ended with an
            identity after a layer without weights.
        """
        is_bare = out is not None and out is self._passed_on
        return [] if is_bare else list(self.received)

    def penultimate(self, out):
        """Return the input of the last layers; without any, the output `out`."""
        names = self.head(out)
        return joined(*(self.received[name] for name in names)) if names else out

    def _note_input(self, name, part, args, kwargs):
        if self.known is None:
            self.received.clear()
        for value in [*args, *kwargs.values()][:1]:
            self.received[name] = copied(value)

    def _note_output(self, part, args, output):
        self._returned = output

    def _note_identity(self, part, args, output):
        if output is not self._returned:
            self._passed_on = output


def copied(value):
    """Return a copy of a tensor, which in-place operations may change."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def _with_weights(network):
    """Return the names of the parts with weights; raise an error if there are none."""
    parts = dict(network.named_modules())
    names = [name for name, part in parts.items() if has_weights(part)]
    if not names:
        raise no_head([name for name in parts if name])
    return names


def _is_a(network, library):
    """Return whether the class of a network is of a library, or inherits from one."""
    return any(is_of(kind, library) for kind in type(network).__mro__)


def _classifiers(network):
    """Return the classifiers of a network of timm, one or several."""
    found = network.get_classifier()
    found = list(found) if isinstance(found, (tuple, nn.ModuleList)) else [found]
    parts = [getattr(part, "fc", part) for part in found]  # some include pooling
    return [part for part in parts if any(map(has_weights, part.modules()))]


def _named(network, parts):
    names = {part: name for name, part in network.named_modules()}
    return [names[part] for part in parts]
