"""Learning-rate schedules by name.

A schedule is a function of the progress of training, from 0 to 1, and gives the
factor by which `lr` is multiplied.
"""

from math import cos, pi

from torch.optim.lr_scheduler import ReduceLROnPlateau

from .monitors import Monitor

WARM_UP = 0.25
PLATEAU_FACTOR = 0.2
PLATEAU_PATIENCE = 3


def constant(progress):
    """Keep the learning rate."""
    return 1.0


def cosine(progress):
    """Fall from 1 to 0 along half a cosine (Loshchilov & Hutter 2017)."""
    return (1 + cos(pi * progress)) / 2


def linear(progress):
    """Fall from 1 to 0 along a line."""
    return 1 - progress


def step(progress):
    """Fall to a tenth at a half and again at three quarters (He et al. 2016)."""
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def one_cycle(progress):
    """Rise for a quarter of the time, then fall to 0, by cosines (Smith 2018)."""
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
    """Divide the learning rate by 5 when progress stagnates for three epochs.

    Progress is the validation score if there is one, and the training loss
    otherwise.

    Parameters
    ----------
    tol : float
        Smallest change of the best value that counts as progress.
    """

    def __init__(self, tol):
        self.tol = tol

    def begin(self, net):
        """Follow the optimiser of `net`."""
        self.scheduler = ReduceLROnPlateau(
            net.optimizer_,
            factor=PLATEAU_FACTOR,
            patience=PLATEAU_PATIENCE - 1,
            threshold=self.tol,
            threshold_mode="abs",
        )

    def end_epoch(self, net):
        """Lower the learning rate if it is time; never stop."""
        row = net.history[-1]
        self.scheduler.step(
            -row["valid_score"] if "valid_score" in row else row["train_loss"]
        )
        return False
