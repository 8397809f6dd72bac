"""Mixing of samples, and of their targets with them."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import torch

from .draws import for_samples
from .parameters import check_number


class Mix(NamedTuple):
    """Which samples of a batch are mixed, and in which shares.

    Parameters
    ----------
    partner : torch.Tensor of shape (n,)
        Position of the other sample of each.

    share : torch.Tensor of shape (n,)
        Share of the sample itself, in [0, 1]; its partner has the rest.
    """

    partner: torch.Tensor
    share: torch.Tensor


@dataclass(frozen=True)
class Mixup:
    """Mix each sample with another one, and the targets alike [1]_.

    The share of a sample comes from the beta distribution with both parameters
    `alpha`, for each sample by itself.

    Parameters
    ----------
    alpha : float, default=0.2
        Near 0, samples hardly mix; at 1, all shares are equally probable.

    See Also
    --------
    mix_targets : The targets of a mixed batch.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       empirical risk minimization", ICLR 2018, arXiv 1710.09412.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Mixup, mix_targets
    >>> batch, mix = Mixup()(torch.randn(4, 3, 8, 8), torch.Generator())
    >>> batch.shape
    torch.Size([4, 3, 8, 8])
    >>> [(own, _), (other, _)] = mix_targets(torch.tensor([0, 1, 2, 3]), mix)
    >>> own, torch.equal(other, mix.partner)
    (tensor([0, 1, 2, 3]), True)
    """

    alpha: float = 0.2

    n_axes = (1, 2, 3)

    def __post_init__(self):
        check_number(self, "alpha", 0.01, inf)

    def __call__(self, batch, generator):
        """Return the mixed batch and its `Mix`."""
        share = self._shares(batch, generator)
        partner = torch.randperm(len(batch), generator=generator, device=batch.device)
        mixed = torch.lerp(batch[partner], batch, for_samples(share, batch))
        return mixed, Mix(partner, share)

    def _shares(self, batch, generator):
        """Draw from the beta distribution; torch's own class takes no generator."""
        alphas = torch.full(
            (len(batch), 2),
            float(self.alpha),
            dtype=torch.float64,
            device=batch.device,
        )
        return torch._sample_dirichlet(alphas, generator)[:, 0].to(batch.dtype)


def mix_targets(y, mix):
    """Return the targets of a batch that was mixed.

    The loss of a mixed sample is that of its own class times its share, plus that
    of its partner's class times the rest. Values are mixed themselves.

    Parameters
    ----------
    y : torch.Tensor or tuple
        Class codes of shape (n,), or values of shape (n,) or (n, n_outputs), of
        a floating-point dtype; or ``(targets, weights)``.

    mix : Mix or None
        None leaves `y` as it is.

    Returns
    -------
    torch.Tensor or tuple or list
        `y` itself where nothing was mixed; of values ``(targets, weights)``; of
        class codes a list of two such pairs. The loss is the sum over the pairs
        of the mean of the weighted losses.
    """
    if mix is None:
        return y
    y, weights = y if isinstance(y, tuple) else (y, torch.ones_like(mix.share))
    own, other = mix.share * weights, (1 - mix.share) * weights[mix.partner]
    if not y.is_floating_point():
        return [(y, own), (y[mix.partner], other)]
    total = own + other
    # both weights are 0 where they are too small for their precision
    share = for_samples(torch.where(total > 0, own / total, mix.share), y)
    return torch.lerp(y[mix.partner], y, share), total
