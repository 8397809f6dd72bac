"""Training data: samples with targets and weights, and shuffled batches of them."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from .augmentation import mix_targets
from .device_transfer import send


@dataclass(frozen=True)
class Samples:
    """Validated samples: rows of an array, with targets and weights.

    Parameters
    ----------
    X : ndarray of shape (n, *sample_shape)
        Images.

    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or values of the samples.

    weights : ndarray of shape (n_samples,) or None
        Weights of the samples.

    rows : ndarray of shape (n_samples,) or None, default=None
        Rows of X in which the samples are; None for all.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray | None = None

    def __len__(self):
        return len(self.targets)

    def take(self, index):
        """Return some of the samples, with the same X.

        Parameters
        ----------
        index : ndarray of shape (n,)
            Positions among the samples.

        Returns
        -------
        Samples
            The chosen samples, with weights scaled to a mean of 1.
        """
        weights = self.weights
        if weights is not None:
            weights = weights[index] / weights[index].mean()
        rows = index if self.rows is None else self.rows[index]
        return replace(self, targets=self.targets[index], weights=weights, rows=rows)


class TrainingSet(Dataset):
    """Images, targets and weights of a fit.

    Parameters
    ----------
    images : Images
        Images of the samples.

    targets : torch.Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or values, on the device of the batches.

    weights : torch.Tensor of shape (n_samples,) or None
        Sample weights with a mean of 1.

    generator : torch.Generator
        Source of the order of the samples.

    augment : callable or None, default=None
        Function from a batch of images to ``(batch, mix)``, see
        `skcnn.data.augmentation.make_augmentation`.
    """

    def __init__(self, images, targets, weights, generator, augment=None):
        self.images = images
        self.targets = targets
        self.weights = weights
        self.generator = generator
        self.augment = augment

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        X, y = self.take(torch.tensor([index]))
        return X[0], tuple(part[0] for part in y) if isinstance(y, tuple) else y[0]

    def take(self, index):
        """Return a batch.

        Parameters
        ----------
        index : torch.Tensor of shape (n,)
            Positions of the samples.

        Returns
        -------
        X : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images.

        y : torch.Tensor or tuple or list
            Targets, ``(targets, weights)``, or the result of `mix_targets`.
        """
        return self._with_targets(index, self.images.take(index))

    def batches(self, indices):
        """Yield batches as `take` returns them.

        Parameters
        ----------
        indices : iterable of torch.Tensor of shape (n,)
            Positions of the samples of each batch.

        Yields
        ------
        X, y
            Result of `take`.
        """
        for index, X in self.images.batches(indices):
            yield self._with_targets(index, X)

    def _with_targets(self, index, X):
        """Return images, augmented if needed, with their targets."""
        index = send(index, self.targets.device)
        y = self.targets[index]
        if self.weights is not None:
            y = y, self.weights[index]
        if self.augment is None:
            return X, y
        X, mix = self.augment(X)
        return X, mix_targets(y, mix)

    def plain(self, generator):
        """Return the same samples without augmentation, with another generator.

        Parameters
        ----------
        generator : torch.Generator
            Source of the order.

        Returns
        -------
        TrainingSet
            The samples, which are not copied.
        """
        view = copy.copy(self)
        view.generator, view.augment = generator, None
        return view


class Batches:
    """One pass over a `TrainingSet` in batches of nearly equal size.

    Parameters
    ----------
    dataset : TrainingSet
        Samples.

    batch_size : int
        Maximum size of a batch, see `count_batches`.

    shuffle : bool, default=False
        Whether to shuffle the samples in each pass.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self):
        return self.dataset.images.n_batches(self.batch_size)

    def __iter__(self):
        images, generator = self.dataset.images, self.dataset.generator
        if self.shuffle:
            order = torch.randperm(len(images), generator=generator)
            order = order.to(images.index_device)
            indices = images.group(order, self.batch_size, generator)
        else:
            order = torch.arange(len(images), device=images.index_device)
            indices = torch.tensor_split(order, len(self))
        yield from self.dataset.batches(indices)
