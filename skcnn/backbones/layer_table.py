"""Shape, parameters and receptive field of each layer of a network.

Receptive fields are computed from kernels, strides and dilations of all operations of a
dry run, so networks that cannot be traced have them, too.
"""

from math import prod
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .cutting import evaluating, layer_names
from .dry_run import N_SAMPLES, blank_batch, find_shapes, run_dry
from .layer_nodes import inside
from .tracing import trace

# Operations that keep positions, besides those that torch tags as pointwise. Norms mix
# positions only by two statistics, which are not counted.
PLACED = {"cat", "stack", "split", "split_with_sizes", "slice"}
PLACED |= {"view", "_unsafe_view", "permute", "transpose", "t", "as_strided", "expand"}
PLACED |= {"squeeze", "unsqueeze", "_to_copy", "detach", "alias", "hardswish"}
PLACED |= {"native_batch_norm", "native_layer_norm", "native_group_norm"}
NOWHERE = ()  # field of values without positions, such as weights and global means


class LayerInfo(NamedTuple):
    """Row of the table of layers.

    Parameters
    ----------
    name : str
        Name of the layer.

    output_shape : tuple of int or None
        Shape of its output for one sample.

    n_parameters : int
        Number of parameters of the module of that name, with its submodules.

    receptive_field : tuple of int or None
        Number of input pixels that a position of the output depends on, along each
        spatial axis. None if the output has no positions, or if it is unknown.
    """

    name: str
    output_shape: tuple | None
    n_parameters: int
    receptive_field: tuple | None


def layer_table(module, input_shape):
    """Return the shape, parameters and receptive field of each layer of a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample.

    Returns
    -------
    list of LayerInfo
        Rows in the order of `layer_names`. A receptive field is that of the largest
        branch and is not cut at the borders. Gates computed from the whole image, as in
        squeeze-and-excitation, are ignored.

    References
    ----------
    A. Araujo, W. Norris, J. Sim, "Computing receptive fields of convolutional neural
    networks", Distill 2019.

    Examples
    --------
    >>> from skcnn.backbones import layer_table
    >>> from skcnn.modules import CIFARResNet
    >>> shape = (3, 32, 32)
    >>> for row in layer_table(CIFARResNet(shape, 10), shape)[2:5]:
    ...     print(*row)
    layer1 (16, 32, 32) 14016 (15, 15)
    layer2 (32, 16, 16) 51072 (37, 37)
    layer3 (64, 8, 8) 203520 (81, 81)
    """
    module = evaluating(module)
    network = trace(module) or module
    shapes = find_shapes(network, input_shape)
    fields = find_fields(network, input_shape)
    parts = dict(module.named_modules())
    rows = []
    for name in layer_names(module, input_shape):
        last = name if name in shapes else (inside(name, shapes) or [name])[-1]
        shape, field = shapes.get(last), fields.get(last)
        n_parameters = 0
        if name in parts:
            n_parameters = sum(p.numel() for p in parts[name].parameters())
        size = field.size if field else None
        rows.append(LayerInfo(name, shape and shape[1:], n_parameters, size))
    return rows


def find_fields(network, input_shape):
    """Return the receptive fields of the layers of a network.

    Parameters
    ----------
    network, input_shape : TracedNetwork or torch.nn.Module, tuple of int
        See `skcnn.backbones.dry_run.find_shapes`.

    Returns
    -------
    dict of str to Field or None
        Receptive fields by name.
    """
    fields = {}
    batch = blank_batch(network, input_shape)
    ones = (1,) * (batch.ndim - 2)
    batch.field = Field(tuple(batch.shape[2:]), ones, ones)

    def note(name, value):
        fields[name] = getattr(value, "field", None)

    with FieldMode():
        run_dry(network, batch, note)
    return fields


