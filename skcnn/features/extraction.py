"""Fast computation of the features of a batch."""

from itertools import chain
from math import prod

import torch
from torch import fx
from torch.nn.modules.batchnorm import _BatchNorm

from ..backbones import cut_network, weightless_copy
from ..data import with_channels_last
from ..runtime import map_in_threads
from .pooling import pool
from .winograd import use_winograd

# The dtype of weights and batches.
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}
# torch's kernels compute small images beyond a multiple of four differently.
ROWS = 4
# Pixels and images in the part of a batch that one CPU thread computes. For smaller
# parts, the overhead of Python and of reading the weights is large.
PART_PIXELS = 2**15
PART_ROWS = 8


class FeatureExtractor:
    """Network cut at some layers and prepared for fast inference.

    Batch normalisation is folded into convolutions, channels are last in memory, and
    weights are converted to `precision`. On a CPU, each thread computes a part of the
    batch, which is faster than sharing each operation and makes features independent
    of the number of threads; float32 convolutions of many channels use Winograd's
    algorithm.

    Parameters
    ----------
    module : torch.nn.Module
        Network. It is not modified.

    layers : sequence of str
        Names of layers, see `skcnn.backbones.cut_network`.

    pooling : str or None
        Pooling, see `skcnn.features.pool`.

    n_axes : int
        Number of spatial axes of the network's input.

    device : torch.device
        Device of the computation.

    precision : {"float32", "bfloat16", "float64"}
        Precision of the computation.

    compile : bool, default=False
        Whether to compile the network with :func:`torch.compile`, which needs a
        warm-up.

    fill : bool, default=False
        Whether to pad batches to a multiple of four samples, so that features of
        small images do not depend on the rest of the batch.

    input_shape : tuple of int or None, default=None
        Shape of a sample, see `skcnn.backbones.cut_network`.
    """

    def __init__(
        self,
        module,
        layers,
        *,
        pooling,
        n_axes,
        device,
        precision,
        compile=False,
        fill=False,
        input_shape=None,
    ):
        network = cut_network(module, layers, input_shape).requires_grad_(False)
        _check_norms(network)
        self.dtype = PRECISIONS[precision]
        network = network.to(device=device, dtype=self.dtype)
        self.network = with_channels_last(network, 2 + n_axes)
        self.input_dtype = torch.promote_types(self.dtype, torch.float32)
        self.layers = tuple(layers)
        self.pooling = pooling
        self.n_axes = n_axes
        self.device = device
        self.channel_axes = network.channel_axes
        self.canonical_layers = network.canonical_layers
        self.compile = compile
        # A GPU chooses kernels by batch size: a smaller last batch would get
        # different features.
        self.has_one_size = compile or device.type == "cuda"
        self.fill = fill
        # A traced network keeps no state; others may.
        is_traced = isinstance(self.network, fx.GraphModule)
        self.runs_alone = compile or device.type != "cpu" or not is_traced
        if not self.runs_alone and self.dtype == torch.float32:
            self.network = use_winograd(self.network)
        # Calling a traced network prints its errors to stderr; `forward` does not.
        self._run = self.network.forward if is_traced else self.network
        if compile:
            self._run = torch.compile(
                self.network, dynamic=False, options={"freezing": device.type == "cpu"}
            )

    @property
    def n_at_once(self):
        """Number of batches that keep all threads busy."""
        return 1 if self.runs_alone else torch.get_num_threads()

    def forward_size(self, batch_size, n_images):
        """Return the number of images in each forward pass.

        Parameters
        ----------
        batch_size : int
            Maximum number of images in a forward pass.

        n_images : int
            Number of all images.

        Returns
        -------
        int
            Value of `batch_size` for calls of the extractor.
        """
        is_free = self.has_one_size and not self.compile
        return min(batch_size, n_images) if is_free else batch_size

    def __call__(self, images, batch_size=None):
        """Return features of images.

        Parameters
        ----------
        images : torch.Tensor of shape (n, c, *spatial_shape)
            Input of the network, on its device.

        batch_size : int or None, default=None
            Number of images in a forward pass; None is all. On a GPU, or if the
            network is compiled, smaller batches are padded to this size.

        Returns
        -------
        tuple of torch.Tensor, each of shape (n, n_features)
            Features of each layer.
        """
        size = batch_size or max(1, len(images))
        if self.runs_alone:
            outputs = [self._compute(batch, batch_size) for batch in images.split(size)]
        else:
            parts = images.split(_part_rows(size, prod(images.shape[2:])))
            outputs = map_in_threads(self._compute, parts)
        return tuple(map(torch.cat, zip(*outputs, strict=True)))

    def _compute(self, batch, n_rows=None):
        """Return features of a batch."""
        n_samples = len(batch)
        if self.has_one_size and n_rows:
            batch = _filled_up(batch, n_rows)
        elif self.fill:
            batch = _filled_up(batch, -(-n_samples // ROWS) * ROWS)
        with torch.inference_mode():
            outputs = self._run(batch.to(self.dtype))
            self._check(outputs, len(batch))
            return tuple(rows[:n_samples] for rows in self._pool(outputs))

    def _pool(self, outputs):
        """Return the features of each layer from its output."""
        return [
            pool(output, self.pooling, self.n_axes, axes)
            for output, axes in zip(outputs, self.channel_axes, strict=True)
        ]

    def has_finite_weights(self):
        """Return whether all parameters and buffers are finite."""
        tensors = chain(self.network.parameters(), self.network.buffers())
        return all(tensor.isfinite().all() for tensor in tensors)

    def widths(self, input_shape):
        """Return the number of features of each layer.

        Parameters
        ----------
        input_shape : tuple of int
            ``(n_channels, *spatial_shape)`` of a sample.

        Returns
        -------
        list of int
            Number of features, for each layer.
        """
        batch = torch.zeros(1, *input_shape, dtype=self.dtype, device=self.device)
        with torch.inference_mode():
            outputs = self.network.forward(batch)
        return [rows.shape[1] for rows in self._pool(outputs)]

    def dry_run(self):
        """Return a function that runs the network on shapes alone.

        Returns
        -------
        callable
            Function from the shape of a sample, ``(n_channels, *spatial_shape)``, to
            the outputs. It raises the network's errors for this shape.
        """
        network = weightless_copy(self.network)

        @torch.no_grad()
        def run(input_shape):
            batch = torch.zeros(1, *input_shape, dtype=self.dtype, device="meta")
            return network.forward(batch)

        return run

    def _check(self, outputs, n_samples):
        """Raise an error if an output does not have one row for each sample."""
        for layer, output in zip(self.layers, outputs, strict=True):
            shape = tuple(getattr(output, "shape", ()))
            if shape[:1] != (n_samples,):
                raise ValueError(
                    f"layer={layer!r} gives {shape or type(output).__name__} for "
                    f"{n_samples} samples, expected one row for each sample. Choose "
                    "another layer."
                )


def _check_norms(network):
    """Raise an error if batches are normalised by their own statistics."""
    for name, part in network.named_modules():
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise ValueError(
                f"The batch normalisation {name!r} has no running statistics "
                "(track_running_stats=False): features of an image would depend on the "
                "other images of its batch. Train the network with running statistics, "
                "or choose an earlier layer."
            )


def _part_rows(batch_size, n_pixels):
    """Return the number of images in a part of a batch."""
    n_parts = max(1, batch_size * n_pixels // PART_PIXELS)
    return min(batch_size, -(-batch_size // (n_parts * PART_ROWS)) * PART_ROWS)


def _filled_up(batch, n_rows):
    """Return a batch padded to `n_rows` with copies of its last sample."""
    missing = n_rows - len(batch)
    if missing <= 0:
        return batch
    return torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])])
