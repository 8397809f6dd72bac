"""Images with their targets, in shuffled batches."""

import copy

import torch
from torch.utils.data import Dataset

from .augmentation import mix_targets
from .transfer import send


class TrainingSet(Dataset):
    """Images, targets and weights of a fit.

    Parameters
    ----------
    images : Images
        The samples.

    targets : torch.Tensor of shape (n_samples,) or (n_samples, n_outputs)
        Class codes or values, on the device of the batches.

    weights : torch.Tensor of shape (n_samples,) or None
        Sample weights with a mean of 1.

    generator : torch.Generator
        Where the order of the samples comes from.

    augment : callable or None, default=None
        Maps a batch of images to ``(batch, mix)``, see
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
            Which samples.

        Returns
        -------
        X : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images.

        y : torch.Tensor or tuple or list
            Targets, or ``(targets, weights)``, or what `mix_targets` returns.
        """
        return self._with_targets(index, self.images.take(index))

    def batches(self, indices):
        """Yield batches, as `take` returns them.

        Parameters
        ----------
        indices : iterable of torch.Tensor of shape (n,)
            Which samples, batch by batch.

        Yields
        ------
        X, y
            As of `take`.
        """
        for index, X in self.images.batches(indices):
            yield self._with_targets(index, X)

    def _with_targets(self, index, X):
        """Return samples, augmented, and their targets."""
        index = send(index, self.targets.device)
        y = self.targets[index]
        if self.weights is not None:
            y = y, self.weights[index]
        if self.augment is None:
            return X, y
        X, mix = self.augment(X)
        return X, mix_targets(y, mix)

    def plain(self, generator):
        """Return the same samples as they are, in an order of their own.

        Parameters
        ----------
        generator : torch.Generator
            Where the order comes from.

        Returns
        -------
        TrainingSet
            Without augmentation.
        """
        view = copy.copy(self)
        view.generator, view.augment = generator, None
        return view


class Batches:
    """One pass over a `TrainingSet` in batches of nearly equal size.

    Parameters
    ----------
    dataset : TrainingSet
        The samples.

    batch_size : int
        Upper bound of the size of a batch. Batches of 2 may have one of 3 among
        them, as one sample alone has no statistics.

    shuffle : bool, default=False
        Whether each pass has an order of its own.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self):
        n_samples = len(self.dataset)
        if self.batch_size == 2 <= n_samples:  # no sample is left alone
            return n_samples // 2
        return -(-n_samples // self.batch_size)

    def __iter__(self):
        n_samples = len(self.dataset)
        if self.shuffle:
            order = torch.randperm(n_samples, generator=self.dataset.generator)
        else:
            order = torch.arange(n_samples)
        order = order.to(self.dataset.images.index_device)
        yield from self.dataset.batches(self._split(order))

    def _split(self, order):
        """Return the samples of each batch.

        Samples that are cheaper among their like have a method `group`.
        """
        group = getattr(self.dataset.images, "group", None)
        if group is None or not self.shuffle:
            return torch.tensor_split(order, len(self))
        return group(order, len(self), self.dataset.generator)
