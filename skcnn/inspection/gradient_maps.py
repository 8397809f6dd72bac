"""Class activation maps by gradients: HiResCAM and Grad-CAM."""

from functools import partial
from math import prod

import torch

from .networks import find_part

# Minimum number of positions along each axis; ImageNet networks have 7 at the end.
MIN_POSITIONS = 7
# In images of at most this side, the last maps are coarse; they are sharpened by the
# map of the image itself.
SMALL_SIDE = 96
INPUT = "input"
METHODS = ("hirescam", "gradcam")
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def gradient_maps(found, X, choose, layer=None, method="hirescam"):
    """Compute class activation maps from the gradients of chosen scores.

    Parameters
    ----------
    found : FoundNetwork
        Estimator whose network returns scores.

    X : array-like or sequence of image files
        Samples.

    choose : callable
        Function of the scores of a batch, (n, n_outputs), and the slice of its rows
        that returns the chosen columns, (n, n_chosen).

    layer, method : str, list of str or None, str
        See `class_activation_maps`.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_chosen, *spatial_shape)
        Non-negative maps, in the spatial shape of the network's input.
    """
    module, parts, start = found.module.eval(), [], 0
    for batch in found.batches(X):
        layer = default_layers(module, batch) if layer is None else layer
        rows = slice(start, start + len(batch))
        parts.append(_maps_of_batch(module, batch, layer, method, choose, rows))
        start += len(batch)
    return torch.cat(parts)


def _maps_of_batch(module, batch, layers, method, choose, rows):
    """Return the maps of a batch, multiplied over layers."""
    layers = [layers] if isinstance(layers, str) else list(layers)
    scores, outputs = scores_and_outputs(module, batch, layers)
    columns = torch.as_tensor(choose(scores.detach().cpu().numpy(), rows))
    maps = []
    for column in columns.T.to(scores.device):
        chosen = scores.gather(1, column[:, None]).sum()
        gradients = torch.autograd.grad(chosen, outputs, retain_graph=True)
        of_layers = [
            _map_of_layer(name, output.detach(), gradient, method)
            for name, output, gradient in zip(layers, outputs, gradients, strict=True)
        ]
        maps.append(prod(resize_maps(one, batch.shape[2:]) for one in of_layers))
    return torch.cat(maps, dim=1).cpu()


def _map_of_layer(name, output, gradient, method):
    """Return the non-negative map of one layer, (n, 1, *positions)."""
    axes = tuple(range(2, output.ndim))
    if name == INPUT:  # the background of an image is not evidence
        median = output.flatten(2).median(2).values
        output = output - median.view(*median.shape, *(1 for _ in axes))
    elif method == "gradcam":
        gradient = gradient.mean(axes, keepdim=True)
    return (gradient * output).sum(1, keepdim=True).relu().double()


def scores_and_outputs(module, batch, layers):
    """Compute the scores of a batch and differentiable outputs of layers.

    Parameters
    ----------
    module : torch.nn.Module
        Network.

    batch : torch.Tensor of shape (n, *input_shape)
        Input of the network.

    layers : list of str
        Names of layers; "input" is the batch itself.

    Returns
    -------
    scores : torch.Tensor of shape (n, n_outputs)
        Output of the network.

    outputs : list of torch.Tensor of shape (n, n_channels, *positions)
        Outputs of the layers when they first run.

    Raises
    ------
    ValueError
        If a layer does not exist, does not run, or returns no feature maps.
    """
    batch = batch.detach().clone().requires_grad_()
    kept = {INPUT: batch}

    def keeping(name):
        def keep(part, args, output):
            if name in kept or not isinstance(output, torch.Tensor):
                return None
            kept[name] = output
            return output.clone()  # later layers may change it in place

        return find_part(module, name).register_forward_hook(keep)

    handles = [keeping(name) for name in layers if name != INPUT]
    try:
        scores = module(batch)
    finally:
        for handle in handles:
            handle.remove()
    for name in layers:
        _check_has_maps(name, kept.get(name), batch)
    return scores, [kept[name] for name in layers]


def _check_has_maps(name, output, batch):
    """Raise an error if a layer does not return feature maps of a batch."""
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != batch.ndim or shape[0] != len(batch):
        n_axes = batch.ndim - 2
        raise ValueError(
            f"layer={name!r} returns {shape or 'nothing'} for {len(batch)} samples, "
            f"expected feature maps with {n_axes} spatial axes. Choose an earlier "
            "layer, before flattening and global pooling."
        )


def default_layers(module, batch):
    """Return the default layers for class activation maps.

    These are the last layer with at least 7 positions along each axis (or as many as
    the image has) and, if no side of the image exceeds 96 pixels, the image itself.

    Parameters
    ----------
    module, batch
        See `scores_and_outputs`.

    Returns
    -------
    list of str
        Names of the layers.
    """
    layers = list(_layers_with_positions(module, batch[:1]))[-1:]
    if not layers:
        raise ValueError(
            "No layer of the network returns feature maps of shape (n, n_channels, "
            "*positions), which class activation maps need. Use OcclusionDisplay."
        )
    return [*layers, INPUT] if max(batch.shape[2:]) <= SMALL_SIDE else layers


def _layers_with_positions(module, sample):
    """Yield the names of layers with large enough maps, in order of execution."""
    shapes = {}

    def note(name, part, args, output):
        shapes[name] = tuple(getattr(output, "shape", ()))

    handles = [
        part.register_forward_hook(partial(note, name))
        for name, part in module.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            module(sample)
    finally:
        for handle in handles:
            handle.remove()
    for name, shape in shapes.items():
        lengths = zip(shape[2:], sample.shape[2:], strict=False)
        is_map = len(shape) == sample.ndim
        if is_map and all(n >= min(MIN_POSITIONS, side) for n, side in lengths):
            yield name


def resize_maps(maps, shape):
    """Resize maps by linear interpolation.

    Parameters
    ----------
    maps : torch.Tensor of shape (n, c, *positions)
        Maps.

    shape : tuple of int
        Spatial shape.

    Returns
    -------
    torch.Tensor of shape (n, c, *shape)
    """
    if maps.shape[2:] == tuple(shape):
        return maps
    mode = MODES[len(shape)]
    return torch.nn.functional.interpolate(maps, tuple(shape), mode=mode)
