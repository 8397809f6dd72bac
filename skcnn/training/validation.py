"""Loss and score of validation data."""

import torch

from .divergence import check_finite
from .monitor import Monitor


class Validation(Monitor):
    """Record ``valid_loss`` and ``valid_score`` of each epoch.

    Parameters
    ----------
    dataset : TrainingSet
        Validation data, whose order does not matter.

    criterion : torch.nn.Module
        Gives the loss of each sample, without a reduction.

    score : callable
        Called with outputs and targets, arrays of shape (n_samples, n_outputs)
        or (n_samples,), and weights, an array or None; returns a float, larger
        for better outputs.
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
        return loss, float(self.score(outputs, self.targets.numpy(), weights))

    def _loss(self, outputs):
        """Return the mean loss, weighted where samples have weights."""
        targets = self.targets
        if targets.is_floating_point():
            targets = targets.double()
        losses = self.criterion(outputs, targets)
        if losses.ndim > 1:
            losses = losses.mean(dim=1)
        if self.weights is None:
            return losses.mean().item()
        return ((losses * self.weights).sum() / self.weights.sum()).item()
