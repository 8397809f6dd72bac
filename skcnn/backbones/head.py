"""The last layer of a network, in whose place a new head would come.

Networks of timm tell theirs, those of torchvision have it as an attribute of a known
name; of any other it is the part with weights that runs last.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from ..runtime import is_of

PENULTIMATE = "penultimate"
SKIPPED = (nn.modules.dropout._DropoutNd, nn.Identity)  # change nothing in evaluation
ATTRIBUTES = ("fc", "classifier", "head", "heads")  # of torchvision's networks


def find_head(network):
    """Return the names of the last layers of a network of a library.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    Returns
    -------
    list of str or None
        Several if a network has several classifiers; none if it has an identity, or
        no classes, in the place of its last layer. None for networks of others, of
        which only a run tells, see `Ending`.
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
    """Return whether a network is one of timm that was built without classes."""
    return getattr(network, "num_classes", None) == 0


def has_weights(part):
    """Return whether a part is a convolution, a fully connected layer or their like.

    Parameters
    ----------
    part : torch.nn.Module
        The part of a network.

    Returns
    -------
    bool
        Also true of others with a matrix of weights, and of quantised layers.
    """
    if isinstance(part, (_ConvNd, nn.Linear)) or hasattr(part, "in_features"):
        return True
    return any(weight.ndim > 1 for weight in part.parameters(recurse=False))


def no_head(names):
    """Return the error that a network has no last layer with weights."""
    return ValueError(
        "The network has no convolution or fully connected layer, before which its "
        f"features could be taken or which a new head could replace. It has {names}."
    )


def joined(*received):
    """Return what the last layers received as one tensor.

    Parameters
    ----------
    *received : torch.Tensor
        One for each of them.

    Returns
    -------
    torch.Tensor
        Their mean, as in timm's distilled networks; side by side if their shapes
        differ.
    """
    if len(received) == 1:
        return received[0]
    if len({value.shape for value in received}) == 1:
        return torch.stack(received).mean(0)
    return torch.cat(received, dim=1)


class Ending:
    """Watches how a network ends, while it runs.

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
        """Return the handles of hooks that watch."""
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
            What the network returned.

        Returns
        -------
        list of str
            Empty if it did not run any, or ended with an identity in the place of
            one, behind a layer without weights.
        """
        is_bare = out is not None and out is self._passed_on
        return [] if is_bare else list(self.received)

    def penultimate(self, out):
        """Return what the last layers received; what the network returned without."""
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
    """Return a copy of a tensor, which operations in place may change."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def _with_weights(network):
    """Return the names of the parts with weights, or raise an error without any."""
    parts = dict(network.named_modules())
    names = [name for name, part in parts.items() if has_weights(part)]
    if not names:
        raise no_head([name for name in parts if name])
    return names


def _is_a(network, library):
    """Return whether the class of a network is of a library, or inherits from one."""
    return any(is_of(kind, library) for kind in type(network).__mro__)


def _classifiers(network):
    """Return the classifiers of a network of timm, of which there may be several."""
    found = network.get_classifier()
    found = list(found) if isinstance(found, (tuple, nn.ModuleList)) else [found]
    parts = [getattr(part, "fc", part) for part in found]  # some have their pooling
    return [part for part in parts if any(map(has_weights, part.modules()))]


def _named(network, parts):
    names = {part: name for name, part in network.named_modules()}
    return [names[part] for part in parts]
