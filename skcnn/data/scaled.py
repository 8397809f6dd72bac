"""Images that are scaled before their batches come."""

from math import prod

from .images import Images
from .memory_formats import MEMORY_FORMATS
from .scaling import ChannelScaler

SMALL = 2**24  # size in bytes of scaled images that may be kept beside the array


class ScaledImages(Images):
    """Images on the CPU that wait for their batches as the network takes them.

    To scale a batch of small images costs more than it takes to put it together.

    Parameters
    ----------
    images : Images
        The images, see `is_worthwhile`.
    """

    def __init__(self, images):
        vars(self).update(vars(images))
        self.source = _channels_last(images.take(slice(None)))

    @staticmethod
    def is_worthwhile(images):
        """Return whether images are few and small, and each pixel is scaled alone.

        Parameters
        ----------
        images : Images
            Those of a whole array.
        """
        n_values = prod(images.source.shape)
        return (
            images.device.type == "cpu"
            and isinstance(images.scaler, ChannelScaler)
            and 0 < n_values * images.dtype.itemsize <= SMALL
        )

    def _read(self, index):
        batch = super()._read(index)
        is_view = isinstance(index, slice) and self.rows is None
        return batch.clone() if is_view else batch

    def _scaled(self, batch):
        return batch.movedim(-1, 1) if batch.ndim in MEMORY_FORMATS else batch


def _channels_last(batch):
    return batch.movedim(1, -1) if batch.ndim in MEMORY_FORMATS else batch
