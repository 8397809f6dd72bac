"""Strengths of augmentations: validation and random draws."""

from numbers import Integral, Real

import torch
from sklearn.utils import check_scalar


def check_length(length, name):
    """Check a length: pixels, an int, or a fraction of each axis, a float in [0, 1]."""
    highest = None if isinstance(length, Integral) else 1
    check_scalar(length, name, Real, min_val=0, max_val=highest)


def check_range(limits, name, low, high):
    """Raise a ValueError unless limits are ``(lowest, highest)`` within bounds."""
    is_pair = isinstance(limits, (tuple, list)) and len(limits) == 2
    if not (is_pair and low <= limits[0] <= limits[1] <= high):
        raise ValueError(
            f"{name}={limits!r}, expected (lowest, highest) with {low} <= lowest <= "
            f"highest <= {high}."
        )


def in_pixels(length, spatial_shape):
    """Return a length in pixels for each axis; floats are fractions of the axis."""
    if isinstance(length, Integral):
        return [int(length) for _ in spatial_shape]
    return [round(float(length) * side) for side in spatial_shape]


def uniform(batch, generator, low, high, *shape):
    """Draw numbers from `low` to `high`, ``(n, *shape)``, of the dtype of the batch."""
    numbers = batch.new_empty(len(batch), *shape)
    return numbers.uniform_(low, high, generator=generator)


def normal(batch, generator, *shape):
    """Draw standard normal numbers, ``(n, *shape)``, of the dtype of the batch."""
    return batch.new_empty(len(batch), *shape).normal_(generator=generator)


def integers(batch, generator, low, high):
    """Draw integers from `low` to `high`, both included, ``(n,)``."""
    return torch.randint(
        low, high + 1, (len(batch),), generator=generator, device=batch.device
    )


def for_samples(values, batch):
    """Reshape one value per sample, ``(n,)``, to broadcast over the batch."""
    return values.view(-1, *(1 for _ in batch.shape[1:]))
