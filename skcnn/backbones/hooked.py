"""Networks whose layers are read by hooks."""

from threading import Lock

import torch
from torch import nn

from .copies import copy_network
from .head import PENULTIMATE, Ending, copied


class HookedNetwork(nn.Module):
    """Network that returns the outputs of some of its modules.

    Parameters
    ----------
    module : torch.nn.Module
        Network. It is copied.

    layers : sequence of str
        Names of modules, or "penultimate". If a module runs several times, its first
        output is returned, or its last if it contains other modules.
    """

    def __init__(self, module, layers):
        super().__init__()
        self.network = copy_network(module)
        self.layers = tuple(layers)
        if PENULTIMATE in self.layers:
            Ending(self.network)  # raises an error if there is none
        self._lock = Lock()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._lock = Lock()

    def forward(self, x):
        """Map a batch to a tuple of outputs."""
        outputs, ending = {}, None
        with self._lock:  # hooks see the batches of all threads
            handles = [self._watch(n, outputs) for n in self.layers if n != PENULTIMATE]
            if PENULTIMATE in self.layers:
                ending = Ending(self.network)
                handles += ending.watch()
            try:
                out = self.network(x)
            finally:
                for handle in handles:
                    handle.remove()
        if ending is not None:
            outputs[PENULTIMATE] = ending.penultimate(out)
        missing = [layer for layer in self.layers if layer not in outputs]
        if missing:
            raise ValueError(
                f"The network did not run its layer {missing[0]!r}. Choose another "
                "layer."
            )
        return tuple(check_tensor(outputs[layer], layer) for layer in self.layers)

    def _watch(self, layer, outputs):
        """Return the handle of a hook that copies the output of a layer."""

        def keep_output(part, args, output):
            holds_others = next(part.children(), None) is not None
            if layer not in outputs or holds_others:
                outputs[layer] = copied(output)

        return self.network.get_submodule(layer).register_forward_hook(keep_output)


def check_tensor(output, layer):
    """Return the output of a layer; raise an error if it is not a tensor.

    Parameters
    ----------
    output : object
        Output of the layer.

    layer : str
        Name of the layer, for the message.

    Returns
    -------
    torch.Tensor
        The output.

    Raises
    ------
    ValueError
        If the output is not a tensor.
    """
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"layer={layer!r} returns {type(output).__name__}, expected a tensor. "
            "Choose a layer inside or before it."
        )
    return output
