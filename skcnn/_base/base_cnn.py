"""Base class of the estimators that train a network."""

from abc import ABCMeta, abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from ..runtime import DTYPES, make_generator, usual_torch
from ..training import (
    CallbackSupportMixin,
    net_from_state,
    net_state,
    predict_batches,
    range_test,
)
from .batch_sizes import auto_batch_size, auto_max_epochs, call_with_batch_size
from .checked_samples import check_training_samples
from .net_building import new_net
from .plain_state import copy_shallow, with_built_networks, with_stored_networks
from .shuffled_samples import shuffled_samples

MAX_SEED = np.iinfo(np.int32).max


class BaseCNN(CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta):
    """Base class of the estimators that train a network.

    Warning: this class should not be used directly. Use its subclasses instead.

    A subclass implements `fit` and `partial_fit` by the steps of `fitting`, and
    `predict` from `_outputs`. It provides

    - `_input`, the module whose functions read X: `array_input`, `backbone_input` or
      `sentence_input`;
    - `_Targets`, the class that reads y: `ClassTargets` or `ValueTargets`;
    - `_network_parameters`, names of the parameters that determine the network and how
      X is read. They must not change if a fitted network is trained further;
    - `_make_network()`, which returns a function without arguments that builds the
      network.

    It may override

    - `_prepare_net(net, samples)`, called before training, with samples for a new net,
      without them in a warm start;
    - `_finish_training()`, called after each training;
    - `_resume_after_training()`, called if a stored fit is loaded instead of training;
    - `_read_besides()`, which returns values that a fit depends on besides parameters
      and samples;
    - `_auto_batch_sizes` and `_predict_batch_size`, the limits of ``batch_size="auto"``
      in training, and its value in predictions;
    - `_fewest_auto_epochs`, the minimum of ``max_epochs="auto"``.
    """

    _auto_batch_sizes = (8, 128)  # the smallest and the largest in training
    _predict_batch_size = 128
    _fewest_auto_epochs = 20

    @property
    def module_(self):
        """Trained network, a :class:`torch.nn.Module`.

        It maps the output of `to_input` to logits in a classifier, and to standardised
        values of y in a regressor.
        """
        check_is_fitted(self)
        return self.net_.module_

    @property
    def history_(self):
        """One row for each epoch, a :class:`skorch.history.History`."""
        check_is_fitted(self)
        return self.net_.history

    @property
    def loss_curve_(self):
        """Mean training loss of each epoch."""
        return [row["train_loss"] for row in self.history_]

    @property
    def n_iter_(self):
        """Number of epochs trained so far."""
        return len(self.history_)

    @property
    def validation_scores_(self):
        """Score of the validation data after each epoch, None without such data."""
        rows = self.history_
        scores = [row["valid_score"] for row in rows if "valid_score" in row]
        return scores or None

    @property
    def best_validation_score_(self):
        """Maximum of `validation_scores_`, None without validation data."""
        scores = self.validation_scores_
        return max(scores) if scores else None

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    @_fit_context(prefer_skip_nested_validation=True)
    def find_lr(
        self, X, y, sample_weight=None, *, lr_min=1e-6, lr_max=1.0, n_steps=100
    ):
        """Run a learning-rate range test [1]_.

        A copy of the estimator is trained at learning rates that increase
        geometrically. The estimator itself does not change.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Training data, as in `fit`.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as in `fit`.

        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, as in `fit`.

        lr_min : float, default=1e-6
            Learning rate of the first step.

        lr_max : float, default=1.0
            Learning rate of the last step. The test ends earlier if the loss diverges.

        n_steps : int, default=100
            Number of steps, each on one batch.

        Returns
        -------
        skcnn.training.LearningRateCurve
            Learning rates `lrs`, their `losses`, a `suggestion` for `lr`, and `plot`.

        Raises
        ------
        ValueError
            If `fit` would raise it, ``0 < lr_min < lr_max`` does not hold, or `n_steps`
            is below 1.

        TypeError
            If `n_steps` is not an integer, or a learning rate not a number.

        References
        ----------
        .. [1] L. N. Smith, "Cyclical learning rates for training neural networks",
           WACV 2017.
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
        return other._test_rates(X, y, sample_weight, lrs)

    @usual_torch()
    def _test_rates(self, X, y, sample_weight, lrs):
        """Return the learning-rate curve of a new network."""
        samples, _ = check_training_samples(self, X, y, sample_weight, is_first=True)
        self._random_state = check_random_state(self.random_state)
        self._input.learn(self, samples)

        def test(batch_size):
            net = new_net(self, samples, batch_size)
            dataset = shuffled_samples(self, samples, torch.device(net.device))
            generator = make_generator(self._next_seed(), net.device)
            return range_test(net, dataset, lrs, generator)

        auto = self._auto_batch_size(len(samples))
        return call_with_batch_size(test, self.batch_size, auto)

    def to_input(self, X):
        """Convert X to the input of `module_`: scaled images, or word codes.

        Parameters
        ----------
        X : array-like
            Samples, as in `predict`.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, ...)
            Scaled images in float32, or float64 with ``precision="float64"``; for
            sentences, word codes in int64, of shape (n_samples, length). The tensor is
            on the CPU.
        """
        check_is_fitted(self)
        parts, cpu = self._input.check_parts(self, X), torch.device("cpu")
        batches = [self._input.network_input(self, part, cpu) for part in parts]
        return torch.cat([images.take(slice(None)) for images in batches])

    def __copy__(self):
        return copy_shallow(self)

    @usual_torch()
    def __getstate__(self):
        """Return the state with the network and its training as plain data."""
        state = dict(super().__getstate__())
        if "net_" in state:
            goes_on = self.warm_start or self._is_incremental
            state["net_"] = net_state(self.net_, keeps_optimizer=goes_on)
        return with_stored_networks(state)

    @usual_torch()
    def __setstate__(self, state):
        super().__setstate__(with_built_networks(state))
        if "net_" in state:
            self.net_ = net_from_state(state["net_"], self._targets.criterion)

    @property
    @abstractmethod
    def _input(self):
        """Module whose functions read X."""

    @property
    @abstractmethod
    def _Targets(self):
        """Class that reads y."""

    @property
    @abstractmethod
    def _network_parameters(self):
        """Names of the parameters that determine the network and how X is read."""

    @abstractmethod
    def _make_network(self):
        """Return a function without arguments that builds the network."""

    def _prepare_net(self, net, samples=None):
        """Prepare a net for training; samples are given if it is new."""

    def _finish_training(self):
        """Release what only training needs."""

    def _resume_after_training(self):
        """Set the attributes that training would have set and that are not stored."""

    def _read_besides(self):
        """Return values that a fit depends on besides parameters and samples."""

    def _outputs(self, X):
        """Return the outputs of the network for X, (n_samples, n_outputs)."""
        check_is_fitted(self)
        parts = map(self._compute_outputs, self._input.check_parts(self, X))
        return np.concatenate(list(parts))

    @usual_torch()
    def _compute_outputs(self, X, module=None):
        """Return the outputs of the network, or of a part of it, for validated X."""
        module = module or self.module_
        device = next(self.module_.parameters()).device
        images = self._input.images(self, X, device, once=True)

        def predict(batch_size):
            flops = self.net_.flops_
            return predict_batches(module, images, batch_size, self._precision, flops)

        return call_with_batch_size(predict, self.batch_size, self._predict_batch_size)

    @property
    def _precision(self):
        """Precision of predictions: `precision`, if it suits the weights."""
        if not self.__sklearn_is_fitted__():
            return self.precision
        if self.precision not in DTYPES:  # set after fit
            self._validate_params()
        suits = DTYPES[self.precision] == DTYPES[self.net_.precision]
        return self.precision if suits else self.net_.precision

    def _auto_batch_size(self, n_samples):
        return auto_batch_size(n_samples, *self._auto_batch_sizes)

    def _n_epochs(self, n_samples):
        """Return the maximum number of epochs of `fit`."""
        if self.max_epochs != "auto":
            return self.max_epochs
        auto = self._auto_batch_size(n_samples)
        batch_size = auto if self.batch_size == "auto" else self.batch_size
        return auto_max_epochs(n_samples, batch_size, self._fewest_auto_epochs)

    def _next_seed(self):
        return self._random_state.randint(MAX_SEED)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = self._Targets.multi_output
        return tags
