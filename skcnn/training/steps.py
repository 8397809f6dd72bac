"""Training steps: gradients of the weights for a batch."""

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
    fixed_kernels,
    is_of,
    make_generator,
    use_threads_for,
)
from .recording import RecordedPasses, is_recordable
from .row_updates import row_updates

RANDOM_LAYERS = (_DropoutNd, nn.RReLU, nn.RNNBase, nn.Transformer)


class TrainingSteps:
    """The training steps of a net: on the CPU, on a GPU, and what makes them fast.

    Warning: this class is not meant to be used, `Net` is.
    """

    _recorded = None  # passes on a GPU that are replayed
    _others_randomness = nullcontext()  # for code of others, during training

    @contextmanager
    def computing(self, n_samples):
        """Use the threads that pay for a batch, and a GPU's deterministic kernels.

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
        """Within this context, `infer` can take training batches.

        Parameters
        ----------
        dataset : TrainingSet
            Where the batches come from.

        generator : torch.Generator
            For random layers, on the device of the network.
        """
        self._randomness = PrivateRandomness(generator)
        others = make_generator(generator.initial_seed() + 2, generator.device)
        self._others_randomness = PrivateRandomness(others)
        self._give_generator(generator)
        self._frozen_statistics = len(dataset) == 1
        self._is_plain = all(map(is_never_random, self.module_.modules()))
        self._evaluation = self._private_evaluation(generator)
        try:
            with (
                explain_lone_sample(self.batch_size),
                self._step_hooks(),
                self._recording(dataset, generator),
            ):
                yield
        finally:
            self._give_generator(None)
            del self._randomness, self._others_randomness, self._evaluation

    def _private_evaluation(self, generator):
        """Return the context of passes between epochs, which may be random, too.

        Their numbers are not those of training, which so is the same without them.
        """
        if self._is_plain:
            return nullcontext()
        seed = generator.initial_seed() + 1
        return PrivateRandomness(make_generator(seed, generator.device))

    @contextmanager
    def _recording(self, dataset, generator):
        """Within this context, passes on a GPU are recorded, if that can be."""
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
        """Return whether batches are alike, and nobody changes what a pass does."""
        return (
            isinstance(dataset.images, (Images, FeatureVectors))
            and is_recordable(self.module_, self.criterion_)
            and self._has_harmless_callbacks()
        )

    @contextmanager
    def _step_hooks(self):
        """Within this context, steps treat the network as it wants to be treated.

        Weights with sparse gradients are updated by rows. A network that keeps its
        weights within bounds has a method `after_step`.
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
        """Let the package's own random layers draw from `generator`."""
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
        """Make the optimiser's step; one that draws random numbers draws the fit's."""
        is_foreign = not is_of(type(self.optimizer_), "torch", "skcnn")
        with self._randomness_of(is_foreign):
            self.optimizer_.step()

    def _randomness_of(self, is_foreign):
        """Return the context of code of others, in which it may draw."""
        return self._others_randomness if is_foreign else nullcontext()

    def _compute_gradients(self, X, y):
        """Add the gradients of a batch to those of the weights; return the loss."""
        loss = self.get_loss(self.infer(X), y)
        loss.backward()
        return loss.detach()

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
        with self._randomness, autocast(x.device, self.precision):
            out = self.module_(x).to(DTYPES[self.precision])
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
    """Say what to do if a batch holds too few values for their variance."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size={batch_size} leaves a sample alone in a batch. Where its maps "
            "have one pixel, batch normalisation finds no variance. Choose a larger "
            "batch_size, or norm='group' or None."
        ) from error


def is_never_random(module):
    """Return whether it is known that a layer does not draw random numbers."""
    is_known = is_of(type(module).forward, "torch.nn", "skcnn")
    return is_known and not isinstance(module, RANDOM_LAYERS)
