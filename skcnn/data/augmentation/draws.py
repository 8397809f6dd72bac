"""Random numbers for the samples of a batch, from one generator."""

import torch


def uniform(batch, generator, low, high, *shape):
    """Return numbers from `low` to `high`, ``(n, *shape)``, of the batch's dtype."""
    numbers = torch.rand(
        (len(batch), *shape),
        generator=generator,
        dtype=batch.dtype,
        device=batch.device,
    )
    return numbers.mul_(high - low).add_(low)


def normal(batch, generator, *shape):
    """Return standard normal numbers, ``(n, *shape)``, of the batch's dtype."""
    return torch.randn(
        (len(batch), *shape),
        generator=generator,
        dtype=batch.dtype,
        device=batch.device,
    )


def integers(batch, generator, low, high):
    """Return integers from `low` to `high`, both included, ``(n,)``."""
    return torch.randint(
        low, high + 1, (len(batch),), generator=generator, device=batch.device
    )


def for_samples(values, batch):
    """Return one value for each sample, ``(n,)``, to broadcast over `batch`."""
    return values.view(-1, *(1 for _ in batch.shape[1:]))
