"""Monitors of training, which are called between epochs."""

import math
from copy import deepcopy

import torch

from .divergence import check_finite


class Monitor:
    """Base class of monitors, which are called before and after each epoch.

    Monitors are called in the given order. The base class does nothing.
    """

    def begin(self, net):
        """Prepare for training.

        Parameters
        ----------
        net : Net
            The net, with its optimiser set up.
        """

    def begin_epoch(self, net):
        """Prepare for an epoch.

        Parameters
        ----------
        net : Net
            The net in training.
        """

    def evaluate(self, net):
        """Add entries to the epoch's row of the history.

        Parameters
        ----------
        net : Net
            The net after the steps of the epoch.
        """

    def end_epoch(self, net):
        """End an epoch, whose row of the history is complete.

        Parameters
        ----------
        net : Net
            The net in training.

        Returns
        -------
        bool
            Whether to stop training.
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
    """Monitor that records ``valid_loss`` and ``valid_score`` of each epoch.

    Parameters
    ----------
    dataset : TrainingSet
        Validation data, whose order does not matter.

    criterion : torch.nn.Module
        Loss that returns a value for each sample, without a reduction.

    score : callable or None
        Function of outputs and targets, arrays of shape (n_samples, n_outputs)
        or (n_samples,), and of weights, an array or None. It returns a float,
        larger for better outputs. None is the negative loss.
    """

    def __init__(self, dataset, criterion, score):
        self.images = dataset.images
        self.targets = dataset.targets.cpu()
        self.weights = None if dataset.weights is None else dataset.weights.cpu()
        self.criterion = criterion
        self.score = score

    def evaluate(self, net):
        """Record the loss and score of the current network."""
        loss, score = self.measure(net)
        net.record("valid_loss", loss, larger_is_better=False)
        net.record("valid_score", score, larger_is_better=True)

    def measure(self, net):
        """Return the loss and score of the current network.

        Parameters
        ----------
        net : Net
            Net in training.

        Returns
        -------
        loss, score : float
            Mean loss and score of the validation data.

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
    """Monitor that stops when the validation score stops improving.

    The best network is restored, as in :class:`sklearn.neural_network.MLPClassifier`.
    Among epochs with the same score, the best has the lowest validation loss.

    Parameters
    ----------
    n_iter_no_change : int
        Maximum number of epochs without an improvement of at least `tol`.

    tol : float
        Minimum increase of the validation score that counts as an improvement.

    start : Validation or None, default=None
        Validation that scores the initial network, which is kept unless training
        improves it. None ignores the initial network.
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
        """Keep the initial network as the best so far, if `start` is given."""
        if self.start is not None:
            self.lowest_loss, self.best_score = self.start.measure(net)
            self._keep(net)

    def end_epoch(self, net):
        """Keep the best network; return whether the score has stopped improving."""
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
        """Restore the best network, including batch-norm statistics."""
        net.module_.load_state_dict(self.weights)
