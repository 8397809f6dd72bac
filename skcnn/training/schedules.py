"""Schedules of the learning rate.

A schedule is a function from the progress of training, from 0 to 1, to a factor of
`lr`.
"""

from math import cos, pi

from torch.optim.lr_scheduler import ReduceLROnPlateau

from .monitors import Monitor

WARM_UP = 0.25
PLATEAU_FACTOR = 0.2
PLATEAU_PATIENCE = 3


def constant(progress):
    """Return a factor of 1."""
    return 1.0


def cosine(progress):
    """Lower the factor from 1 to 0 along half a cosine (Loshchilov & Hutter 2017)."""
    return (1 + cos(pi * progress)) / 2


def linear(progress):
    """Lower the factor from 1 to 0 along a line."""
    return 1 - progress


def step(progress):
    """Divide the factor by 10 at a half and at three quarters (He et al. 2016)."""
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def one_cycle(progress):
    """Raise the factor for a quarter of the time, then lower it to 0 (Smith 2018)."""
    if progress < WARM_UP:
        return 0.04 + 0.96 * (1 - cos(pi * progress / WARM_UP)) / 2
    return cosine((progress - WARM_UP) / (1 - WARM_UP))


SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "one_cycle": one_cycle,
    "plateau": constant,  # within an epoch; `Plateau` lowers it between epochs
    "step": step,
}


class Plateau(Monitor):
    """Monitor that divides the learning rate by 5 after three epochs without progress.

    Progress is measured by the validation score or, without validation data, by the
    training loss.

    Parameters
    ----------
    tol : float
        Minimum change of the best value that counts as progress.
    """

    def __init__(self, tol):
        self.tol = tol

    def begin(self, net):
        """Set up the schedule for the optimiser of `net`."""
        self.scheduler = ReduceLROnPlateau(
            net.optimizer_,
            factor=PLATEAU_FACTOR,
            patience=PLATEAU_PATIENCE - 1,
            threshold=self.tol,
            threshold_mode="abs",
        )

    def end_epoch(self, net):
        """Lower the learning rate if there is no progress; never stop."""
        row = net.history[-1]
        self.scheduler.step(
            -row["valid_score"] if "valid_score" in row else row["train_loss"]
        )
        return False
