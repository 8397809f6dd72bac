"""Ending a training when the validation score no longer rises."""

import math

from .monitor import Monitor
from .state import copy_state


class EarlyStopping(Monitor):
    """Stop when the validation score stagnates, and keep the best network.

    As in :class:`sklearn.neural_network.MLPClassifier`. Of epochs with the same
    score, the one of the lowest validation loss is the best.

    Parameters
    ----------
    n_iter_no_change : int
        Number of epochs in a row without an improvement that are borne.

    tol : float
        Smallest rise of the best score that counts as an improvement.

    start : Validation or None, default=None
        Scores the network that training starts with, where that has learnt
        something already and is to be kept unless it is improved.
    """

    def __init__(self, n_iter_no_change, tol, start=None):
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.start = start
        self.best_score = -math.inf
        self.lowest_loss = math.inf
        self.n_epochs_no_change = 0
        self.weights = None

    def begin(self, net):
        """Take the network as the best so far where it has learnt something."""
        if self.start is not None:
            self.lowest_loss, self.best_score = self.start.measure(net)
            self._keep(net)

    def end_epoch(self, net):
        """Return whether the score has stagnated for long enough."""
        score = net.history[-1, "valid_score"]
        if score < self.best_score + self.tol:
            self.n_epochs_no_change += 1
        else:
            self.n_epochs_no_change = 0
        loss = net.history[-1, "valid_loss"]
        is_tied = score == self.best_score and loss < self.lowest_loss
        if score > self.best_score or is_tied:
            self.best_score, self.lowest_loss = score, loss
            self._keep(net)
        return self.n_epochs_no_change > self.n_iter_no_change

    def _keep(self, net):
        self.weights = copy_state(net.module_.state_dict())

    def end(self, net):
        """Restore the best network, batch-norm statistics included."""
        net.module_.load_state_dict(self.weights)
