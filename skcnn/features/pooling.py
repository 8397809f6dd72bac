"""Pooling of feature maps over positions."""

GEM_POWER = 3.0
GEM_FLOOR = 1e-6


def avg(maps):
    """Return the mean over positions, ``(n, c, positions)`` to ``(n, c)``."""
    return maps.mean(2)


def max_(maps):
    """Return the maximum over positions."""
    return maps.amax(2)


def avgmax(maps):
    """Return the mean of the average and the maximum over positions."""
    return (avg(maps) + max_(maps)) / 2


def gem(maps):
    """Return the generalised mean of power 3 over positions.

    Values below 1e-6 count as 1e-6 (Radenović, Tolias & Chum 2019, "Fine-tuning
    CNN image retrieval with no human annotation", arXiv 1711.02512).
    """
    return maps.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean(2).pow(1 / GEM_POWER)


POOLINGS = {"avg": avg, "max": max_, "avgmax": avgmax, "gem": gem}


def pool(outputs, pooling, n_axes, channel_axes=None):
    """Pool the output of a layer to one row of features for each sample.

    Parameters
    ----------
    outputs : torch.Tensor of shape (n, c, *spatial_shape) or (n, c) or (n,)
        Output of a layer. With one axis fewer than feature maps have,
        ``(n, tokens, c)``, it holds the tokens of a transformer.

    pooling : {"avg", "max", "avgmax", "gem"} or None
        Pooling over positions or tokens. None keeps all values, flattened.

    n_axes : int
        Number of spatial axes of the network's input.

    channel_axes : tuple of int or None, default=None
        Axes of the channels; all others are positions. None is the second axis of
        feature maps and the last axis of tokens.

    Returns
    -------
    torch.Tensor of shape (n, n_features)
        Features, in at least single precision.

    Raises
    ------
    ValueError
        If `pooling` is not known.

    Examples
    --------
    >>> import torch
    >>> from skcnn.features import pool
    >>> maps = torch.arange(8.0).reshape(1, 2, 2, 2)
    >>> pool(maps, "max", n_axes=2)
    tensor([[3., 7.]])
    >>> pool(maps, None, n_axes=2).shape
    torch.Size([1, 8])
    """
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(
            f"pooling={pooling!r} is not known. Choose one of {sorted(POOLINGS)}, or "
            "None to keep all positions."
        )
    if not outputs.is_floating_point() or outputs.itemsize < 4:
        outputs = outputs.float()
    if outputs.ndim == 1:
        return outputs[:, None]
    if outputs.ndim == 2 or pooling is None:
        return outputs.flatten(1)
    if channel_axes is None:
        channel_axes = (1,) if outputs.ndim >= 2 + n_axes else (-1,)
    n_channel_axes = len(channel_axes)
    outputs = outputs.movedim(channel_axes, tuple(range(1, 1 + n_channel_axes)))
    return POOLINGS[pooling](outputs.flatten(1, n_channel_axes).flatten(2))
