"""Muon, an optimiser for convolutional filters."""

from math import sqrt

import torch
from torch.optim.adamw import adamw

# Coefficients of the iterated odd polynomial, from Jordan (2024).
COEFFICIENTS = 3.4445, -4.7750, 2.0315
N_ITERATIONS = 5
RMS = 0.2  # of the values of an AdamW update


class Muon(torch.optim.Optimizer):
    """Optimiser with orthogonalised momentum for filters, and AdamW for the rest.

    The update of a convolution, a matrix with one row per filter, is replaced by the
    nearest matrix with orthogonal rows or columns, so that no direction dominates
    [1]_. It is scaled to the size of an AdamW update, so that both work with the same
    learning rate and weight decay [2]_. Networks often need fewer epochs with Muon.

    :class:`torch.optim.Muon` takes matrices only, and computes in bfloat16.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them. Parameters with three or more axes are filters.

    lr : float, default=0.003
        Learning rate.

    weight_decay : float, default=0.01
        Strength of weight decay: each step multiplies parameters by
        ``1 - lr * weight_decay``.

    momentum : float, default=0.9
        Momentum of the filters, in [0, 1).

    betas : tuple of float, default=(0.9, 0.999)
        Decay rates, in [0, 1), of the running averages in AdamW.

    eps : float, default=1e-8
        Term added to the denominator in AdamW for numerical stability.

    References
    ----------
    .. [1] K. Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024,
       kellerjordan.github.io/posts/muon.
    .. [2] J. Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, 2025.

    Examples
    --------
    >>> import torch
    >>> from skcnn.training import Muon
    >>> conv = torch.nn.Conv2d(1, 4, 3)
    >>> optimizer = Muon(conv.parameters(), lr=0.01)
    >>> conv(torch.ones(1, 1, 5, 5)).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params,
        lr=0.003,
        weight_decay=0.01,
        *,
        momentum=0.9,
        betas=(0.9, 0.999),
        eps=1e-8,
    ):
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "betas": betas,
            "eps": eps,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Update the parameters.

        Parameters
        ----------
        closure : callable or None, default=None
            Function that computes the loss and its gradients.

        Returns
        -------
        torch.Tensor or None
            The loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            self._update_filters([p for p in params if p.ndim > 2], group)
            self._update_others([p for p in params if p.ndim <= 2], group)
        return loss

    def _update_filters(self, filters, group):
        if not filters:
            return
        updates = []
        for weight in filters:
            state = self.state[weight]
            if not state:
                state["average"] = torch.zeros_like(weight)
            average = state["average"].lerp_(weight.grad, 1 - group["momentum"])
            updates.append(weight.grad.lerp(average, group["momentum"]))  # Nesterov
        for weight, update in zip(filters, map(orthogonalize, updates), strict=True):
            size = RMS * sqrt(max(len(weight), weight[0].numel()))
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update, alpha=-group["lr"] * size)

    def _update_others(self, params, group):
        if not params:
            return
        for param in params:
            state = self.state[param]
            if not state:
                state["step"] = torch.zeros((), device=param.device)
                state["average"] = torch.zeros_like(param)
                state["average_of_squares"] = torch.zeros_like(param)
        states = [self.state[param] for param in params]
        beta1, beta2 = group["betas"]
        adamw(
            params,
            [param.grad for param in params],
            [state["average"] for state in states],
            [state["average_of_squares"] for state in states],
            [],
            [state["step"] for state in states],
            fused=all(param.device.type in ("cpu", "cuda") for param in params),
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonalize(update):
    """Approximate the orthogonal matrix nearest to an update.

    Parameters
    ----------
    update : torch.Tensor of shape (n_filters, ...)
        Update, a matrix with one row per filter.

    Returns
    -------
    torch.Tensor of the same shape
        Matrix with singular values between 0.68 and 1.21, except for those that were
        less than a hundredth of the largest one.
    """
    a, b, c = COEFFICIENTS
    matrix = update.flatten(1)
    is_tall = len(matrix) > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / x.norm().clamp(min=torch.finfo(x.dtype).tiny)
    for _ in range(N_ITERATIONS):
        products = x @ x.T
        polynomial = torch.addmm(products, products, products, beta=b, alpha=c)
        x = torch.addmm(x, polynomial, x, beta=a)
    return (x.T if is_tall else x).reshape(update.shape)
