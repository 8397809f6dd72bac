"""What the trained estimators share."""

from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from functools import partial
from math import ceil
from numbers import Integral, Real
from reprlib import Repr

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from ._training_data import TrainingDataMixin
from ._validation import ValidationMixin, compose
from .data import (
    ChannelScaler,
    Images,
    ScaledImages,
    TrainingSet,
    check_image_array,
    make_augmentation,
)
from .runtime import (
    DTYPES,
    PrivateRandomness,
    check_device,
    draw_privately,
    explain_out_of_memory,
    halve_until_it_fits,
    leased_gpu,
    make_generator,
    usual_torch,
)
from .training import (
    CallbackSupportMixin,
    EarlyStopping,
    FitProgress,
    Plateau,
    WeightAveraging,
    build_net,
    check_callbacks,
    choose_weight_decay,
    predict_batches,
    range_test,
    renew_net,
    train_net,
)

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 200
MAX_SEED = np.iinfo(np.int32).max


def auto_batch_size(n_samples, smallest=8):
    """Return the power of two near a fortieth of the samples, from 8 to 128."""
    return max(smallest, int(2 ** np.clip(np.round(np.log2(n_samples / 40)), 3, 7)))


class BaseCNN(
    TrainingDataMixin,
    ValidationMixin,
    CallbackSupportMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """An estimator that trains a network.

    A subclass has the parameters, and says which network they describe and what
    targets and outputs mean.

    Warning: this class is not meant to be used, its subclasses are.
    """

    _predict_batch_size = 128
    _reads_text = False

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

    @usual_torch()
    def _fit(self, X, y, sample_weight, *, epochs, first, incremental=False, **given):
        """Learn from X and y, and judge by the validation data that are given.

        The first call learns the scale of the pixels and builds the network. An
        incremental one keeps the state of the optimiser and a constant learning
        rate.
        """
        progress = FitProgress(self, X, y, sample_weight, epochs)
        if not first:
            self._check_unchanged()
        samples, kept = self._check_samples(
            X, y, sample_weight, first, relative=not incremental
        )
        if first:
            self._random_state = check_random_state(self.random_state)
            self._validation_seed = None
        with self._all_or_nothing(first):
            samples, held_out = self._hold_out(samples, **given)
            progress.rows = compose(kept, samples.rows)
            if first:
                self._learn_scale(samples)
            with leased_gpu(self.device):
                self.net_ = self._train(
                    samples, held_out, progress, epochs, first, incremental
                )
        progress.close()
        return self

    def _learn_scale(self, samples):
        """Learn the scale of the pixels from the samples that are trained on."""
        scaler = ChannelScaler(self._layout)
        self.scaler_ = scaler.fit(samples.X, samples.weights, samples.rows)

    def _train(self, samples, held_out, progress, epochs, first, incremental):
        """Return the net, trained on samples and validated on others."""
        random_state = self._random_state.get_state()

        def train(batch_size):
            self._random_state.set_state(random_state)
            n_steps = None if incremental else ceil(len(samples) / batch_size)
            options = self._optimization(n_steps)
            net = self._build_net(batch_size, samples, options) if first else self.net_
            net.set_params(batch_size=batch_size, verbose=self.verbose)
            if net.lr != self.lr:
                net.set_params(lr=self.lr)
            if not (first or incremental):
                self._renew(net, options)
            dataset = self._shuffled(samples, net)
            validation = self._validation(dataset, samples, held_out)
            train_net(
                net,
                dataset,
                epochs,
                lr_schedule="constant" if incremental else self.lr_schedule,
                generator=make_generator(self._next_seed(), net.device),
                monitors=self._monitors(
                    dataset, validation, progress, epochs, first, incremental
                ),
            )
            return net

        auto = self._auto_batch_size(len(samples))
        if first:
            net = self._with_memory(train, auto)
            self._memory_limit = net.batch_size if net.batch_size < auto else None
            return net
        return self._with_memory(train, min(auto, self._memory_limit or auto), False)

    def _monitors(self, dataset, validation, progress, epochs, first, incremental):
        """Return what looks at the network between epochs, in the right order."""
        monitors = []
        if self.weight_averaging is not None and not incremental:
            is_watched = validation is not None or progress.is_watched
            monitors.append(
                WeightAveraging(self.weight_averaging, dataset, epochs, is_watched)
            )
        if validation is not None:
            monitors.append(validation)
        monitors.append(progress)
        if self.lr_schedule == "plateau" and not incremental:
            monitors.append(Plateau(self.tol))
        if self.early_stopping:
            start = None if first else validation
            monitors.append(EarlyStopping(self.n_iter_no_change, self.tol, start))
        return monitors

    @_fit_context(prefer_skip_nested_validation=True)
    def find_lr(
        self, X, y, sample_weight=None, *, lr_min=1e-6, lr_max=1.0, n_steps=100
    ):
        """Train for some steps at rising learning rates, to find a good one.

        The estimator stays as it is, fitted or not: another one is trained.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            As in `fit`.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            As in `fit`.

        sample_weight : array-like of shape (n_samples,) or None, default=None
            As in `fit`.

        lr_min : float, default=1e-6
            Learning rate of the first step.

        lr_max : float, default=1.0
            Learning rate of the last step, where the loss has not diverged
            before.

        n_steps : int, default=100
            Number of steps, each on one batch.

        Returns
        -------
        skcnn.training.LearningRateCurve
            The rates `lrs`, the `losses`, a `suggestion` for `lr`, and `plot`.

        Raises
        ------
        ValueError
            As `fit`, and if not ``0 < lr_min < lr_max`` or `n_steps` is below 1.

        TypeError
            If `n_steps` is no integer, or a rate no number.
        """
        check_scalar(n_steps, "n_steps", Integral, min_val=1)
        check_scalar(lr_min, "lr_min", Real)
        check_scalar(lr_max, "lr_max", Real)
        if not 0 < lr_min < lr_max < np.inf:
            raise ValueError(
                f"lr_min={lr_min!r} and lr_max={lr_max!r}, expected "
                "0 < lr_min < lr_max, both finite."
            )
        other = clone(self).set_params(callbacks=None, verbose=0)
        lrs = np.geomspace(lr_min, lr_max, n_steps)
        return other._test_range(X, y, sample_weight, lrs)

    @usual_torch()
    def _test_range(self, X, y, sample_weight, lrs):
        samples, _ = self._check_samples(X, y, sample_weight, first=True)
        self._random_state = check_random_state(self.random_state)
        self._learn_scale(samples)

        def test(batch_size):
            options = self._optimization(ceil(len(samples) / batch_size))
            net = self._build_net(batch_size, samples, options)
            dataset = self._shuffled(samples, net)
            generator = make_generator(self._next_seed(), net.device)
            return range_test(net, dataset, lrs, generator)

        return self._with_memory(test, self._auto_batch_size(len(samples)))

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
    def _all_or_nothing(self, first):
        """Undo a training that is interrupted or fails.

        What was learnt before stays; where nothing was, the estimator is not fitted.
        """
        before = None if first else self._snapshot()
        try:
            yield
        except BaseException:
            self._forget() if first else self._restore(before)
            raise

    def _snapshot(self):
        """Return all that training changes."""
        random_state = self._random_state.get_state()
        return self.net_.snapshot(), random_state, self._validation_seed

    def _restore(self, snapshot):
        """Go back to a snapshot."""
        net, random_state, self._validation_seed = snapshot
        self.net_.restore(net)
        self._random_state.set_state(random_state)

    def _check_unchanged(self):
        """Raise an error where the network was built with other parameters."""
        for name, value in self._built_with.items():
            now = getattr(self, name)
            if now is value:
                continue
            if self._in_one_form(name, now) != self._in_one_form(name, value):
                now, value = map(SHORT.repr, (now, value))
                raise ValueError(
                    f"{name} is {now}, but the network that is to be trained further "
                    f"was built with {value}. Set it back, or build a new network: "
                    "fit with warm_start=False."
                )

    def _in_one_form(self, name, value):
        """Return one of the forms in which the value of a parameter may be given."""
        return tuple(value) if isinstance(value, list) else value

    def _with_memory(self, function, auto, retry=True):
        """Call a function of the batch size, `auto` where `batch_size` says so.

        Only what "auto" chose is halved where it does not fit in memory.
        """
        if self.batch_size != "auto":  # predict sees what set_params set after fit
            auto, retry = self.batch_size, False
            check_scalar(auto, "batch_size", Integral, min_val=1)
        if retry:
            return halve_until_it_fits(function, auto)
        with explain_out_of_memory(auto):
            return function(auto)

    def _auto_batch_size(self, n_samples):
        return auto_batch_size(n_samples)

    def _next_seed(self):
        return self._random_state.randint(MAX_SEED)

    @property
    @abstractmethod
    def _network_parameters(self):
        """Names of the parameters that say how a network is built and reads X."""

    @abstractmethod
    def _module_factory(self):
        """Return a function without arguments that builds the network."""

    @property
    def _input_shape(self):
        """Shape of a sample as the network takes it, channels first."""
        return self._layout.input_shape

    def _blank_sample(self, samples):
        """Return a batch of one sample for a network to be tried on."""
        return torch.zeros(1, *self._input_shape)

    def _build_net(self, batch_size, samples, options):
        """Return the network that the parameters describe, ready to be trained."""
        self._built_with = {
            name: getattr(self, name) for name in self._network_parameters
        }
        return build_net(
            self._module_factory(),
            criterion=self._criterion,
            blank=self._blank_sample(samples),
            n_outputs=self._n_outputs,
            lr=self.lr,
            batch_size=batch_size,
            verbose=self.verbose,
            device=check_device(self.device),
            precision=self.precision,
            seed=self._next_seed(),
            **options,
        )

    def _renew(self, net, options):
        """Let a network be trained as the parameters say now."""
        renew_net(net, **options)

    def _optimization(self, n_steps):
        """Return options of the training in epochs of so many steps, or in none."""
        weight_decay = self.weight_decay
        if weight_decay == "auto":
            weight_decay = choose_weight_decay(self.optimizer, self.lr, n_steps)
        return {
            "criterion_arguments": self._criterion_arguments,
            "optimizer": self.optimizer,
            "weight_decay": weight_decay,
            "callbacks": check_callbacks(self.callbacks),
        }

    def _scaling(self, X):
        """Return what turns the images of X into the input of the network."""
        return self.scaler_

    def _images(self, X, device, once=False):
        scaling, dtype = self._scaling(X), DTYPES[self._precision]
        images = Images(X, scaling, device, dtype, once)
        return ScaledImages(images) if ScaledImages.is_worthwhile(images) else images

    @property
    def _precision(self):
        """Precision to compute in: the parameter, where the weights have its dtype."""
        if not self.__sklearn_is_fitted__():
            return self.precision
        if self.precision not in DTYPES:  # set after fit
            self._validate_params()
        suits = DTYPES[self.precision] == DTYPES[self.net_.precision]
        return self.precision if suits else self.net_.precision

    def _training_images(self, X, device):
        """Return the images of X as training and validation read them."""
        return self._images(X, device)

    def _shuffled(self, samples, net):
        """Return samples where the network is, with an order of their own."""
        device = torch.device(net.device)
        images = self._training_images(samples.X, device)
        order = make_generator(self._next_seed())
        return self._training_set(images, samples, order, self._augment(device))

    def _augment(self, device):
        """Return what augments batches, with random numbers of its own, or None."""
        if self.augmentation is None:
            return None
        augment = make_augmentation(self.augmentation, len(self._input_shape) - 1)
        generator = make_generator(self._next_seed(), device)
        if not augment.is_known:  # and may draw from the global generator
            augment = partial(draw_privately, PrivateRandomness(generator), augment)
        return partial(augment, generator=generator)

    def _training_set(self, images, samples, generator=None, augment=None):
        """Return samples, targets and weights where the network is."""
        dtype = DTYPES[self.precision]
        targets = torch.as_tensor(samples.targets, device=images.device)
        if targets.is_floating_point():
            targets = targets.to(dtype)
        weights = samples.weights
        if weights is not None:
            weights = torch.as_tensor(weights).to(images.device, dtype)
        images = images.subset(samples.rows)
        return TrainingSet(images, targets, weights, generator, augment)

    def _outputs(self, X):
        """Return the outputs of the network for X, (n_samples, n_outputs)."""
        check_is_fitted(self)
        X = check_image_array(self, X, sample_shape=self._known_shape, reset=False)
        self._check_shape(X)
        return self._compute_outputs(X)

    @usual_torch()
    def _compute_outputs(self, X, module=None):
        """Return the outputs, of the network or a part of it, for validated X."""
        device = next(self.module_.parameters()).device
        images = self._images(X, device, once=True)
        return self._with_memory(
            lambda batch_size: predict_batches(
                module or self.module_,
                images,
                batch_size,
                self._precision,
                self.net_.flops_,
            ),
            auto=self._predict_batch_size,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags
