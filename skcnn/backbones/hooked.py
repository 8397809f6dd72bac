"""Networks that run as they are, watched by hooks."""

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
        return tuple(check_tensor(outputs[layer], layer) for layer in self.layers)

    def _watch(self, layer, outputs):
        """Return hooks that keep what a layer returns before that is changed."""

        def keep(value):
            is_tensor = isinstance(value, torch.Tensor)
            outputs[layer] = value.clone() if is_tensor else value

        def keep_output(part, args, output):
            holds_others = next(part.children(), None) is not None
            if layer not in outputs or holds_others:
                keep(output)

        def keep_input(part, args, kwargs):
            for value in [*args, *kwargs.values()][:1]:
                keep(value)

        if layer != PENULTIMATE:
            part = self.network.get_submodule(layer)
            return [part.register_forward_hook(keep_output)]
        return [
            part.register_forward_pre_hook(keep_input, with_kwargs=True)
            for part in weighted_parts(self.network).values()
        ]

    def _find_channel_axes(self, layer):
        """Return which axes of a layer's output are channels."""
        if layer == PENULTIMATE:  # most networks run their parts in their order
            last = next(reversed(weighted_parts(self.network)))
            return channel_axes_of_part(self.network, last, of_input=True)
        return channel_axes_of_part(self.network, layer)


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
