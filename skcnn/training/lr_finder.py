"""The learning-rate range test (Smith 2017)."""

from dataclasses import dataclass

import numpy as np

from ..data import Batches

SMOOTHING = 0.9
DIVERGED = 4.0


@dataclass
class LearningRateCurve:
    """Loss of a training whose learning rate rises from step to step.

    Parameters
    ----------
    lrs : ndarray of shape (n_steps,)
        Learning rates, rising.

    losses : ndarray of shape (n_steps,)
        Training loss at each rate, smoothed over the steps before.

    suggestion : float
        A tenth of the rate with the lowest loss: large, and clearly below where
        training becomes unstable.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Of the last plot.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> digits = load_digits()
    >>> curve = CNNClassifier(random_state=0).find_lr(digits.images, digits.target)
    >>> 1e-4 < curve.suggestion < 1e-1
    True
    """

    lrs: np.ndarray
    losses: np.ndarray
    suggestion: float

    def plot(self, ax=None):
        """Draw the loss over the learning rate, and the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        LearningRateCurve
            The curve itself.
        """
        from matplotlib import pyplot as plt

        self.ax_ = plt.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.ax_.plot(self.lrs, self.losses)
        label = f"lr = {self.suggestion:.2g}"
        self.ax_.axvline(self.suggestion, color="C1", linestyle="--", label=label)
        self.ax_.set(xscale="log", xlabel="Learning rate", ylabel="Training loss")
        self.ax_.legend()
        return self


def range_test(net, dataset, lrs, generator):
    """Train `net`, one step at each learning rate, until the loss diverges.

    Parameters
    ----------
    net : Net
        From `build_net`. It is of no use afterwards.

    dataset : TrainingSet
        Samples and targets.

    lrs : ndarray of shape (n_steps,)
        Learning rates, rising.

    generator : torch.Generator
        For random layers, on the device of the network.

    Returns
    -------
    LearningRateCurve
        Its rates end where the loss is four times the lowest one.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", WACV
    2017.
    """
    losses, average = [], 0.0
    with net.computing(len(dataset)), net.ready(dataset, generator):
        net._set_training(True)
        for lr, (X, y) in zip(lrs, _endless(dataset, net.batch_size), strict=False):
            net.set_learning_rate(lr)
            average = SMOOTHING * average + (1 - SMOOTHING) * net.step(X, y).item()
            loss = average / (1 - SMOOTHING ** (len(losses) + 1))
            if not loss <= DIVERGED * min([loss, *losses]):  # NaN is not, either
                break
            losses.append(loss)
    return _curve(np.asarray(lrs)[: len(losses)], np.asarray(losses))


def _endless(dataset, batch_size):
    """Yield batches, pass after pass."""
    while True:
        yield from Batches(dataset, batch_size, shuffle=True)


def _curve(lrs, losses):
    """Return the curve with its suggestion."""
    if not len(losses):
        raise ValueError(
            "The loss is not finite at the smallest learning rate. Lower lr_min."
        )
    return LearningRateCurve(lrs, losses, float(lrs[losses.argmin()] / 10))