class Field(NamedTuple):
    """Receptive field of the positions of a feature map, along each axis.

    Parameters
    ----------
    lengths : tuple of int
        Numbers of positions.

    size, step : tuple of int
        Number of input pixels that a position depends on, and distance of neighbouring
        positions in input pixels.
    """

    lengths: tuple
    size: tuple
    step: tuple

    def ends(self, shape):
        """Return whether the last axes of a shape are the positions."""
        return tuple(shape[-len(self.lengths) :]) == self.lengths

    def is_in(self, shape):
        """Return whether the positions are axes of a shape."""
        n_axes = len(self.lengths)
        starts = range(1, len(shape) - n_axes + 1)
        return any(tuple(shape[i : i + n_axes]) == self.lengths for i in starts)

    def through(self, shape, kernel, stride, dilation):
        """Return the field after an operation that slides a window over the map."""
        n_axes = len(self.lengths)
        kernel, stride, dilation = (
            (tuple(values) * n_axes)[-n_axes:] for values in (kernel, stride, dilation)
        )
        extents = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        size = zip(self.size, self.step, extents, strict=True)
        step = zip(self.step, stride, strict=True)
        return Field(
            tuple(shape[-n_axes:]),
            tuple(n + extent * s for n, s, extent in size),
            tuple(s * by for s, by in step),
        )


class FieldMode(TorchDispatchMode):
    """Mode that sets `field`, the receptive field, of each tensor; None if unknown."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation and set the field of its results."""
        out = func(*args, **(kwargs or {}))
        tensors = _tensors((args, kwargs))
        field = _joint([getattr(tensor, "field", NOWHERE) for tensor in tensors])
        results = _tensors(out)
        if field and results:
            placed = [t for t in tensors if getattr(t, "field", NOWHERE)]
            field = _field_after(func, field, placed, results[0].shape, args)
        for result in results:
            result.field = field
        return out


def _tensors(values):
    return [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]


def _joint(fields):
    """Return the joint field of the inputs of an operation."""
    fields = [field for field in fields if field != NOWHERE]
    if None in fields or len({field.lengths for field in fields}) > 1:
        return None
    if not fields:
        return NOWHERE
    _, sizes, steps = zip(*fields, strict=True)
    largest = [tuple(map(max, zip(*values, strict=True))) for values in (sizes, steps)]
    return Field(fields[0].lengths, *largest)


def _field_after(func, field, placed, shape, args):
    """Return the field after an operation whose result has some shape, or None.

    `field` is that of its inputs, and `placed` are the inputs that have positions.
    """
    name, x = func.overloadpacket.__name__.rstrip("_"), placed[0]
    if name in ("mm", "addmm", "bmm"):  # a fully connected layer, at each position?
        is_at_each = x.shape[:-1].numel() == N_SAMPLES * prod(field.lengths)
        return field if is_at_each and len(placed) == 1 else None
    if name in ("mean", "sum", "amax"):
        return field if field.is_in(shape) else NOWHERE
    if field.ends(x.shape):
        window = _window(name, x, shape, args)
        if window is not None:
            return field.through(shape, *window)
    is_placed = torch.Tag.pointwise in func.tags or name in PLACED
    return field if is_placed else None


def _window(name, x, shape, args):
    """Return kernel, stride and dilation of a sliding-window operation, or None.

    Each is a list for the last axes of `x`.
    """
    if name == "convolution" and not args[6]:  # args[6]: transposed
        return args[1].shape[2:], args[3], args[5]
    if name.startswith(("max_pool", "avg_pool")):
        kernel, stride, _, dilation = (*args[1:], *[None] * 3)[:4]
        has_dilation = name.startswith("max_pool") and dilation
        return kernel, stride or kernel, dilation if has_dilation else [1]
    if "adaptive" in name:
        lengths = list(zip(x.shape[2:], shape[2:], strict=True))
        stride = [before // after for before, after in lengths]
        kernel = [n - (m - 1) * s for (n, m), s in zip(lengths, stride, strict=True)]
        return kernel, stride, [1]
    if name == "constant_pad_nd":
        return [1], [1], [1]
    if name == "slice":
        stride = [1] * x.ndim
        stride[args[1] if len(args) > 1 else 0] = args[4] if len(args) > 4 else 1
        return [1], stride, [1]
    return None
