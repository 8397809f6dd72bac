"""Averages of the weights over the course of training."""

from copy import deepcopy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from ..data import Batches
from ..runtime import warn
from .batch_norm import renew_batch_norm
from .monitors import Monitor

SWA_START = 0.75
EMA_EPOCHS = 1.0


class WeightAveraging(Monitor):
    """Average the weights, and put the average in their place when it is wanted.

    Parameters
    ----------
    kind : {"swa", "ema"}
        "swa" is the mean of the weights at the end of each epoch of the last
        quarter [1]_; "ema" an exponential moving average over the steps [2]_,
        whose memory is one epoch.

    dataset : TrainingSet
        Where batch-norm statistics are taken from.

    epochs : int
        Number of epochs that are planned.

    is_watched : bool
        Whether somebody looks at the network between epochs.

    References
    ----------
    .. [1] P. Izmailov et al., "Averaging weights leads to wider optima and
       better generalization", UAI 2018.
    .. [2] B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by
       averaging", SIAM J. Control and Optimization 30(4), 1992.
    """

    def __init__(self, kind, dataset, epochs, is_watched):
        self.kind = kind
        self.dataset = dataset
        self.first_epoch = int(SWA_START * epochs) if kind == "swa" else 0
        self.is_watched = is_watched
        self.n_epochs = 0
        self.n_averaged = 0
        self.average = None
        self.earlier_average = None
        self.is_in_epoch = False
        self.hidden = None

    def begin(self, net):
        """Follow the weights that are trained."""
        self.weights = [p for p in net.module_.parameters() if p.requires_grad]
        if self.kind == "ema":
            n_steps = len(Batches(self.dataset, net.batch_size))
            self.decay = 1 - 1 / (EMA_EPOCHS * n_steps + 1)
            self.hook = net.optimizer_.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args, kwargs):
        # early on, the memory is as long as training has been
        decay = min(self.decay, (1 + self.n_averaged) / (10 + self.n_averaged))
        self._update(get_ema_multi_avg_fn(decay))

    @torch.no_grad()
    def _update(self, average_in):
        weights = [w.detach() for w in self.weights]
        if self.average is None:
            self.average = [w.clone() for w in weights]
        else:
            average_in(self.average, weights, self.n_averaged)
        self.n_averaged += 1

    def begin_epoch(self, net):
        """Train on with the weights themselves."""
        if self.hidden is not None:
            net.module_.load_state_dict(self.hidden)
            self.hidden = None
        self.earlier_average = self.average and [w.clone() for w in self.average]
        self.is_in_epoch = True

    def end_epoch(self, net):
        """Take the epoch as complete."""
        self.is_in_epoch = False
        return False

    def evaluate(self, net):
        """Show the average to whoever looks."""
        self.n_epochs += 1
        if self.kind == "swa" and self.n_epochs > self.first_epoch:
            self._update(get_swa_multi_avg_fn())
        if self.is_watched:
            self._show(net)

    def _show(self, net):
        """Put the average in the place of the weights, its statistics renewed."""
        if self.average is None or self.hidden is not None:
            return
        self.hidden = deepcopy(net.module_.state_dict())
        with torch.no_grad():
            for weight, average in zip(self.weights, self.average, strict=True):
                weight.copy_(average)
        renew_batch_norm(net, self.dataset)

    def end(self, net):
        """Leave the average in the network, without an epoch that was interrupted."""
        if self.is_in_epoch:
            self.average = self.earlier_average
        if self.kind == "ema":
            self.hook.remove()
        self._show(net)
        if self.average is None:
            warn(
                f"Training ended after {self.n_epochs} epochs. weight_averaging='swa' "
                f"averages those after the first {self.first_epoch}, so nothing was "
                "averaged. Raise n_iter_no_change, lower max_epochs, or choose 'ema'."
            )
