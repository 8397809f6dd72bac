"""What the trained estimators share."""

from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from math import prod

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .data import (
    ChannelScaler,
    Images,
    TrainingSet,
    check_image_array,
    check_same_shape,
    find_layout,
)
from .training import (
    DTYPES,
    build_net,
    check_device,
    explain_out_of_memory,
    make_generator,
    predict_batches,
    train_net,
)

MAX_SEED = np.iinfo(np.int32).max
PREDICT_BATCH_SIZE = 128


def auto_batch_size(n_samples):
    """Return the power of two near a fortieth of the samples, from 8 to 128."""
    return int(2 ** np.clip(np.round(np.log2(n_samples / 40)), 3, 7))


class BaseCNN(BaseEstimator, metaclass=ABCMeta):
    """An estimator that trains a network.

    A subclass has the parameters, and says which network they describe and what
    targets and outputs mean.

    Warning: this class is not meant to be used, its subclasses are.
    """

    @property
    def module_(self):
        """The trained network, a :class:`torch.nn.Module`."""
        return self.net_.module_

    @property
    def history_(self):
        """One row for each epoch, a :class:`skorch.history.History`."""
        return self.net_.history

    @property
    def loss_curve_(self):
        """Mean training loss of each epoch."""
        return [row["train_loss"] for row in self.history_]

    @property
    def n_iter_(self):
        """Number of epochs trained so far."""
        return len(self.history_)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def _fit(self, X, y, sample_weight, *, epochs, first=True, incremental=False):
        """Learn from X and y.

        The first call learns the scale of the pixels and builds the network. An
        incremental one keeps the state of the optimiser and a constant learning
        rate.
        """
        X, y = self._check_training_data(X, y, first)
        weights = self._check_weights(X, y, sample_weight)
        targets = self._encode_targets(y, weights, first)
        if weights is not None and not weights.all():
            keep = weights > 0
            X, targets, weights = X[keep], targets[keep], weights[keep]
        if first:
            self._random_state = check_random_state(self.random_state)
            self.scaler_ = ChannelScaler(self._layout).fit(X, weights)
        batch_size = self._batch_size(auto=auto_batch_size(len(X)))
        with self._fitted_or_forgotten(), explain_out_of_memory(batch_size):
            net = self._build_net(batch_size) if first else self.net_
            net.set_params(batch_size=batch_size, lr=self.lr, verbose=self.verbose)
            train_net(
                net,
                self._training_set(X, targets, weights, torch.device(net.device)),
                epochs,
                lr_schedule="constant" if incremental else self.lr_schedule,
                fresh_optimizer=not (first or incremental),
                generator=make_generator(self._next_seed(), net.device),
            )
            self.net_ = net
        return self

    def _start_afresh(self, keep):
        """Return whether nothing is learnt yet; forget it unless `keep`."""
        first = not (keep and self.__sklearn_is_fitted__())
        if first:
            self._forget()
        return first

    def _forget(self):
        """Remove what an earlier fit learnt."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    @contextmanager
    def _fitted_or_forgotten(self):
        """Leave the estimator unfitted where training is interrupted or fails."""
        try:
            yield
        except BaseException:
            self._forget()
            raise

    def _check_training_data(self, X, y, first):
        """Return X and y validated; the first call decides how X is read."""
        X, y = check_image_array(self, X, y, reset=first, **self._y_checks)
        if first:
            self._layout = find_layout(X.shape[1:], self.image_shape, self.channel_axis)
            self.image_shape_ = self._layout.image_shape
            self.n_features_in_ = prod(self.image_shape_)
        else:
            check_same_shape(self, X, self._layout.sample_shape)
        return X, y

    def _check_weights(self, X, y, sample_weight):
        """Return weights of the samples with a mean of 1, or None."""
        sample_weight = self._combine_weights(X, y, sample_weight)
        if sample_weight is None:
            return None
        sample_weight = sample_weight / sample_weight.max()  # sums cannot overflow
        return sample_weight / sample_weight[sample_weight > 0].mean()

    def _combine_weights(self, X, y, sample_weight):
        """Return validated weights, or None where all samples weigh the same."""
        if sample_weight is None:
            return None
        return _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )

    def _batch_size(self, auto):
        """Return `batch_size`, or `auto` where that is what it says."""
        return auto if isinstance(self.batch_size, str) else self.batch_size

    def _next_seed(self):
        return self._random_state.randint(MAX_SEED)

    @abstractmethod
    def _module_factory(self):
        """Return a function without arguments that builds the network."""

    def _build_net(self, batch_size):
        """Return the network that the parameters describe, ready to be trained."""
        return build_net(
            self._module_factory(),
            criterion=self._criterion,
            input_shape=self._layout.input_shape,
            n_outputs=self._n_outputs,
            optimizer=self.optimizer,
            lr=self.lr,
            weight_decay=self.weight_decay,
            batch_size=batch_size,
            callbacks=self.callbacks,
            verbose=self.verbose,
            device=check_device(self.device),
            precision=self.precision,
            seed=self._next_seed(),
        )

    def _images(self, X, device):
        return Images(X, self.scaler_, device, DTYPES[self.precision])

    def _training_set(self, X, targets, weights, device):
        """Return samples, targets and weights where the network is."""
        targets = torch.as_tensor(targets, device=device)
        if targets.is_floating_point():
            targets = targets.to(DTYPES[self.precision])
        if weights is not None:
            weights = torch.as_tensor(weights).to(device, DTYPES[self.precision])
        generator = make_generator(self._next_seed())
        return TrainingSet(self._images(X, device), targets, weights, generator)

    def _outputs(self, X):
        """Return the outputs of the network for X, (n_samples, n_outputs)."""
        check_is_fitted(self)
        X = check_image_array(self, X, reset=False)
        check_same_shape(self, X, self._layout.sample_shape)
        batch_size = self._batch_size(auto=PREDICT_BATCH_SIZE)
        images = self._images(X, next(self.module_.parameters()).device)
        with explain_out_of_memory(batch_size):
            return predict_batches(self.module_, images, batch_size, self.precision)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags
