"""Monitors of a training: what may look at it, and act, between its epochs."""

import math
from copy import deepcopy

import torch

from .divergence import check_finite


class Monitor:
    """A part that training tells of each epoch; the base class does nothing.

    Training calls its monitors in the order in which they are given.
    """

    def begin(self, net):
        """Prepare for a training.

        Parameters
        ----------
        net : Net
            The net, its optimiser ready.
        """

    def begin_epoch(self, net):
        """Prepare for an epoch.

        Parameters
        ----------
        net : Net
            The net in training.
        """

    def evaluate(self, net):
        """Record what belongs in the epoch's row of the history.

        Parameters
        ----------
        net : Net
            The net after the steps of the epoch.
        """

    def end_epoch(self, net):
        """Look at an epoch whose row of the history is complete.

        Parameters
        ----------
        net : Net
            The net in training.

        Returns
        -------
        bool
            Whether training shall end.
        """
        return False

    def end(self, net):
        """Finish the training.

        Parameters
        ----------
        net : Net
            The net after its last epoch.
        """


class Validation(Monitor):
    """Record ``valid_loss`` and ``valid_score`` of each epoch.

    Parameters
    ----------
    dataset : TrainingSet
        Validation data, whose order does not matter.

    criterion : torch.nn.Module
        Gives the loss of each sample, without a reduction.

    score : callable or None
        Function of outputs and targets, arrays of shape (n_samples, n_outputs)
        or (n_samples,), and of weights, an array or None. It returns a float,
        larger for better outputs. None scores by the negative loss.
    """

    def __init__(self, dataset, criterion, score):
        self.images = dataset.images
        self.targets = dataset.targets.cpu()
        self.weights = None if dataset.weights is None else dataset.weights.cpu()
        self.criterion = criterion
        self.score = score

    def evaluate(self, net):
        """Record loss and score of the network as it is."""
        loss, score = self.measure(net)
        net.record("valid_loss", loss, larger_is_better=False)
        net.record("valid_score", score, larger_is_better=True)

    def measure(self, net):
        """Return loss and score of the network as it is.

        Parameters
        ----------
        net : Net
            A net in training.

        Returns
        -------
        loss, score : float
            The mean loss, and the score, of the validation data.

        Raises
        ------
        ValueError
            If the loss is not finite.
        """
        outputs = net.predict_images(self.images)
        loss = self._loss(torch.from_numpy(outputs))
        check_finite(loss, "validation loss", net)
        weights = None if self.weights is None else self.weights.numpy()
        if self.score is None:
            return loss, -loss
        return loss, float(self.score(outputs, self.targets.numpy(), weights))

    def _loss(self, outputs):
        """Return the mean loss, weighted if samples have weights."""
        targets = self.targets
        if targets.is_floating_point():
            targets = targets.double()
        losses = self.criterion(outputs, targets)
        if losses.ndim > 1:
            losses = losses.mean(dim=1)
        if self.weights is None:
            return losses.mean().item()
        return ((losses * self.weights).sum() / self.weights.sum()).item()


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
        """Take the network as the best so far if it has learnt something."""
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
        self.weights = deepcopy(net.module_.state_dict())

    def end(self, net):
        """Restore the best network, batch-norm statistics included."""
        net.module_.load_state_dict(self.weights)
