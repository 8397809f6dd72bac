"""Feature maps: what the layers of a network make of an image."""

import numpy as np
import torch

from ..backbones import cut_network
from .networks import BATCH_SIZE


class LayerReader:
    """Reads the feature maps of some layers of a network.

    Parameters
    ----------
    found : FoundNetwork
        Estimator of the network.

    layers : list of str
        Names of layers that return feature maps.
    """

    def __init__(self, found, layers):
        self.found = found
        module = found.module
        self.network = cut_network(module, layers, found.input_shape)
        parameter = next(module.parameters(), torch.zeros(()))
        self.network.to(parameter.device, parameter.dtype)
        self.dtype = parameter.dtype
        self.device = parameter.device

    def batches(self, X, batch_size=BATCH_SIZE):
        """Yield what the network takes, and the feature maps of each layer.

        Parameters
        ----------
        X : array-like or sequence of image files
            Samples.

        batch_size : int, default=32
            Number of samples of a batch.

        Yields
        ------
        batch : torch.Tensor of shape (n, *input_shape)
            What the network takes.

        maps : list of ndarray of shape (n, n_channels, *positions)
            Feature maps, in float64, one array for each layer.
        """
        for batch in self.found.batches(X, batch_size):
            with torch.no_grad():
                outputs = self.network(batch.to(self.device, self.dtype))
            pairs = zip(outputs, self.network.channel_axes, strict=True)
            outputs = [output.movedim(*(axes or (1,)), 1) for output, axes in pairs]
            yield batch, [output.cpu().double().numpy() for output in outputs]


def choose_channels(maps, n_channels, channels=None):
    """Return the channels that are shown of feature maps.

    Parameters
    ----------
    maps : ndarray of shape (n_all, *positions)
        Feature maps of an image.

    n_channels : int
        Number of channels, if none are chosen.

    channels : array-like of int or None, default=None
        Chosen ones. None is those that vary most over the positions, in the order of
        the layer.

    Returns
    -------
    ndarray of shape (n_channels,), or less if there are fewer
        Numbers of the channels.

    Raises
    ------
    ValueError
        If a channel does not exist.
    """
    if channels is not None:
        return check_channel_numbers(channels, len(maps))
    deviation = maps.reshape(len(maps), -1).std(axis=1)
    return np.sort(np.argsort(-deviation, kind="stable")[:n_channels])


def check_channel_numbers(channels, n_channels):
    """Return numbers of channels as an array, if they exist.

    Parameters
    ----------
    channels : array-like of int
        Numbers of channels.

    n_channels : int
        Number of channels that there are.

    Returns
    -------
    ndarray of int
    """
    channels = np.atleast_1d(np.asarray(channels))
    is_known = (channels >= 0) & (channels < n_channels)
    if channels.dtype.kind not in "iu" or not is_known.all():
        raise ValueError(
            f"channels={channels.tolist()}, but the layer has channels 0 to "
            f"{n_channels - 1}."
        )
    return channels
