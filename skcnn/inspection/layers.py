"""Layers of a network by name: those with feature maps, parts and convolutions."""

import numpy as np
from torch.nn.modules.conv import _ConvNd

from ..backbones import layer_table
from ..backbones.running_order import close_names

MAX_BLOCKS = 6


def layers_with_maps(found):
    """Return the layers that return feature maps.

    Parameters
    ----------
    found : FoundNetwork
        Estimator of the network.

    Returns
    -------
    list of skcnn.backbones.LayerInfo
        Blocks first, then all layers, both in running order.
    """
    n_axes = len(found.input_shape) - 1
    table = layer_table(found.module, found.input_shape)
    return [row for row in table if len(row.output_shape or ()) == 1 + n_axes]


def choose_layers(found, layers=None):
    """Return what is known of chosen layers.

    Parameters
    ----------
    found : FoundNetwork
        Estimator of the network.

    layers : str, list of str or None, default=None
        Names of layers that return feature maps. None stands for the blocks, up to six
        of them from the first to the last.

    Returns
    -------
    list of skcnn.backbones.LayerInfo
        The layers in the order of `layers`.

    Raises
    ------
    ValueError
        If there is no such layer, or it returns no feature maps.
    """
    known = {row.name: row for row in layers_with_maps(found)}
    if layers is None:
        return _spread(known.values(), found.input_shape)
    layers = [layers] if isinstance(layers, str) else list(layers)
    for layer in layers:
        if layer not in known:
            raise ValueError(
                f"layer={layer!r} is not one of the network's {len(known)} layers "
                f"with feature maps. Close ones are {close_names(str(layer), known)}."
            )
    return [known[layer] for layer in layers]


def _spread(rows, input_shape):
    """Return the blocks among layers, up to six of them."""
    blocks = []
    for row in rows:
        is_input = row.output_shape == input_shape and not row.n_parameters
        if is_input or any(row.name.startswith(f"{one.name}.") for one in blocks):
            break
        blocks.append(row)
    chosen = np.linspace(0, len(blocks) - 1, min(len(blocks), MAX_BLOCKS))
    return [blocks[index] for index in np.unique(chosen.round().astype(int))]


def find_part(module, name):
    """Return the part of a network that has a name.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    name : str
        Name of one of its ``named_modules()``.

    Returns
    -------
    torch.nn.Module
        The part.

    Raises
    ------
    ValueError
        If there is no such part; the message names those that are close.
    """
    parts = dict(module.named_modules())
    if name and name in parts:
        return parts[name]
    raise ValueError(
        f"layer={name!r} is no part of the network. Close ones are "
        f"{close_names(str(name), [part for part in parts if part])}; "
        "module_.named_modules() lists all."
    )


def is_convolution(part):
    """Return whether a part of a network is a convolution with filters."""
    return isinstance(part, _ConvNd)
