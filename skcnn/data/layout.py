"""Layout of X: meaning of its axes."""

from dataclasses import dataclass
from numbers import Integral

CHANNEL_COUNTS = (1, 2, 3, 4)
# A sample of two axes may be a signal if one axis is this short and the other this much
# longer; otherwise it is an image.
MAX_SIGNAL_CHANNELS = 16
MIN_STEPS_PER_CHANNEL = 2


@dataclass(frozen=True)
class Layout:
    """Meaning of the axes of one sample.

    Parameters
    ----------
    sample_shape : tuple of int
        Shape of one sample in X.

    image_shape : tuple of int
        Shape of the sample as an image: ``sample_shape``, unless rows are reshaped.

    channel_axis : int or None
        Axis of `image_shape` that holds the channels, None if it has none.
    """

    sample_shape: tuple
    image_shape: tuple
    channel_axis: int | None

    @property
    def n_channels(self):
        """Number of channels."""
        return 1 if self.channel_axis is None else self.image_shape[self.channel_axis]

    @property
    def spatial_shape(self):
        """Lengths of the axes that are convolved over."""
        shape = list(self.image_shape)
        if self.channel_axis is not None:
            del shape[self.channel_axis]
        return tuple(shape)

    @property
    def input_shape(self):
        """Shape of the input of a network, ``(n_channels, *spatial_shape)``."""
        return (self.n_channels, *self.spatial_shape)

    def channels_first(self, batch):
        """View `batch`, ``(n, *sample_shape)``, as ``(n, *input_shape)``.

        Parameters
        ----------
        batch : torch.Tensor or ndarray
            Samples as they are in X.

        Returns
        -------
        torch.Tensor or ndarray
            View of `batch`, or a copy if its memory does not allow a view.
        """
        batch = batch.reshape(batch.shape[0], *self.image_shape)
        if self.channel_axis is None:
            return batch[:, None]
        axes = list(range(batch.ndim))
        axes.insert(1, axes.pop(self.channel_axis + 1))
        permute = getattr(batch, "permute", batch.transpose)
        return permute(*axes)


def find_layout(
    sample_shape, image_shape=None, channel_axis="auto", *, images_only=False
):
    """Find the layout of samples.

    Parameters
    ----------
    sample_shape : tuple of int
        Shape of one sample, without the sample axis.

    image_shape : tuple of int or None, default=None
        Shape of the images, if samples are flattened.

    channel_axis : int, None or "auto", default="auto"
        Axis of X that holds the channels, the sample axis being 0; None if there is
        none.

    images_only : bool, default=False
        Whether to read samples of two axes as grey images, never as signals with
        channels.

    Returns
    -------
    Layout
        The layout.

    Raises
    ------
    ValueError
        If the sizes do not fit, or the channel axis is ambiguous.

    Examples
    --------
    >>> from skcnn.data import find_layout
    >>> find_layout((32, 32, 3)).input_shape
    (3, 32, 32)
    >>> find_layout((64,), image_shape=(8, 8)).input_shape
    (1, 8, 8)
    >>> find_layout((6, 100), channel_axis=1).input_shape
    (6, 100)
    """
    sample_shape = tuple(sample_shape)
    shape = _image_shape(sample_shape, image_shape)
    if isinstance(channel_axis, str):
        axis = _guess_channel_axis(shape, images_only or image_shape is not None)
    elif channel_axis is None:
        axis = None
    else:
        axis = _check_channel_axis(shape, channel_axis)
    layout = Layout(sample_shape, shape, axis)
    if not 1 <= len(layout.spatial_shape) <= 3:
        raise ValueError(
            f"X has samples of shape {shape}, with {len(layout.spatial_shape)} spatial "
            f"axes for channel_axis={channel_axis!r}; expected 1 (signals), 2 (images) "
            "or 3 (volumes or clips)."
        )
    return layout


def _image_shape(sample_shape, image_shape):
    """Return the shape of a sample as an image."""
    if image_shape is None:
        return sample_shape
    image_shape = tuple(image_shape)
    size = 1
    for length in image_shape:
        if not isinstance(length, Integral) or length < 1:
            raise ValueError(
                f"image_shape={image_shape}, expected a tuple of positive integers."
            )
        size *= int(length)
    if len(sample_shape) == 1 and sample_shape[0] != size:
        raise ValueError(
            f"X has {sample_shape[0]} features, but image_shape={image_shape} "
            f"needs {size}."
        )
    if len(sample_shape) > 1 and sample_shape != image_shape:
        raise ValueError(
            f"X has images of shape {sample_shape}, but image_shape={image_shape}. "
            "Leave image_shape out."
        )
    return tuple(int(length) for length in image_shape)


def _check_channel_axis(shape, channel_axis):
    """Convert a channel axis of X to an axis of a sample."""
    n_axes = len(shape) + 1
    if not isinstance(channel_axis, Integral) or not -n_axes <= channel_axis < n_axes:
        raise ValueError(
            f"channel_axis={channel_axis!r} is not an axis of X, which has {n_axes} "
            "axes. Set channel_axis=-1 (channels last) or channel_axis=1 (channels "
            "first)."
        )
    axis = int(channel_axis) % n_axes
    if axis == 0:
        raise ValueError(
            f"channel_axis={channel_axis} is the sample axis of X. Set channel_axis=-1 "
            "(channels last) or channel_axis=1 (channels first)."
        )
    return axis - 1


def _guess_channel_axis(shape, images_only):
    """Return the channel axis of a sample, None if it has none."""
    if len(shape) == 1:
        return None
    if len(shape) == 2 and (images_only or not _may_be_signals(shape)):
        return None
    counts = CHANNEL_COUNTS if len(shape) > 2 else (1,)
    first, last = shape[0] in counts, shape[-1] in counts
    if first != last:
        return 0 if first else len(shape) - 1
    if set(shape) == {1}:
        return len(shape) - 1
    raise ValueError(
        f"X has samples of shape {shape}, whose channel axis is ambiguous. Set "
        f"{' or '.join(_readings(shape))}."
    )


def _may_be_signals(shape):
    """Return whether one of two axes may be channels, the other time."""
    n_channels, n_steps = sorted(shape)
    is_longer = n_steps >= MIN_STEPS_PER_CHANNEL * n_channels
    return n_channels == 1 or (n_channels <= MAX_SIGNAL_CHANNELS and is_longer)


def _readings(shape):
    """Return descriptions of the possible layouts, each with its `channel_axis`."""
    custom = ", as in sktime and aeon" if len(shape) == 2 else ""
    readings = [
        f"channel_axis=-1 (channels last: {shape[-1]} channels, "
        f"{_describe_axes(shape[:-1])})",
        f"channel_axis=1 (channels first{custom}: {shape[0]} channels, "
        f"{_describe_axes(shape[1:])})",
    ]
    if len(shape) <= 3:
        readings.append(f"channel_axis=None (grey, {_describe_axes(shape)})")
    return readings


def _describe_axes(spatial_shape):
    """Describe the spatial axes."""
    lengths = " x ".join(map(str, spatial_shape))
    return f"{lengths} steps" if len(spatial_shape) == 1 else lengths
