"""Training steps."""

from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..data import FeatureVectors, Images
from ..modules import Dropout
from ..runtime import (
    DTYPES,
    PrivateRandomness,
    autocast,
    count_processes,
    fixed_kernels,
    is_of,
    make_generator,
    use_threads_for,
)
from .data_parallel import DataParallel
from .recording import RecordedPasses, is_recordable
from .row_updates import row_updates

RANDOM_LAYERS = (_DropoutNd, nn.RReLU, nn.RNNBase, nn.Transformer)


class TrainingSteps:
    """Mixin of `Net`: training steps on the CPU, on a GPU and in several processes."""

    _recorded = None  # passes that a GPU replays
    _parallel = None  # the network, if several processes train it together
    _others_randomness = nullcontext()  # for foreign code, during training

    @contextmanager
    def computing(self, n_samples):
        """Use a suitable number of threads, or deterministic kernels on a GPU.

        Parameters
        ----------
        n_samples : int
            Number of samples of the fit.
        """
        device = torch.device(self.device)
        flops = self.flops_ * min(self.batch_size, n_samples)
        kernels = fixed_kernels.held() if device.type == "cuda" else nullcontext()
        with kernels, use_threads_for(flops, device):
            yield

    @contextmanager
    def ready(self, dataset, generator):
        """Prepare for training batches.

        Parameters
        ----------
        dataset : TrainingSet
            Source of the batches.

        generator : torch.Generator
            Random numbers of layers such as dropout, on the device of the network.
        """
        self._randomness = PrivateRandomness(generator)
        others = make_generator(generator.initial_seed() + 2, generator.device)
        self._others_randomness = PrivateRandomness(others)
        self._give_generator(generator)
        self._frozen_statistics = len(dataset) == 1
        self._is_plain = all(map(is_never_random, self.module_.modules()))
        self._evaluation = self._private_evaluation(generator)
        if count_processes() > 1:
            self._parallel = DataParallel(self.module_)
        try:
            with (
                explain_lone_sample(self.batch_size),
                self._step_hooks(),
                self._recording(dataset, generator),
            ):
                yield
        finally:
            self._give_generator(None)
            self._parallel = None
            del self._randomness, self._others_randomness, self._evaluation

    def _private_evaluation(self, generator):
        """Return the context of passes between epochs.

        If they draw random numbers, those of training stay the same.
        """
        if self._is_plain:
            return nullcontext()
        seed = generator.initial_seed() + 1
        return PrivateRandomness(make_generator(seed, generator.device))

    @contextmanager
    def _recording(self, dataset, generator):
        """Record and replay passes on a GPU, if possible."""
        if not self._may_record(dataset):
            yield
            return
        weights = [w for group in self.optimizer_.param_groups for w in group["params"]]
        self._recorded = RecordedPasses(self._compute_gradients, weights, generator)
        try:
            yield
        finally:
            self._recorded.close()
            del self._recorded

    def _may_record(self, dataset):
        """Return whether each pass does the same, on batches of the same kind."""
        return (
            self._parallel is None
            and isinstance(dataset.images, (Images, FeatureVectors))
            and is_recordable(self.module_, self.criterion_)
            and self._has_harmless_callbacks()
        )

    @contextmanager
    def _step_hooks(self):
        """Update weights with sparse gradients by rows, and call `after_step`.

        A network that keeps its weights within bounds has this method.
        """
        layers = self.module_.modules()
        is_sparse = any(getattr(layer, "sparse", False) for layer in layers)
        with row_updates(self.optimizer_) if is_sparse else nullcontext():
            after_step = getattr(self.module_, "after_step", None)
            if after_step is None:
                yield
                return
            hook = self.optimizer_.register_step_post_hook(lambda *args: after_step())
            try:
                yield
            finally:
                hook.remove()

    def _give_generator(self, generator):
        """Set the generator of the package's own random layers."""
        for module in self.module_.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def step(self, X, y):
        """Train on a batch.

        Parameters
        ----------
        X : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images.

        y : torch.Tensor or tuple
            Targets, or ``(targets, weights)``.

        Returns
        -------
        torch.Tensor
            Mean loss before the step, a scalar on the device.
        """
        if self._recorded is None:
            self.optimizer_.zero_grad()
            loss = self._compute_gradients(X, y)
        else:
            loss = self._recorded(X, y)
        self.update_weights()
        return loss

    def update_weights(self):
        """Step the optimiser; if it draws random numbers, these are the fit's own."""
        is_foreign = not is_of(type(self.optimizer_), "torch", "skcnn")
        with self._randomness_of(is_foreign):
            self.optimizer_.step()

    def _randomness_of(self, is_foreign):
        """Return the context in which foreign code may draw random numbers."""
        return self._others_randomness if is_foreign else nullcontext()

    def _compute_gradients(self, X, y):
        """Add the gradients of a batch to those of the weights; return the loss."""
        return self._backward(X, y)[0].detach()

    def _backward(self, X, y):
        """Add the gradients of a batch; return the loss and the outputs."""
        factor = None
        if self._parallel is not None:
            X, y, factor = self._parallel.part(X, y)
        outputs = self.infer(X)
        loss = self.get_loss(outputs, y)
        if factor is not None:
            loss = factor * loss
        loss.backward()
        return loss, outputs

    def train_step_single(self, batch, **fit_params):
        """Compute the gradients of a batch, in a step of skorch."""
        self._set_training(True)
        loss, outputs = self._backward(*batch)
        return {"loss": loss, "y_pred": outputs}

    def _set_training(self, training=True):
        super()._set_training(training)
        if training and self._frozen_statistics:  # one sample has no statistics
            for module in self.module_.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def infer(self, x, **fit_params):
        """Return the outputs of the network for a batch."""
        if not self.module_.training:
            with autocast(x.device, self.precision):
                return self.module_(x).to(DTYPES[self.precision])
        module = self.module_ if self._parallel is None else self._parallel.module
        with self._randomness, autocast(x.device, self.precision):
            out = module(x).to(DTYPES[self.precision])
        if self._is_plain and not getattr(self._randomness, "n_draws", True):
            self._randomness = nullcontext()  # no other layer draws
        return out

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the mean loss of a batch, weighted if samples have weights."""
        if isinstance(y_true, list):  # the classes that were mixed
            return sum(self.get_loss(y_pred, mixed) for mixed in y_true)
        if not isinstance(y_true, tuple):
            self.criterion_.reduction = "mean"
            return self.criterion_(y_pred, y_true)
        y_true, weight = y_true
        self.criterion_.reduction = "none"
        losses = self.criterion_(y_pred, y_true)
        if losses.ndim > 1:
            losses = losses.mean(dim=1)
        return (weight * losses).mean()


@contextmanager
def explain_lone_sample(batch_size):
    """Explain the error of a batch with too few values for a variance."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size={batch_size} gives a batch of one sample, but batch "
            "normalisation needs more than one value per channel. Increase batch_size, "
            "or set norm='group'."
        ) from error


def is_never_random(module):
    """Return whether a layer is known to draw no random numbers."""
    is_known = is_of(type(module).forward, "torch.nn", "skcnn")
    return is_known and not isinstance(module, RANDOM_LAYERS)
