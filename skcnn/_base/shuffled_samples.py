"""Torch data sets of samples, shuffled and augmented on the device."""

from functools import partial

import torch

from ..data import TrainingSet, make_augmentation
from ..runtime import DTYPES, PrivateRandomness, draw_privately, make_generator


def shuffled_samples(estimator, samples, device):
    """Return a data set of samples, shuffled and augmented with seeds of the fit."""
    images = estimator._input.images(estimator, samples.X, device)
    order = make_generator(estimator._next_seed())
    return as_data_set(estimator, images, samples, order, _augment(estimator, device))


def as_data_set(estimator, images, samples, generator=None, augment=None):
    """Return a data set of images, targets and weights, on one device."""
    dtype = DTYPES[estimator.precision]
    targets = torch.as_tensor(samples.targets, device=images.device)
    if targets.is_floating_point():
        targets = targets.to(dtype)
    weights = samples.weights
    if weights is not None:
        weights = torch.as_tensor(weights).to(images.device, dtype)
    images = images.subset(samples.rows)
    return TrainingSet(images, targets, weights, generator, augment)


def _augment(estimator, device):
    """Return the augmentation of batches with its own generator, or None."""
    augmentation = getattr(estimator, "augmentation", None)
    if augmentation is None:
        return None
    make = getattr(estimator._targets, "make_augmentation", make_augmentation)
    augment = make(augmentation, len(estimator._input.input_shape(estimator)) - 1)
    generator = make_generator(estimator._next_seed(), device)
    if not augment.is_known:  # it may draw from the global generator
        augment = partial(draw_privately, PrivateRandomness(generator), augment)
    return partial(augment, generator=generator)
