"""Networks that run as they are, watched by hooks."""

from functools import partial
from threading import Lock

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from .channels import channel_axes_of_part
from .copies import copy_network

PENULTIMATE = "penultimate"
WITH_WEIGHTS = (_ConvNd, nn.Linear)


class HookedNetwork(nn.Module):
    """A network that runs as it is, and returns what some modules returned.

    Parameters
    ----------
    module : torch.nn.Module
        The network, of which a copy is kept.

    layers : sequence of str
        Names of modules, or "penultimate". Of a module that runs several times it
        is the first time that counts; of one that holds others, the last.
    """

    def __init__(self, module, layers):
        super().__init__()
        self.network = copy_network(module)
        self.layers = tuple(layers)
        self._named = [layer for layer in self.layers if layer != PENULTIMATE]
        is_penultimate = PENULTIMATE in self.layers
        self.weighted = weighted_parts(self.network) if is_penultimate else {}
        self.channel_axes = list(map(self._find_channel_axes, self.layers))
        self._lock = Lock()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._lock = Lock()

    def forward(self, x):
        """Map a batch to a tuple of outputs."""
        outputs = {}
        ending = Ending(self.network, self.weighted)
        with self._lock:  # hooks see the batches of all threads
            handles = [self._watch(layer, outputs) for layer in self._named]
            handles += ending.watch() if self.weighted else []
            try:
                out = self.network(x)
            finally:
                for handle in handles:
                    handle.remove()
        if self.weighted:
            self._keep_penultimate(ending, out, outputs)
        missing = [layer for layer in self.layers if layer not in outputs]
        if missing:
            raise ValueError(f"The network did not run its layer {missing[0]!r}.")
        return tuple(check_tensor(outputs[layer], layer) for layer in self.layers)

    def _watch(self, layer, outputs):
        """Return a hook that keeps what a layer returns before that is changed."""

        def keep_output(part, args, output):
            holds_others = next(part.children(), None) is not None
            if layer not in outputs or holds_others:
                outputs[layer] = _copied(output)

        return self.network.get_submodule(layer).register_forward_hook(keep_output)

    def _keep_penultimate(self, ending, out, outputs):
        """Keep what the last layer received, or `out` where there is no such layer."""
        axes = None
        if ending.is_bare(out):
            outputs[PENULTIMATE] = out
        elif ending.last is not None:
            outputs[PENULTIMATE] = ending.received
            axes = channel_axes_of_part(self.network, ending.last, of_input=True)
        self.channel_axes[self.layers.index(PENULTIMATE)] = axes

    def _find_channel_axes(self, layer):
        """Return which axes of a layer's output are channels."""
        if layer == PENULTIMATE:  # most networks run their parts in their order
            last = next(reversed(self.weighted))
            return channel_axes_of_part(self.network, last, of_input=True)
        return channel_axes_of_part(self.network, layer)


class Ending:
    """Watches how a network ends, while it runs.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    weighted : dict of str to torch.nn.Module
        Its parts with weights, one of which may be its last layer.

    Attributes
    ----------
    last : str or None
        The one that ran last.

    received : object
        What that one received.
    """

    def __init__(self, network, weighted):
        self.network = network
        self.weighted = weighted
        self.last = self.received = self._returned = self._passed_on = None

    def watch(self):
        """Return hooks that watch."""
        hooks = []
        for name, part in self.weighted.items():
            note = partial(self._note_input, name)
            hooks.append(part.register_forward_pre_hook(note, with_kwargs=True))
            hooks.append(part.register_forward_hook(self._note_output))
        for part in self.network.modules():
            if isinstance(part, nn.Identity):
                hooks.append(part.register_forward_hook(self._note_identity))
        return hooks

    def is_bare(self, out):
        """Return whether a network has nothing in the place of its last layer.

        Parameters
        ----------
        out : object
            What the network returned.

        Returns
        -------
        bool
            True for networks of timm without classes, and for those that end with an
            identity behind a layer without weights.
        """
        is_identity = out is not None and out is self._passed_on
        return has_no_classes(self.network) or is_identity

    def _note_input(self, name, part, args, kwargs):
        for value in [*args, *kwargs.values()][:1]:
            self.last, self.received = name, _copied(value)

    def _note_output(self, part, args, output):
        self._returned = output

    def _note_identity(self, part, args, output):
        if output is not self._returned:
            self._passed_on = output


def has_no_classes(network):
    """Return whether a network is one of timm that was built without classes.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    Returns
    -------
    bool
    """
    return getattr(network, "num_classes", None) == 0


def _copied(value):
    """Return a copy of a tensor, which operations in place may change."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def weighted_parts(module):
    """Return the convolutions, fully connected layers and their like in a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    dict of str to torch.nn.Module
        The parts by name; of what is in no library, those with a matrix of weights.

    Raises
    ------
    ValueError
        If there is none.
    """
    parts = dict(module.named_modules())
    weighted = {name: part for name, part in parts.items() if _has_weights(part)}
    if not weighted:
        raise no_penultimate([name for name in parts if name])
    return weighted


def _has_weights(part):
    """Return whether a part is a convolution, a fully connected layer or their like."""
    if isinstance(part, WITH_WEIGHTS) or hasattr(part, "in_features"):
        return True
    return any(weight.ndim > 1 for weight in part.parameters(recurse=False))


def no_penultimate(names):
    """Return an error about a network without weights.

    Parameters
    ----------
    names : list of str
        Of its layers.

    Returns
    -------
    ValueError
    """
    return ValueError(
        "layer='penultimate' is what the last convolution or fully connected "
        f"layer receives, and the network has none. Name one of {names}."
    )


def check_tensor(output, layer):
    """Return the output of a layer, if that is a tensor.

    Parameters
    ----------
    output : object
        What the layer returned.

    layer : str
        Its name, for the message.

    Returns
    -------
    torch.Tensor
        The output.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"layer={layer!r} returns {type(output).__name__}, expected a tensor. "
            "Choose a layer inside or before it."
        )
    return output
