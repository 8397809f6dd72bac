"""Mixup of samples and their targets."""

from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import torch
from sklearn.utils import check_scalar

from .strengths import for_samples


class Mix(NamedTuple):
    """Pairs of mixed samples of a batch, and their shares.

    Parameters
    ----------
    partner : torch.Tensor of shape (n,)
        Position of the sample that each is mixed with.

    share : torch.Tensor of shape (n,)
        Share of the sample itself, in [0, 1]; its partner has the rest.
    """

    partner: torch.Tensor
    share: torch.Tensor


@dataclass(frozen=True)
class Mixup:
    """Random mixture of pairs of samples and of their targets [1]_.

    The share of each sample is drawn from the beta distribution with both parameters
    equal to `alpha`.

    Parameters
    ----------
    alpha : float, default=0.2
        Parameter of the beta distribution, at least 0.01. Near 0, samples hardly mix;
        at 1, all shares are equally probable.

    See Also
    --------
    mix_targets : Targets of a mixed batch.

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
        check_scalar(self.alpha, "alpha", Real, min_val=0.01)

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
    """Return the targets of a mixed batch.

    For classes, the loss of a mixed sample is the loss of its own class times its share
    plus the loss of its partner's class times the rest. Values are mixed directly.

    Parameters
    ----------
    y : torch.Tensor or tuple
        Class codes of shape (n,), or values of a floating-point dtype and of shape
        (n,) or (n, n_outputs); or ``(targets, weights)``.

    mix : Mix, BoxMapping or None
        Pairs and shares; the mapping of the boxes in y; or None if the batch was not
        mixed.

    Returns
    -------
    torch.Tensor or tuple or list
        `y` itself if nothing was mixed, ``(targets, weights)`` for values, and a list
        of two such pairs for class codes. The loss is the sum over the pairs of the
        mean of the weighted losses.
    """
    if mix is None:
        return y
    if not isinstance(mix, Mix):
        return mix(y)
    y, weights = y if isinstance(y, tuple) else (y, torch.ones_like(mix.share))
    own, other = mix.share * weights, (1 - mix.share) * weights[mix.partner]
    if not y.is_floating_point():
        return [(y, own), (y[mix.partner], other)]
    total = own + other
    # both weights may underflow to 0
    share = for_samples(torch.where(total > 0, own / total, mix.share), y)
    return torch.lerp(y[mix.partner], y, share), total
