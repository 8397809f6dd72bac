"""Averaging of the weights during training."""

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
    """Monitor that averages the weights during training.

    Parameters
    ----------
    kind : {"swa", "ema"}
        Kind of average: "swa", the mean of the weights at the end of each epoch of
        the last quarter [1]_, or "ema", an exponential moving average over about one
        epoch of steps [2]_.

    dataset : TrainingSet
        Training data, from which batch-norm statistics are recomputed.

    epochs : int
        Planned number of epochs.

    is_watched : bool
        Whether a validation or callbacks use the network between epochs.

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
        """Set up the average of the trainable weights."""
        self.weights = [p for p in net.module_.parameters() if p.requires_grad]
        if self.kind == "ema":
            n_steps = len(Batches(self.dataset, net.batch_size))
            self.decay = 1 - 1 / (EMA_EPOCHS * n_steps + 1)
            self.hook = net.optimizer_.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args, kwargs):
        # early in training, the average is over fewer steps
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
        """Restore the weights that are trained."""
        if self.hidden is not None:
            net.module_.load_state_dict(self.hidden)
            self.hidden = None
        self.earlier_average = self.average and [w.clone() for w in self.average]
        self.is_in_epoch = True

    def end_epoch(self, net):
        """Mark the epoch as complete."""
        self.is_in_epoch = False
        return False

    def evaluate(self, net):
        """Update the average, and put it in the network if that is watched."""
        self.n_epochs += 1
        if self.kind == "swa" and self.n_epochs > self.first_epoch:
            self._update(get_swa_multi_avg_fn())
        if self.is_watched:
            self._show(net)

    def _show(self, net):
        """Replace the weights by their average, and recompute batch-norm statistics."""
        if self.average is None or self.hidden is not None:
            return
        self.hidden = deepcopy(net.module_.state_dict())
        with torch.no_grad():
            for weight, average in zip(self.weights, self.average, strict=True):
                weight.copy_(average)
        renew_batch_norm(net, self.dataset)

    def end(self, net):
        """Leave the average in the network, without an interrupted epoch."""
        if self.is_in_epoch:
            self.average = self.earlier_average
        if self.kind == "ema":
            self.hook.remove()
        self._show(net)
        if self.average is None:
            warn(
                f"Training ended after {self.n_epochs} epochs, but "
                "weight_averaging='swa' averages only epochs after the first "
                f"{self.first_epoch}, so nothing was averaged. Raise n_iter_no_change, "
                "or choose 'ema'."
            )
