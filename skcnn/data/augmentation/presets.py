"""Names and presets of augmentations, and their composition."""

from itertools import chain, groupby

from ...runtime import is_of
from .geometric import HorizontalFlip, RandomResizedCrop, Rotation, Scale, Shift
from .intensity import ColorJitter, Cutout, Noise, Scaling
from .mixup import Mixup
from .warping import Affine, Sequence

AUGMENTATIONS = {
    "color": ColorJitter,
    "crop": Shift,  # a crop of the padded image is a shift
    "cutout": Cutout,
    "flip": HorizontalFlip,
    "jitter": Noise,
    "mixup": Mixup,
    "noise": Noise,
    "resized_crop": RandomResizedCrop,
    "rotation": Rotation,
    "scale": Scale,
    "scaling": Scaling,
    "shift": Shift,
}
# By the number of spatial axes. "light" does not mirror, so digits stay digits; only
# "strong" moves signals, as their steps are often aligned.
PRESETS = {
    "light": {
        1: (Noise(0.05), Scaling(0.1)),
        2: (Shift(1 / 16), Rotation(10.0), Scale()),
        3: (Shift(1 / 16), Rotation(10.0), Scale()),
    },
    "standard": {
        1: (Noise(0.1), Scaling(0.2)),
        2: (HorizontalFlip(), Shift()),
        3: (HorizontalFlip(), Shift()),
    },
    "strong": {
        1: (Noise(0.1), Scaling(0.2), Shift(0.05), RandomResizedCrop((0.9, 1.0))),
        2: (
            HorizontalFlip(),
            Shift(),
            Rotation(),
            Scale(),
            ColorJitter(),
            Cutout(),
        ),
        3: (HorizontalFlip(), Shift(), Rotation(), Scale(), Cutout()),
    },
}
AXES = {1: "signals", 2: "images", 3: "volumes or clips"}


class Augmentation:
    """Sequence of augmentations of training batches.

    Consecutive affine augmentations are interpolated once.

    Parameters
    ----------
    steps : sequence of callable
        Functions from ``(batch, generator)`` to a batch of the same shape and dtype;
        a `Mixup` returns ``(batch, mix)``.
    """

    def __init__(self, steps):
        self.steps = _join_affine(steps)

    @property
    def is_known(self):
        """Whether all steps are from this package, which uses only `generator`."""
        return all(is_of(type(step), "skcnn") for step in self.steps)

    def __call__(self, batch, generator):
        """Augment a batch.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, n_channels, *spatial_shape)
            Standardised samples, which are not changed.

        generator : torch.Generator
            Source of the random numbers, on the device of the batch.

        Returns
        -------
        batch : torch.Tensor
            Augmented samples of the same shape and dtype, with channels last in
            memory.

        mix : Mix or None
            Argument of `mix_targets`; None if no samples were mixed.

        Raises
        ------
        ValueError
            If a custom step changes the shape, dtype or device of the batch.
        """
        mix = None
        for step in self.steps:
            out = step(batch, generator)
            if isinstance(step, Mixup):
                out, mix = out
            batch = _check_same(step, batch, out)
        return batch, mix


def _join_affine(steps):
    """Return the steps, with consecutive affine ones joined."""
    joined = []
    for is_affine, group in groupby(steps, lambda step: isinstance(step, Affine)):
        group = list(group)
        joined += [Sequence(*group)] if is_affine and len(group) > 1 else group
    return tuple(joined)


def _check_same(step, batch, out):
    """Return the output of a step, checked to be like its input."""
    expected = batch.shape, batch.dtype, batch.device
    got = tuple(getattr(out, name, None) for name in ("shape", "dtype", "device"))
    if got != expected:
        raise ValueError(
            f"The augmentation {step!r} turned a batch of "
            f"{', '.join(map(str, expected))} into {type(out).__name__} of "
            f"{', '.join(map(str, got))}; expected the same shape, dtype and device."
        )
    return out


def make_augmentation(augmentation, n_axes):
    """Return the augmentation of training batches.

    Parameters
    ----------
    augmentation : str, callable, list, tuple or None
        Key of `PRESETS` or `AUGMENTATIONS`; function or instance that maps
        ``(batch, generator)`` to a batch; list of these, which are applied in order; or
        None for no augmentation.

    n_axes : int
        Number of spatial axes: 1 (signals), 2 (images) or 3 (volumes, clips).

    Returns
    -------
    Augmentation
        Function from ``(batch, generator)`` to ``(batch, mix)``.

    Raises
    ------
    ValueError
        If a name is unknown, an augmentation does not exist for this number of axes,
        or there is more than one `Mixup`.

    TypeError
        If `augmentation` is anything else.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import Rotation, make_augmentation
    >>> augment = make_augmentation(["flip", "shift", Rotation(degrees=10)], 2)
    >>> batch, mix = augment(torch.randn(4, 3, 8, 8), torch.Generator())
    >>> batch.shape, mix
    (torch.Size([4, 3, 8, 8]), None)
    """
    steps = tuple(_find_steps(augmentation, n_axes))
    if sum(isinstance(step, Mixup) for step in steps) > 1:
        raise ValueError(
            f"augmentation={augmentation!r} has more than one Mixup, expected at most "
            "one."
        )
    return Augmentation(steps)


def _find_steps(augmentation, n_axes):
    """Return the callables that `augmentation` names or holds."""
    if augmentation is None:
        return ()
    if isinstance(augmentation, (list, tuple)):
        return chain.from_iterable(_find_steps(part, n_axes) for part in augmentation)
    if isinstance(augmentation, str):
        return _find_named(augmentation, n_axes)
    if isinstance(augmentation, type) or not callable(augmentation):
        raise TypeError(
            f"augmentation={augmentation!r} is not a name, instance, function or list "
            "of these. Pass for example 'shift' or Shift(max_shift=0.1)."
        )
    _check_axes(augmentation, augmentation, n_axes)
    return (augmentation,)


def _find_named(name, n_axes):
    if name in PRESETS:
        return PRESETS[name][n_axes]
    if name not in AUGMENTATIONS:
        raise ValueError(
            f"augmentation={name!r} is not known. {_choices(n_axes)}, or a function "
            "that maps (batch, generator) to a batch."
        )
    _check_axes(name, AUGMENTATIONS[name], n_axes)
    return (AUGMENTATIONS[name](),)


def _check_axes(augmentation, step, n_axes):
    """Raise a ValueError if a step does not support this number of axes."""
    if n_axes not in getattr(step, "n_axes", AXES):
        raise ValueError(
            f"augmentation={augmentation!r} does not exist for {AXES[n_axes]} "
            f"(n_axes={n_axes}). {_choices(n_axes)}."
        )


def _choices(n_axes):
    """Return a sentence with the names for this number of axes."""
    names = [name for name, step in AUGMENTATIONS.items() if n_axes in step.n_axes]
    return (
        f"For {AXES[n_axes]}, use one of the presets {sorted(PRESETS)} or of the "
        f"augmentations {names}"
    )
