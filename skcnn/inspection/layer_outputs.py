"""Feature maps of chosen layers, and the images as the network sees them."""

import numpy as np
import torch

from ..backbones import cut_network

N_LAYERS = 4


def default_layers(found, n_layers=N_LAYERS):
    """Return the last layer of each size of feature maps, from fine to coarse.

    Parameters
    ----------
    found : FoundNetwork
        Network.

    n_layers : int, default=4
        Maximum number of layers.

    Returns
    -------
    list of str
        Names of layers; empty if no layer has maps of several positions.
    """
    deepest = {}
    for row in found.layers_with_maps:
        size = row.output_shape[1:]
        if size not in deepest or _depth(row) >= _depth(deepest[size]):
            deepest[size] = row
    rows = [row for size, row in deepest.items() if max(size) > 1 and _depth(row) > 1]
    rows.sort(key=lambda row: np.prod(row.output_shape[1:]), reverse=True)
    at = np.unique(np.linspace(0, len(rows) - 1, n_layers).round().astype(int))
    return [rows[position].name for position in at] if rows else []


def _depth(row):
    """Return the number of pixels in the receptive field of a layer."""
    return np.prod(row.receptive_field or (np.inf,))


def cut_at(found, layers):
    """Cut the network at layers that return feature maps.

    Parameters
    ----------
    found : FoundNetwork
        Network.

    layers : list of str
        Names of layers, see `skcnn.backbones.layer_names`.

    Returns
    -------
    torch.nn.Module
        Network from a batch to a tuple of the layers' outputs.

    Raises
    ------
    ValueError
        If a layer does not exist or returns no feature maps.
    """
    network = cut_network(found.module, layers, found.input_shape)
    device = next(iter(found.module.parameters())).device
    with torch.inference_mode():
        outputs = network(torch.zeros(1, *found.input_shape, device=device))
    for layer, output in zip(layers, outputs, strict=True):
        if output.ndim != 1 + len(found.input_shape):
            raise ValueError(
                f"layer={layer!r} returns shape {tuple(output.shape[1:])}, expected "
                f"feature maps. Choose for example one of {default_layers(found)}."
            )
    return network


def seen_pixels(found, batch):
    """Undo the pixel scaling of a batch of the network.

    Parameters
    ----------
    found : FoundNetwork
        Network.

    batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
        Input of the network.

    Returns
    -------
    ndarray of shape (n, n_channels, *spatial_shape)
        Pixels in [0, 1] for published preprocessing, otherwise in the units of X.
    """
    mean, scale = found.scale
    shape = (-1, *(1 for _ in batch.shape[2:]))
    pixels = batch.cpu().double().numpy()
    pixels = pixels * np.reshape(scale, shape) + np.reshape(mean, shape)
    return pixels if found.preprocessing is None else pixels.clip(0, 1)
