"""Batch-norm statistics: recomputation, and a check at the end of training."""

from contextlib import contextmanager
from itertools import islice
from math import ceil

import torch
from sklearn.exceptions import ConvergenceWarning
from torch.nn.modules.batchnorm import _BatchNorm

from ..data import Batches, find_farthest_value
from ..runtime import autocast, make_generator, warn
from .monitors import Monitor

N_CHECKED = 128  # samples, at most four batches
N_RENEWING = 64  # batches
# A value farther than this from the mean, in standard deviations, distorts statistics.
EXTREME = 30


def renew_batch_norm(net, dataset):
    """Set batch-norm statistics to their mean over the batches.

    Layers that are in evaluation mode during training keep their statistics.

    Parameters
    ----------
    net : Net
        Net in training.

    dataset : TrainingSet
        Training data.
    """
    layers = find_layers(net)
    for layer in layers:
        layer.reset_running_stats()
    with _training(layers, momentum=None):
        for X, _ in _plain_batches(net, dataset) if layers else ():
            _compute(net, X)


def take_medians(net, dataset):
    """Set batch-norm statistics to their median over the batches.

    The median is robust to batches with extreme values.

    Parameters
    ----------
    net, dataset
        Net in training and its data, as for `renew_batch_norm`.
    """
    layers = find_layers(net)
    taken = []
    with _training(layers, momentum=1.0):
        for X, _ in islice(_plain_batches(net, dataset), N_RENEWING):
            _compute(net, X)
            taken.append([statistic.clone() for statistic in _statistics(layers)])
    for statistic, values in zip(
        _statistics(layers), zip(*taken, strict=True), strict=True
    ):
        statistic.copy_(torch.stack(values).median(0).values)


def find_layers(net):
    """Return the batch-norm layers that training updates; leave all in eval mode."""
    net._set_training(True)
    layers = [
        layer
        for layer in net.module_.modules()
        if isinstance(layer, _BatchNorm)
        and layer.training
        and layer.track_running_stats
    ]
    net.module_.eval()
    return layers


class EvaluationCheck(Monitor):
    """Monitor that compares the losses in training and evaluation mode.

    Batch normalisation uses running statistics in evaluation mode only. At the end of
    training, the losses of some batches are compared. If they differ by far, the
    statistics are recomputed as medians over batches; if the losses still differ, or a
    value of X is extreme, a warning is issued.

    Parameters
    ----------
    dataset : TrainingSet
        Training data.
    """

    def __init__(self, dataset):
        self.dataset = dataset

    def end(self, net):
        """Compare the losses; recompute the statistics and warn if necessary."""
        layers = find_layers(net)
        if not layers or len(self.dataset) < 2:
            return
        trained, evaluated, blank = self._losses(net, layers)
        if evaluated <= 2 * trained + 0.2 * blank:
            return
        take_medians(net, self.dataset)
        message = self._describe_extreme()
        trained, evaluated, blank = self._losses(net, layers)
        if not evaluated <= 4 * trained + blank:
            warn(
                "The loss in evaluation mode is far above the training loss: the "
                "statistics of batch normalisation do not fit the batches. "
                + (message or "Try norm='group' or a larger batch_size."),
                ConvergenceWarning,
            )
        elif message:
            warn(message, ConvergenceWarning)

    @torch.no_grad()
    def _losses(self, net, layers):
        """Return the losses in training and evaluation mode, and of zero outputs."""
        trained, evaluated, blank = (0.0, 0.0, 0.0)
        n_batches = min(4, ceil(N_CHECKED / net.batch_size))
        for X, y in islice(_plain_batches(net, self.dataset), n_batches):
            with _training(layers, momentum=0.0):
                outputs = _compute(net, X)
            trained += net.get_loss(outputs, y).item()
            evaluated += net.get_loss(_compute(net, X), y).item()
            blank += net.get_loss(torch.zeros_like(outputs), y).item()
        return trained, evaluated, blank

    def _describe_extreme(self):
        """Return a message about the most extreme value of X, or an empty one."""
        row, value, distance = find_farthest_value(self.dataset.images)
        if distance < EXTREME:
            return ""
        return (
            f"X[{row}] holds the value {value:g}, which is {distance:.0f} standard "
            "deviations from the mean. Replace such values, for example by the mean "
            "of the others, or clip X."
        )


def _plain_batches(net, dataset):
    """Return batches without augmentation, in a fixed random order."""
    return Batches(dataset.plain(make_generator(0)), net.batch_size, shuffle=True)


@torch.no_grad()
def _compute(net, X):
    """Return the outputs of the network, in the current mode of its layers."""
    with net._evaluation, autocast(X.device, net.precision):
        return net.module_(X).to(X.dtype)


def _statistics(layers):
    return [s for layer in layers for s in (layer.running_mean, layer.running_var)]


@contextmanager
def _training(layers, momentum):
    """Put only these layers in training mode, within the context."""
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.train()
            layer.momentum = momentum
        yield
    finally:
        for layer, before in zip(layers, momenta, strict=True):
            layer.eval()
            layer.momentum = before
