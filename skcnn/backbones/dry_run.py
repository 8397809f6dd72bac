"""Dry runs of networks, on shapes alone.

Runs at two input sizes show which axes of an output are channels: the lengths of the
other axes, the positions, change with the input size.
"""

import contextlib
from functools import partial

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from .copies import copy_sharing_weights, weightless_copy
from .head import PENULTIMATE

N_SAMPLES = 3  # a length that hardly any other axis has
FIRST, LAST = (1,), (-1,)


def run_dry(network, batch, note):
    """Run a network on shapes alone, and pass the outputs of its layers to `note`.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network, in evaluation mode.

    batch : torch.Tensor
        Batch, see `blank_batch`.

    note : callable
        Function that is called with name and output of each layer, in order of
        execution.

    Returns
    -------
    bool
        Whether the network ran to its end. It may need values, or another shape.
    """
    with torch.no_grad(), contextlib.suppress(Exception):  # it may raise anything
        if isinstance(network, nn.Module):
            _run_hooked(weightless_copy(network), batch, note)
        else:
            _run_traced(network, batch, note)
        return True
    return False


def blank_batch(network, input_shape, device="meta"):
    """Return a batch of zeros for a network.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample.

    device : str or torch.device, default="meta"
        Device of the batch. By default, the batch has a shape but no values.

    Returns
    -------
    torch.Tensor of shape (N_SAMPLES, *input_shape)
        Batch of the dtype of the weights; of integers if the network begins with an
        embedding.
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
    """Return the output shapes of the layers of a network.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        Network in evaluation mode. A module that cannot be run on shapes alone is run
        on zeros.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample.

    Returns
    -------
    dict of str to tuple of int or None
        Shapes by name, in order of execution; None for an output that is not a tensor.
        If the run fails, shapes of the layers before the failure.
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
    """Return the channel axes of the outputs of some layers.

    Parameters
    ----------
    network : TracedNetwork or torch.nn.Module
        The network, in evaluation mode.

    names : sequence of str
        Names of layers.

    input_shape : tuple of int or None
        Shape of a sample, see `find_shapes`. If None, nothing is run.

    Returns
    -------
    list of tuple of int or None
        Channel axes, by the type of the layer; otherwise, the axes whose length does
        not depend on the input size, if that of others does; otherwise, by timm's
        `output_fmt`. None is the second axis of feature maps and the last of tokens.
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
    """Return whether the types of layers tell all axes of an untraced network."""
    pairs = zip(names, told, strict=True)
    is_open = any(axes is None and name != PENULTIMATE for name, axes in pairs)
    return isinstance(network, nn.Module) and not is_open


def _module_of(network):
    return network if isinstance(network, nn.Module) else network.module


def _note_shape(shapes, name, value):
    shapes[name] = tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _run_hooked(module, batch, note):
    """Run a network with hooks that note the outputs of its parts."""

    def hook(part, args, output, name):
        note(name, output)

    for name, part in module.named_modules():
        if name:
            part.register_forward_hook(partial(hook, name=name))
    module(batch)


def _run_traced(traced, batch, note):
    """Run the operations of a traced network, and note their outputs."""
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
    """Return the axes of equal length in two shapes, or None if inconclusive."""
    if len(small) != len(large) or len(small) < 3:
        return None
    same = tuple(i for i in range(1, len(small)) if small[i] == large[i])
    return same if 0 < len(same) < len(small) - 1 else None


def _axes_of_part(part):
    """Return the channel axes of a part's output, or None if they vary."""
    if isinstance(part, _ConvNd):
        return FIRST
    is_norm = type(part) is nn.LayerNorm and len(part.normalized_shape) == 1
    if is_norm or isinstance(part, nn.Linear):
        return LAST
    return None
