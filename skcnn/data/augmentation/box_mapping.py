"""Augmentation of images with boxes."""

from dataclasses import dataclass

import torch

from .intensity import ColorJitter, Cutout, Noise, Scaling
from .presets import Augmentation, make_augmentation
from .warping import identities, warp

STILL = (ColorJitter, Cutout, Noise, Scaling)  # move no pixels


class BoxAugmentation(Augmentation):
    """Sequence of augmentations that also maps boxes.

    Parameters
    ----------
    steps : sequence of callable
        Augmentations of the package, or others with a method `_matrices`, see
        `skcnn.data.augmentation.warping.Affine`.

    Raises
    ------
    ValueError
        If an augmentation does not support boxes.
    """

    def __init__(self, steps):
        super().__init__(steps)
        for step in self.steps:
            if not (hasattr(step, "_matrices") or isinstance(step, STILL)):
                raise ValueError(
                    f"The augmentation {step!r} does not support boxes, expected "
                    "flips, shifts, rotations, zooms, crops and changes of intensity "
                    "of skcnn.data.augmentation. Remove it."
                )

    def __call__(self, batch, generator):
        """Augment a batch.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, n_channels, height, width)
            Images.

        generator : torch.Generator
            Source of the random numbers, on the device of the batch.

        Returns
        -------
        batch : torch.Tensor
            Augmented images of the same shape and dtype.

        mapping : BoxMapping
            Function from boxes before augmentation to boxes after it.
        """
        total = identities(batch)
        for step in self.steps:
            if isinstance(step, STILL):
                batch = step(batch, generator)
                continue
            matrices = step._matrices(batch, generator)
            batch, total = warp(batch, matrices), total @ matrices
        return batch, BoxMapping(total, tuple(batch.shape[:1:-1]))


@dataclass(frozen=True)
class BoxMapping:
    """Mapping of boxes from images to their augmented versions.

    Parameters
    ----------
    matrices : torch.Tensor of shape (n, 3, 3)
        Affine maps from positions in the augmented to positions in the original
        images, see `skcnn.data.augmentation.warping.Affine`.

    image_size : tuple of int
        Width and height of the images.
    """

    matrices: torch.Tensor
    image_size: tuple

    def __call__(self, y):
        """Return the targets of the augmented images.

        Parameters
        ----------
        y : torch.Tensor of shape (n, 4 + k) or tuple
            Boxes in fractions of width and height, and k values that do not change; or
            ``(targets, weights)``.

        Returns
        -------
        torch.Tensor or tuple
            The same, with the boxes mapped.
        """
        if isinstance(y, tuple):
            return self(y[0]), *y[1:]
        scale = y.new_tensor(self.image_size * 2)
        boxes = map_boxes(y[:, :4] * scale, self.matrices.to(y), self.image_size)
        return torch.cat([boxes / scale, y[:, 4:]], dim=1)


def map_boxes(boxes, matrices, image_size):
    """Map the corners of boxes, and return the boxes around them, clipped to the image.

    Parameters
    ----------
    boxes : torch.Tensor of shape (n, 4)
        A box of each image: left, top, right and bottom side in pixels.

    matrices : torch.Tensor of shape (n, 3, 3)
        Affine maps from positions in the result to positions in the sample, see
        `skcnn.data.augmentation.warping.Affine`.

    image_size : tuple of int
        Width and height.

    Returns
    -------
    torch.Tensor of shape (n, 4)
        Boxes in the result.

    Examples
    --------
    >>> import torch
    >>> from skcnn.data.augmentation import map_boxes
    >>> mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    >>> map_boxes(torch.tensor([[1.0, 2.0, 5.0, 8.0]]), mirror[None], (10, 8))
    tensor([[5., 2., 9., 8.]])
    """
    limits = boxes.new_tensor(image_size)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2) - limits / 2
    inverse = torch.linalg.inv(matrices)[:, None, :2]  # (n, 1, 2, 3)
    mapped = (inverse[..., :2] @ corners[..., None])[..., 0] + inverse[..., 2]
    low, high = mapped.aminmax(dim=1)
    return (
        torch.cat([low, high], dim=1)
        .add(limits.repeat(2) / 2)
        .clamp_(boxes.new_zeros(4), limits.repeat(2))
    )


def make_box_augmentation(augmentation, n_axes):
    """Return the augmentation of training batches with boxes.

    Parameters
    ----------
    augmentation : str, callable, list, tuple or None
        Augmentations, as for `make_augmentation`.

    n_axes : int
        Number of spatial axes.

    Returns
    -------
    BoxAugmentation

    Raises
    ------
    ValueError, TypeError
        If `augmentation` is not valid for `make_augmentation`, or does not support
        boxes.
    """
    return BoxAugmentation(make_augmentation(augmentation, n_axes).steps)
