"""Forward and backward passes that are recorded as CUDA graphs and replayed."""

import threading
from collections import Counter, defaultdict

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from ..modules import BinaryCrossEntropy
from ..runtime import is_of

# Number of passes before recording, in which libraries choose their kernels.
WARM_UP = 3
MAX_PASSES = 4
RECORDABLE_LAYERS = ("torch.nn", "skcnn", "torchvision.models", "torchvision.ops")
LOSSES = {nn.CrossEntropyLoss, nn.MSELoss, BinaryCrossEntropy}
# Hooks that a user may have added to a layer.
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def is_recordable(network, criterion):
    """Return whether the passes of a network may be recorded.

    Parameters
    ----------
    network : torch.nn.Module
        The network.

    criterion : torch.nn.Module
        Loss of the network.

    Returns
    -------
    bool
        Whether all layers are from torch, torchvision or this package, without hooks
        or sparse gradients. Other layers may run code that is not recorded.
    """
    return (
        type(criterion) in LOSSES
        and not _has_any_global_hook()
        and all(map(_is_recordable, (criterion, *network.modules())))
        and all(w.is_cuda and not _has_hooks(w) for w in network.parameters())
    )


def _is_recordable(layer):
    return (
        is_of(type(layer).forward, *RECORDABLE_LAYERS)
        and not _is_changed(layer)
        and not getattr(layer, "sparse", False)
        and getattr(layer, "momentum", 0) is not None  # counts batches on the CPU
    )


def _is_changed(layer):
    """Return whether a layer has a hook or a replaced method."""
    is_patched = not {"forward", "_conv_forward"}.isdisjoint(vars(layer))
    return is_patched or any(getattr(layer, hooks) for hooks in HOOKS)


def _has_hooks(weight):
    """Return whether a weight has hooks on its gradient."""
    return bool(weight._backward_hooks or weight._post_accumulate_grad_hooks)


class RecordingStreams:
    """Pool of CUDA streams for recording, each for one fit at a time.

    The graphs recorded on a stream share memory, which torch frees with the first of
    them. torch reuses streams after 32 of the same priority, so these have another
    priority than the streams that send batches.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._free = defaultdict(list)

    def take(self, device):
        """Return a stream of a device that no other fit uses."""
        with self._lock:
            free = self._free[device]
            return free.pop() if free else torch.cuda.Stream(device, priority=-1)

    def give_back(self, stream):
        """Let other fits use a stream."""
        with self._lock:
            self._free[stream.device].append(stream)


recording_streams = RecordingStreams()


class RecordedPasses:
    """Forward and backward passes on a GPU, recorded and replayed as CUDA graphs.

    Python takes longer to launch the kernels of a small network one by one than the
    GPU takes to run them; a recorded graph is launched at once. The first passes of
    each shape are not recorded; after a failed recording, none are.

    Parameters
    ----------
    compute : callable
        Function from ``(X, y)`` to the loss, a detached tensor. It sets the gradients
        of the weights, which have none before.

    weights : iterable of torch.nn.Parameter
        Weights of the network.

    generator : torch.Generator
        Source of the random numbers in a pass.
    """

    _recording = threading.Lock()  # torch records one at a time

    def __init__(self, compute, weights, generator):
        self.compute = compute
        self.weights = list(weights)
        self.generator = generator
        self.stream = recording_streams.take(generator.device)
        self.pool = torch.cuda.graph_pool_handle()
        self._passes = {}
        self._n_seen = Counter()
        self._is_possible = True

    def __call__(self, X, y):
        """Compute the gradients of a batch.

        Parameters
        ----------
        X : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Scaled images.

        y : torch.Tensor or tuple or list
            Targets, ``(targets, weights)``, or a list of such pairs for mixed classes.

        Returns
        -------
        torch.Tensor
            The loss, a scalar.
        """
        tensors = (X, *y) if isinstance(y, tuple) else (X, y)
        recorded = None if isinstance(y, list) else self._find(tensors)
        if recorded is not None:
            return recorded.replay(tensors)
        self._forget_gradients()
        return self.compute(X, y)

    def _find(self, tensors):
        """Return the recorded pass for tensors of these shapes, None without one."""
        form = tuple((tuple(t.shape), t.stride(), t.dtype) for t in tensors)
        if form in self._passes:
            return self._passes[form]
        self._n_seen[form] += 1
        is_due = self._n_seen[form] > WARM_UP and len(self._passes) < MAX_PASSES
        return self._record(form, tensors) if is_due and self._is_possible else None

    def _record(self, form, tensors):
        """Record a pass and return it, None if it cannot be recorded."""
        self._forget_gradients()
        before = self.generator.get_state()
        try:
            with self._recording:
                self._passes[form] = RecordedPass(self, tensors)
        except RuntimeError:  # for example, too little memory
            self._passes.clear()
            self._is_possible = False
            self._release_generator(before)
        return self._passes.get(form)

    def _release_generator(self, state):
        """Release the generator, which a failed recording still holds."""
        fresh = torch.Generator(self.generator.device)
        fresh.set_state(state)
        self.generator.graphsafe_set_state(fresh.graphsafe_get_state())

    def _forget_gradients(self):
        for weight in self.weights:
            weight.grad = None

    def close(self):
        """Release the memory of the recorded passes."""
        self._forget_gradients()
        self._passes.clear()
        recording_streams.give_back(self.stream)

    def __reduce__(self):
        """Pickle and copy as None, as graphs cannot be stored."""
        return type(None), ()


class RecordedPass:
    """Recorded forward and backward pass of batches of one shape.

    Parameters
    ----------
    passes : RecordedPasses
        Computation to record, with its stream and memory pool.

    tensors : tuple of torch.Tensor
        Samples, targets and optionally weights.
    """

    def __init__(self, passes, tensors):
        self.weights = passes.weights
        self.inputs = [tensor.clone() for tensor in tensors]
        X, *y = self.inputs
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(passes.generator)
        graph = torch.cuda.graph(
            self.graph, passes.pool, passes.stream, capture_error_mode="thread_local"
        )
        # the outer context leaves the stream even if recording fails
        with torch.cuda.stream(passes.stream), graph:
            self.loss = passes.compute(X, tuple(y) if len(y) > 1 else y[0])
        self.gradients = [weight.grad for weight in self.weights]

    def replay(self, tensors):
        """Compute the gradients of a batch; return the loss, a scalar."""
        for kept, tensor in zip(self.inputs, tensors, strict=True):
            kept.copy_(tensor)
        self.graph.replay()
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            weight.grad = gradient
        return self.loss.clone()
