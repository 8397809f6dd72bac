"""Networks run on shapes alone, without any numbers.

The shapes at two sizes of the input tell which axes of a layer's output are channels:
positions are the axes whose lengths follow the size.
"""

import contextlib
from functools import partial

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from .copies import copy_sharing_weights, weightless_copy
from .head import PENULTIMATE

N_SAMPLES = 3  # which hardly any other axis is as long as
FIRST, LAST = (1,), (-1,)


def run_dry(network, batch, note):
    """Run a network on shapes alone, and note what its layers return.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network, in evaluation mode.

    batch : torch.Tensor
        As of `blank_batch`.

    note : callable
        Called with the name of each layer and what it returned, in running order.

    Returns
    -------
    bool
        Whether the network ran to its end. It may need numbers, or another shape.
    """
    with torch.no_grad(), contextlib.suppress(Exception):  # whatever it may raise
        if isinstance(network, nn.Module):
            _run_hooked(weightless_copy(network), batch, note)
        else:
            _run_traced(network, batch, note)
        return True
    return False


def blank_batch(network, input_shape, device="meta"):
    """Return a batch of zeros that a network takes.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample.

    device : str or torch.device, default="meta"
        By default, the batch has a shape alone.

    Returns
    -------
    torch.Tensor of shape (N_SAMPLES, *input_shape)
        Of the dtype of its weights; of integers if it begins with an embedding.
    """
    module = _module_of(network)
    like = next(module.parameters(), torch.zeros(0))
    owners = (part for part in module.modules() if any(True for _ in _own(part)))
    takes_codes = isinstance(next(owners, None), nn.Embedding)
    dtype = torch.long if takes_codes else like.dtype
    return like.new_zeros(N_SAMPLES, *input_shape, dtype=dtype, device=device)


def _own(part):
    return part.parameters(recurse=False)


def find_shapes(network, input_shape):
    """Return the shapes of what the layers of a network return.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network, in evaluation mode. If it cannot be traced, nor be run without
        numbers, it is run on zeros.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample.

    Returns
    -------
    dict of str to tuple of int or None
        By name, in running order; None for what is no tensor. If the network cannot
        be run to its end, those of the layers before.
    """
    shapes = {}
    note = partial(_note_shape, shapes)
    ran = run_dry(network, blank_batch(network, input_shape), note)
    if not ran and isinstance(network, nn.Module):
        shapes.clear()
        copy = copy_sharing_weights(network)
        with torch.no_grad(), contextlib.suppress(Exception):
            _run_hooked(copy, blank_batch(network, input_shape, None), note)
    return shapes


def find_channel_axes(network, names, input_shape):
    """Return which axes are channels in what some layers return.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network, in evaluation mode.

    names : sequence of str
        Of layers.

    input_shape : tuple of int or None
        As of `find_shapes`; without it, nothing is run.

    Returns
    -------
    list of tuple of int or None
        What the kind of layer tells; else the axes that no size of the input changes,
        if it changes others; else what timm's `output_fmt` tells. None stands for what
        is usual: the second axis of maps, and the last of tokens.
    """
    module = _module_of(network)
    parts = dict(module.named_modules())
    told = [_axes_of_part(parts.get(name)) for name in names]
    small, large = {}, {}
    if input_shape is not None and not _are_told(network, names, told):
        batch = blank_batch(network, input_shape)
        run_dry(network, batch, partial(_note_shape, small))
    if any(len(small.get(name) or ()) > 2 for name in names):
        n_channels, *lengths = input_shape
        batch = blank_batch(network, (n_channels, *(2 * n for n in lengths)))
        run_dry(network, batch, partial(_note_shape, large))
    usual = LAST if getattr(module, "output_fmt", "NCHW") == "NHWC" else None
    return [
        axes or _unchanged(small.get(name) or (), large.get(name) or ()) or usual
        for name, axes in zip(names, told, strict=True)
    ]


def _are_told(network, names, told):
    """Return whether the kinds of layers tell all axes, of what runs as it is."""
    pairs = zip(names, told, strict=True)
    is_open = any(axes is None and name != PENULTIMATE for name, axes in pairs)
    return isinstance(network, nn.Module) and not is_open


def _module_of(network):
    return network if isinstance(network, nn.Module) else network.module


def _note_shape(shapes, name, value):
    shapes[name] = tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _run_hooked(module, batch, note):
    """Run a network, with hooks that note what its parts return."""

    def hook(part, args, output, name):
        note(name, output)

    for name, part in module.named_modules():
        if name:
            part.register_forward_hook(partial(hook, name=name))
    module(batch)


def _run_traced(traced, batch, note):
    """Run the operations of a traced network, and note what they return."""
    names = {node: name for name, node in traced.nodes.items()}

    class Interpreter(fx.Interpreter):
        def run_node(self, n):
            value = super().run_node(n)
            if n in names:
                note(names[n], value)
            return value

    network = weightless_copy(fx.GraphModule(traced.module, traced.graph))
    Interpreter(network, graph=traced.graph).run(batch)


def _unchanged(small, large):
    """Return the axes that are as long at another size, None if nothing is told."""
    if len(small) != len(large) or len(small) < 3:
        return None
    same = tuple(i for i in range(1, len(small)) if small[i] == large[i])
    return same if 0 < len(same) < len(small) - 1 else None


def _axes_of_part(part):
    """Return which axes are channels in what a part returns, None if it varies."""
    if isinstance(part, _ConvNd):
        return FIRST
    is_norm = type(part) is nn.LayerNorm and len(part.normalized_shape) == 1
    if is_norm or isinstance(part, nn.Linear):
        return LAST
    return None
