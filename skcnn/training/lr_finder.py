"""Learning-rate range test (Smith 2017)."""

from dataclasses import dataclass

import numpy as np

from ..data import Batches

SMOOTHING = 0.9
DIVERGED = 4.0


@dataclass
class LearningRateCurve:
    """Training loss at increasing learning rates, from a range test [1]_.

    It is returned by `find_lr` of the estimators.

    Parameters
    ----------
    lrs : ndarray of shape (n_steps,)
        Learning rates, in increasing order.

    losses : ndarray of shape (n_steps,)
        Training loss at each learning rate, smoothed over the previous steps.

    suggestion : float
        Suggested learning rate: a tenth of the one with the lowest loss, which is
        large but well below the rates at which training becomes unstable.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Axes and figure of the last plot.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical learning rates for training neural networks",
       WACV 2017.

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
        """Plot the loss against the learning rate, with the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        LearningRateCurve
            The curve.
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
    """Run a learning-rate range test, one step at each rate until the loss diverges.

    Parameters
    ----------
    net : Net
        Net from `build_net`, which must not be used afterwards.

    dataset : TrainingSet
        Samples and targets.

    lrs : ndarray of shape (n_steps,)
        Learning rates, in increasing order.

    generator : torch.Generator
        Source of random numbers for random layers, on the device of the network.

    Returns
    -------
    LearningRateCurve
        Curve up to the rate at which the loss exceeds four times its minimum.

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
            if not loss <= DIVERGED * min([loss, *losses]):  # also stops at NaN
                break
            losses.append(loss)
    return _curve(np.asarray(lrs)[: len(losses)], np.asarray(losses))


def _endless(dataset, batch_size):
    """Yield batches endlessly, pass after pass."""
    while True:
        yield from Batches(dataset, batch_size, shuffle=True)


def _curve(lrs, losses):
    """Return the curve with its suggestion."""
    if not len(losses):
        raise ValueError(
            "The loss is not finite at the smallest learning rate. Lower lr_min."
        )
    return LearningRateCurve(lrs, losses, float(lrs[losses.argmin()] / 10))
