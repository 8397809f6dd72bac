"""Steps of a call of `fit` or `partial_fit`: check, split, prepare and train."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state

from ..runtime import (
    leased_gpu,
    make_generator,
    usual_torch,
    value_of_first_process,
)
from ..training import (
    EarlyStopping,
    EvaluationCheck,
    FitProgress,
    Plateau,
    Validation,
    WeightAveraging,
    train_net,
)
from .batch_sizes import call_with_batch_size
from .checked_samples import check_training_samples
from .net_building import check_network_parameters, net_to_train_further, new_net
from .shuffled_samples import as_data_set, shuffled_samples
from .stored_fits import stored_fit
from .validation_data import split_samples
from .validation_score import find_score


def check_partial_fit(estimator):
    """Raise an error if a parameter cannot be used with `partial_fit`."""
    if estimator.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    if getattr(estimator, "class_weight", None) == "balanced":
        raise ValueError(
            "class_weight='balanced' is not supported by partial_fit, which does not "
            "see all labels at once. Pass a dict of class weights, computed by "
            "sklearn.utils.compute_class_weight('balanced', ...)."
        )


@contextmanager
def fitting(estimator, X, y, sample_weight, *, keep, is_incremental=False):
    """Context in which an estimator is fitted by the steps of a `FitCall`.

    If a step raises, the estimator has the state that it had before the call. If a
    first `fit` is interrupted after an epoch, the completed epochs are kept, and the
    interrupt is raised at the end.

    Parameters
    ----------
    estimator : BaseCNN
        Estimator to fit.

    X, y, sample_weight
        Arguments of `fit`.

    keep : bool
        Whether a fitted network is trained further.

    is_incremental : bool, default=False
        Whether to train for one epoch with the optimiser of the last call.
    """
    is_first = not (keep and estimator.__sklearn_is_fitted__())
    if is_first:
        _forget(estimator)
    with usual_torch():
        if is_first:
            random_state = check_random_state(estimator.random_state)
            estimator._random_state = value_of_first_process(random_state)
            estimator._validation_seed = None
        else:
            check_network_parameters(estimator)
        with _all_or_nothing(estimator, is_first):
            data = X, y, sample_weight
            call = FitCall(estimator, data, is_first, is_incremental)
            yield call
        call.progress.close()
    if call.interrupt is not None:
        raise call.interrupt


@dataclass
class FitCall:
    """The steps of a call of `fit` or `partial_fit`."""

    estimator: object
    data: tuple
    is_first: bool
    is_incremental: bool
    n_epochs: int = 1
    progress: FitProgress | None = None
    kept_rows: np.ndarray | None = None
    trained_on: object = None
    interrupt: KeyboardInterrupt | None = None

    def check(self):
        """Validate X, y and the weights, and return them as samples."""
        samples, self.kept_rows = check_training_samples(
            self.estimator,
            *self.data,
            is_first=self.is_first,
            is_relative=not self.is_incremental,
        )
        return samples

    def split(self, samples, X_val, y_val, sample_weight_val):
        """Return the training samples, and the validation samples or None."""
        return split_samples(self.estimator, samples, X_val, y_val, sample_weight_val)

    def prepare(self, samples):
        """Start the progress, and in a first call learn the scale of the samples."""
        if not self.is_incremental:
            self.n_epochs = self.estimator._n_epochs(len(samples))
        self.progress = FitProgress(self.estimator, *self.data, self.n_epochs)
        self.progress.rows = _compose(self.kept_rows, samples.rows)
        if self.is_first:
            self.estimator._input.learn(self.estimator, samples)

    def train(self, samples, held_out=None):
        """Train the network, which a first call builds, or load a stored fit."""
        estimator = self.estimator
        try:
            with stored_fit(self, samples, held_out) as fit:
                if not fit.restore():
                    with leased_gpu(estimator.device):
                        estimator.net_ = self._train(samples, held_out)
                    fit.keep()
            estimator._is_incremental = self.is_incremental
        finally:
            estimator._finish_training()

    def images(self, samples):
        """Return the training images, which are read again if the fit was loaded."""
        if self.trained_on is None:
            estimator, device = self.estimator, torch.device(self.estimator.net_.device)
            images = estimator._input.images(estimator, samples.X, device)
            self.trained_on = images.subset(samples.rows)
        return self.trained_on

    def _train(self, samples, held_out):
        """Train with batches that fit in memory and return the net."""
        estimator = self.estimator
        random_state = estimator._random_state.get_state()

        def train(batch_size):
            estimator._random_state.set_state(random_state)
            net = self._find_net(samples, batch_size)
            self._train_net(net, samples, held_out)
            return net

        auto = estimator._auto_batch_size(len(samples))
        if not self.is_first:
            auto = min(auto, estimator._memory_limit or auto)
        given = estimator.batch_size
        net = call_with_batch_size(train, given, auto, self.is_first)
        if self.is_first:
            limit = net.batch_size
            estimator._memory_limit = limit if limit < auto else None
        return net

    def _find_net(self, samples, batch_size):
        goes_on = self.is_incremental
        if self.is_first:
            return new_net(
                self.estimator, samples, batch_size, counts_steps=not goes_on
            )
        return net_to_train_further(
            self.estimator, samples, batch_size, starts_again=not goes_on
        )

    def _train_net(self, net, samples, held_out):
        """Train a net, and validate it after each epoch."""
        estimator = self.estimator
        dataset = shuffled_samples(estimator, samples, torch.device(net.device))
        validation = self._validation(dataset, samples, held_out)
        self.interrupt = train_net(
            net,
            dataset,
            self.n_epochs,
            lr_schedule="constant" if self.is_incremental else estimator.lr_schedule,
            generator=make_generator(estimator._next_seed(), net.device),
            monitors=self._monitors(dataset, validation),
            keeps_epochs=self.is_first and not self.is_incremental,
        )
        self.trained_on = dataset.images

    def _validation(self, dataset, samples, held_out):
        """Return the validation after each epoch, or None."""
        if held_out is None:
            return None
        estimator, images = self.estimator, dataset.images
        if held_out.X is not samples.X:
            images = estimator._input.images(estimator, held_out.X, images.device)
        return Validation(
            as_data_set(estimator, images, held_out),
            estimator._targets.criterion(reduction="none"),
            find_score(estimator, held_out.targets),
        )

    def _monitors(self, dataset, validation):
        """Return the monitors in the order in which they are called."""
        estimator, monitors = self.estimator, []
        averaging = None if self.is_incremental else estimator.weight_averaging
        if averaging is not None:
            is_watched = validation is not None or self.progress.is_watched
            monitors.append(
                WeightAveraging(averaging, dataset, self.n_epochs, is_watched)
            )
        if validation is not None:
            monitors.append(validation)
        monitors.append(self.progress)
        if estimator.lr_schedule == "plateau" and not self.is_incremental:
            monitors.append(Plateau(estimator.tol))
        if estimator.early_stopping:
            start = None if self.is_first else validation
            monitors.append(
                EarlyStopping(estimator.n_iter_no_change, estimator.tol, start)
            )
        if not self.is_incremental:
            monitors.append(EvaluationCheck(dataset))
        return monitors


def _compose(first, second):
    """Return the rows that two selections leave; None if they leave all."""
    if first is None or second is None:
        return second if first is None else first
    return first[second]


def _forget(estimator):
    """Remove the fitted attributes."""
    for name in [name for name in vars(estimator) if name.endswith("_")]:
        delattr(estimator, name)


@contextmanager
def _all_or_nothing(estimator, is_first):
    """Undo the call if it raises."""
    before = None if is_first else _Snapshot(estimator)
    try:
        yield
    except BaseException:
        _forget(estimator) if is_first else before.restore()
        raise


class _Snapshot:
    """Copy of the state of a fitted estimator that a call changes."""

    def __init__(self, estimator):
        self.estimator = estimator
        self.attributes = dict(vars(estimator))
        self.net = estimator.net_.snapshot()
        self.random_state = estimator._random_state.get_state()
        self.layers = getattr(estimator.module_, "layer_options", None)

    def restore(self):
        """Restore the state."""
        estimator = self.estimator
        vars(estimator).clear()
        vars(estimator).update(self.attributes)
        estimator.net_.restore(self.net)
        estimator._random_state.set_state(self.random_state)
        if self.layers is not None:  # trainable layers of a pretrained network
            estimator.module_.choose_layers(**self.layers)
