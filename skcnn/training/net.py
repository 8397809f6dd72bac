"""Training loop: a skorch net with faster epochs.

skorch owns the loop over epochs, the callbacks and the history. Batches are recorded
only if a callback needs them, because that takes longer than a step of a small network.
"""

from contextlib import contextmanager
from copy import deepcopy
from math import inf
from numbers import Real
from zlib import crc32

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    LRScheduler,
    ParamMapper,
)
from skorch.history import History

from ..data import Batches
from ..runtime import check_same_in_processes, count_processes, is_of
from .callbacks import EpochLog, explain_missing_validation
from .divergence import check_finite, check_network
from .inference import compute_outputs
from .schedules import SCHEDULES
from .steps import TrainingSteps

BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


class Net(TrainingSteps, NeuralNet):
    """A skorch net whose epochs run without waiting for the device.

    Parameters
    ----------
    module : torch.nn.Module
        Network, on its device.

    precision : str, default="float32"
        Key of `skcnn.runtime.DTYPES`.

    optimizer_arguments : dict, default=()
        Arguments of the optimiser, except the learning rate.

    **kwargs : dict
        Arguments of :class:`skorch.NeuralNet`.
    """

    _starts_again = False  # whether callbacks do so at the next call of `train`

    def __init__(
        self,
        module,
        *,
        precision="float32",
        optimizer_arguments=(),
        **kwargs,
    ):
        self.precision = precision
        self.optimizer_arguments = optimizer_arguments
        super().__init__(
            module,
            train_split=None,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_valid=Batches,
            **kwargs,
        )

    def __reduce__(self):
        """Pickle and copy the net as plain data, unlike skorch."""
        from .net_state import net_from_state, net_state

        return net_from_state, (net_state(self), self.criterion)

    @property
    def _default_callbacks(self):
        return [("epoch_timer", EpochTimer()), ("print_log", EpochLog())]

    def initialize_optimizer(self, *args, **kwargs):
        """Set up the optimiser for the trainable parameters.

        A network with several learning rates has a method `parameter_groups`, which
        returns groups of parameters with an `lr_factor` each.
        """
        groups = getattr(self.module_, "parameter_groups", self._one_group)()
        self.optimizer_ = self.optimizer(
            groups, lr=self.lr, **dict(self.optimizer_arguments)
        )
        self.set_learning_rate(self.lr)
        return self

    def _one_group(self):
        return [{"params": [p for p in self.module_.parameters() if p.requires_grad]}]

    def set_learning_rate(self, lr):
        """Set the learning rate of each parameter group: `lr` times its factor.

        Parameters
        ----------
        lr : float
            Learning rate of parameters with a factor of 1.
        """
        for group in self.optimizer_.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1)

    def renew(self, **parameters):
        """Set up callbacks, loss and optimiser again, and keep the network.

        Parameters
        ----------
        **parameters : dict
            New values of parameters of the net.
        """
        vars(self).update(parameters)
        self.initialized_ = False  # else skorch prints what is set up again
        self._initialize_callbacks()
        self._initialize_criterion()
        self._initialize_optimizer()
        self.initialized_ = True
        self._starts_again = True

    def snapshot(self):
        """Copy the state that training changes, for `restore`.

        Returns
        -------
        dict
            Attributes, number of epochs, weights and state of the optimiser.
        """
        return {
            "attributes": dict(vars(self)),
            "n_epochs": len(self.history),
            "weights": deepcopy(self.module_.state_dict()),
            "optimizer": deepcopy(self.optimizer_.state_dict()),
        }

    def restore(self, snapshot):
        """Restore an earlier state.

        Parameters
        ----------
        snapshot : dict
            Result of `snapshot`.
        """
        vars(self).clear()
        vars(self).update(snapshot["attributes"])
        del self.history[snapshot["n_epochs"] :]
        self.module_.load_state_dict(snapshot["weights"])
        self.optimizer_.load_state_dict(snapshot["optimizer"])

    def train(
        self, dataset, epochs, schedule, generator, monitors=(), keeps_epochs=False
    ):
        """Train for some epochs.

        Unlike in :meth:`skorch.NeuralNet.partial_fit`, Ctrl-C raises.

        Parameters
        ----------
        dataset : TrainingSet
            Samples and targets.

        epochs : int
            Number of passes over the samples.

        schedule : callable
            Function from progress to a factor of the learning rate.

        generator : torch.Generator
            Random numbers of layers such as dropout, on the device of the network.

        monitors : sequence of Monitor, default=()
            Monitors, called between epochs.

        keeps_epochs : bool, default=False
            Whether Ctrl-C keeps the epochs that were completed.

        Returns
        -------
        KeyboardInterrupt or None
            Interrupt that ended the training; the caller raises it.
        """
        self._schedule = schedule
        self._n_steps = epochs * len(Batches(dataset, self.batch_size))
        self._step = 0
        self._monitors = monitors
        if not self._resumes_schedule():
            # set_params may have set the learning rate of all groups
            self.set_learning_rate(self.lr)
        if count_processes() > 1:
            task = self._task(dataset, epochs)
            check_same_in_processes("training data and parameters", task)
        with self.ready(dataset, generator):
            with self._new_beginning():
                self.notify("on_train_begin", X=dataset, y=None)
            for monitor in monitors:
                monitor.begin(self)
            interrupt = self._train_epochs(dataset, epochs, keeps_epochs)
            for monitor in monitors:
                monitor.end(self)
            self.notify("on_train_end", X=dataset, y=None)
        check_network(self)
        self.module_.eval()  # later calls must not change its statistics
        del self._schedule, self._monitors
        return interrupt

    def _task(self, dataset, epochs):
        """Return values that must be equal in processes that train together."""
        targets = dataset.targets.cpu().numpy().tobytes()
        return len(dataset), crc32(targets), epochs, self.batch_size, self.lr

    def _train_epochs(self, dataset, epochs, keeps_epochs):
        """Train epoch by epoch; return the interrupt if earlier epochs were kept."""
        kept = None
        try:
            for _ in range(epochs):
                is_last = self._train_epoch(dataset)
                if keeps_epochs:
                    kept = len(self.history), deepcopy(self.module_.state_dict())
                if is_last:
                    break
        except KeyboardInterrupt as interrupt:
            if kept is None:
                raise
            n_epochs, weights = kept
            del self.history[n_epochs:]
            self.module_.load_state_dict(weights)
            interrupt.add_note(
                f"{n_epochs} of {epochs} epochs are kept: the estimator is fitted and "
                "predict works. To train on, set warm_start=True and call fit."
            )
            return interrupt

    def _resumes_schedule(self):
        """Return whether a callback continues from the current learning rate."""
        return len(self.history) > 0 and not self._starts_again and self.has_scheduler()

    def has_scheduler(self):
        """Return whether a callback sets the learning rate."""
        return any(isinstance(callback, LRScheduler) for _, callback in self.callbacks_)

    @contextmanager
    def _new_beginning(self):
        """Hide earlier epochs from callbacks that start again."""
        history = self.history_
        if self._starts_again:
            self.history_ = History()
        try:
            yield
        finally:
            self.history_ = history
            self._starts_again = False

    def _train_epoch(self, dataset):
        """Train for an epoch and return whether it was the last one."""
        for monitor in self._monitors:
            monitor.begin_epoch(self)
        interrupted = False
        try:
            self.fit_loop(dataset, epochs=1)
        except KeyboardInterrupt:
            if not self._has_stopped_early():
                raise
            interrupted = True
        stops = [monitor.end_epoch(self) for monitor in self._monitors]
        return interrupted or any(stops)

    def _has_stopped_early(self):
        """Return whether skorch's EarlyStopping has raised the interrupt."""
        return any(
            isinstance(callback, EarlyStopping)
            and callback.misses_ == callback.patience
            for _, callback in self.callbacks_
        )

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; if they draw random numbers, these are the fit's own."""
        foreign = not self._has_harmless_callbacks()
        with self._randomness_of(foreign), explain_missing_validation():
            return super().notify(method_name, **cb_kwargs)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run one epoch and record its mean loss; evaluation is done by monitors."""
        if not training:
            for monitor in self._monitors:
                monitor.evaluate(self)
            return
        if not any(p.requires_grad for p in self.module_.parameters()):
            raise ValueError(
                "A callback has frozen all parameters of the network. Leave at least "
                "one trainable."
            )
        if self._wants_batches():
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            loss = self._mean_of_batches(prefix)
        else:
            loss = self._run_lean_epoch(iterator)
            self.history.new_batch()  # callbacks read the last batch
        check_finite(loss, "training loss", self)
        self.record(f"{prefix}_loss", loss, larger_is_better=False)

    def record(self, name, value, *, larger_is_better):
        """Record a value of an epoch, and as ``<name>_best`` whether it is the best.

        Parameters
        ----------
        name : str
            Name in the history.

        value : float
            The value.

        larger_is_better : bool
            Whether the value is a score rather than a loss.
        """
        before = [row[name] for row in self.history[:-1] if name in row]
        is_best = all(value > v if larger_is_better else value < v for v in before)
        self.history.record(name, value)
        self.history.record(f"{name}_best", is_best)

    def _wants_batches(self):
        """Return whether a callback needs single batches."""
        return any(
            getattr(type(callback), hook) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in BATCH_HOOKS
        )

    def _has_harmless_callbacks(self):
        """Return whether all callbacks are known and none freezes layers."""
        return all(
            is_of(type(callback), "skorch", "skcnn")
            and not isinstance(callback, ParamMapper)
            for _, callback in self.callbacks_
        )

    def _mean_of_batches(self, prefix):
        rows = self.history[-1]["batches"]
        losses = [row[f"{prefix}_loss"] for row in rows]
        sizes = [row[f"{prefix}_batch_size"] for row in rows]
        return self._mean_loss(torch.tensor(losses, dtype=torch.float64), sizes)

    def _run_lean_epoch(self, batches):
        """Train on each batch; losses stay on the device until the end."""
        self._set_training(True)
        losses, sizes = [], []
        for X, y in batches:
            self._set_learning_rate()
            losses.append(self.step(X, y))
            sizes.append(len(X))
        return self._mean_loss(torch.stack(losses), sizes)

    def _mean_loss(self, losses, sizes):
        """Return the mean loss of an epoch from those of its batches."""
        if self._parallel is not None:
            losses = self._parallel.end_epoch(losses)
        return float(np.average(losses.tolist(), weights=sizes))

    def train_step(self, batch, **fit_params):
        """Run a step of skorch at the scheduled learning rate."""
        self._set_learning_rate()
        return super().train_step(batch, **fit_params)

    def _step_optimizer(self, step_fn):
        """Compute the gradients before hooks read them, then step as skorch does."""
        step_fn()
        self.update_weights()

    def _set_learning_rate(self):
        if self._schedule is not SCHEDULES["constant"]:
            progress = self._step / self._n_steps
            factor = self._schedule(progress)
            if not isinstance(factor, Real) or not 0 <= factor < inf:
                raise ValueError(
                    f"lr_schedule returned {factor!r} at progress {progress:.3g}, "
                    "expected a finite, non-negative factor of lr."
                )
            self.set_learning_rate(self.lr * factor)
        self._step += 1

    def predict_images(self, images):
        """Compute the outputs for images during training, as `predict_batches` does.

        Parameters
        ----------
        images : Images
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Outputs in double precision; they may not be finite.
        """
        with self._evaluation:
            return compute_outputs(
                self.module_, images, self.batch_size, self.precision
            )
