"""Preprocessing of images: resizing, cropping and normalisation."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from numbers import Integral

import torch

# Maximum size of a resized image before the crop, which very long images exceed.
PIXEL_LIMIT = 2**27
RANGES = {torch.uint8: 255, torch.uint16: 65535, torch.bool: 1}


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of the images of a network: resize, crop and normalisation.

    Instances are hashable, and equal if all fields are equal.

    Parameters
    ----------
    crop_size : tuple of int
        Height and width of the centre crop, in pixels. An image that is smaller after
        the resize is padded with black, as in torchvision.

    resize_size : int, tuple of int or None
        Size of images before the crop: an integer, the length of the shorter side, or a
        tuple, height and width. None is the smallest size that covers `crop_size`. An
        integer and None keep the aspect ratio.

    interpolation : {"bilinear", "bicubic"}
        Interpolation of the resize, with antialiasing.

    mean, std : tuple of float
        Mean and standard deviation of each channel, for pixels in [0, 1].

    Notes
    -----
    PIL images are resized by PIL, as in torchvision's ``Resize`` and ``CenterCrop``,
    and tensors by torch. On 200 photographs, at the sizes of published weights, the
    results differ by at most 2 of 255 grey levels for uint8, and by less than 0.01 in
    the mean. Floats, which are not rounded, differ by up to 0.35 in the mean, and by up
    to 19 at a few sharp edges with bicubic interpolation, as PIL clips in between.

    Examples
    --------
    >>> import torch
    >>> from skcnn.backbones import Preprocessing
    >>> grey = Preprocessing((32, 32), 36, "bilinear", (0.5,), (0.25,))
    >>> batch = grey.resize_batch(torch.zeros(2, 1, 40, 50, dtype=torch.uint8))
    >>> batch.shape, batch.dtype
    (torch.Size([2, 1, 32, 32]), torch.uint8)
    >>> grey.normalize(batch)[0, 0, 0, 0]
    tensor(-2.)
    """

    crop_size: tuple
    resize_size: int | tuple | None
    interpolation: str
    mean: tuple
    std: tuple

    @property
    def n_channels(self):
        """Number of channels that the network takes."""
        return len(self.mean)

    @property
    def short_side(self):
        """Minimum length of the shorter side, in pixels, of decoded images."""
        size = self.crop_size if self.resize_size is None else self.resize_size
        return size if isinstance(size, Integral) else max(size)

    def with_image_size(self, size):
        """Return the same preprocessing for another image size.

        Parameters
        ----------
        size : int or tuple of int
            Height and width, in pixels; an integer is both. Images are resized to cover
            this size and centre-cropped to it. An image of this size is not changed.

        Returns
        -------
        Preprocessing
            Preprocessing with the same interpolation, mean and standard deviation.
        """
        crop = (size, size) if isinstance(size, Integral) else tuple(size)
        return replace(self, crop_size=crop, resize_size=None)

    def resize_image(self, image):
        """Resize and crop an image with PIL.

        Parameters
        ----------
        image : PIL.Image.Image
            Image of any size and any mode that PIL can resize.

        Returns
        -------
        PIL.Image.Image
            Image of `crop_size`, in the same mode.

        Raises
        ------
        OverflowError
            If it would have more than 2**27 pixels before the crop. The message is to
            follow the name of the image.
        """
        size = self.resized_size(image.height, image.width)
        if prod(size) > PIXEL_LIMIT:
            raise OverflowError(f"has {_too_long(image.height, image.width, size)}")
        return self._resize(image, size)

    def resize_batch(self, batch):
        """Resize and crop images on their device.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, c, height, width)
            Pixels, in the range that `check_pixel_range` expects.

        Returns
        -------
        torch.Tensor of shape (n, c, *crop_size)
            Images, uint8 for integers of up to 255, otherwise float32 in [0, 1].

        Raises
        ------
        ValueError
            If an image would have more than 2**27 pixels before the crop.
        """
        size = self.resized_size(*batch.shape[2:])
        if prod(size) > PIXEL_LIMIT:
            raise ValueError(f"X has images of {_too_long(*batch.shape[2:], size)}")
        resized = self._resize(as_uint8_or_float(batch), size)
        if resized.is_floating_point() and self.interpolation != "bilinear":
            resized = resized.clamp(0, 1)  # a bicubic filter overshoots at edges
        return resized

    def _resize(self, image, size):
        """Resize and centre-crop a PIL image or a batch."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as F

        mode = InterpolationMode(self.interpolation)  # torchvision 0.26 takes no names
        resized = F.resize(image, list(size), mode, antialias=True)
        return F.center_crop(resized, list(self.crop_size))

    def resized_size(self, height, width):
        """Return the height and width of a resized image, before the crop.

        Parameters
        ----------
        height, width : int or torch.SymInt
            Size of the image.

        Returns
        -------
        tuple of int or torch.SymInt
            Height and width after the resize.
        """
        if isinstance(self.resize_size, tuple):
            return self.resize_size
        rows, columns = (self.resize_size,) * 2 if self.resize_size else self.crop_size
        return (
            torch.sym_max(rows, height * columns // width),
            torch.sym_max(columns, width * rows // height),
        )

    def place_maps(self, maps, height, width):
        """Extend maps of the network's input to the whole images.

        Parameters
        ----------
        maps : torch.Tensor of shape (n, c, *crop_size)
            Maps of the crops.

        height, width : int
            Size of the images.

        Returns
        -------
        torch.Tensor of shape (n, c, height, width)
            Maps, 0 outside of the crop.
        """
        from torchvision.transforms.v2 import functional as F

        whole = F.center_crop(maps, list(self.resized_size(height, width)))
        return torch.nn.functional.interpolate(
            whole, (height, width), mode="bilinear", antialias=True
        )

    def normalize(self, batch, dtype=torch.float32):
        """Subtract `mean` from pixels and divide them by `std`.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, c, height, width)
            Pixels, in the range that `check_pixel_range` expects. One channel is
            repeated if the network takes more.

        dtype : torch.dtype, optional
            Dtype of the result, float32 by default. It is computed in float32.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, height, width)
            Input of the network, in the memory format of `batch`.
        """
        pixels = as_uint8_or_float(batch)
        highest = RANGES.get(pixels.dtype, 1)
        scale, shift = affine(self.mean, self.std, highest, batch.device)
        return torch.addcmul(shift, pixels.to(torch.float32), scale).to(dtype)


def _too_long(height, width, resized):
    """Return the message for an image that is too large after the resize."""
    return (
        f"{height} x {width} pixels (height x width), which the network's "
        f"preprocessing resizes to {resized[0]:,} x {resized[1]:,} before the crop: "
        f"more than the limit of {PIXEL_LIMIT:,}. Crop the image first."
    )


@lru_cache(maxsize=64)  # a new tensor each time would make a GPU wait for the copy
def affine(mean, std, highest, device):
    """Return scale and shift, each (1, c, 1, 1), from pixels to network input."""
    with torch.inference_mode(False):
        mean, std = (
            torch.tensor(v, dtype=torch.float32, device=device)[:, None, None]
            for v in (mean, std)
        )
        return (1 / (highest * std))[None], (-mean / std)[None]


def as_uint8_or_float(batch):
    """Return pixels as uint8 if no value is lost, otherwise as float32 in [0, 1]."""
    if batch.dtype == torch.uint8:
        return batch
    if batch.is_floating_point() or batch.dtype == torch.bool:
        return batch.to(torch.float32)
    if batch.dtype == torch.uint16:
        return batch.to(torch.float32) / RANGES[torch.uint16]
    return batch.to(torch.uint8)


def check_pixel_range(batch):
    """Raise an error if pixels are not in the range of their dtype.

    Parameters
    ----------
    batch : torch.Tensor
        Pixels. Any uint8, uint16 or bool is valid; floats have to be in [0, 1], other
        integers in 0–255.

    Raises
    ------
    ValueError
        If a pixel is out of range or NaN.
    """
    if batch.dtype in RANGES or not batch.numel():
        return
    kind, highest = ("floats", 1) if batch.is_floating_point() else ("integers", 255)
    if batch.dtype in (torch.uint32, torch.uint64):
        batch = batch.to(torch.float64)  # aminmax does not support these
    low, high = (value.item() for value in batch.aminmax())
    if not (low >= 0 and high <= highest):  # also true for NaN
        raise ValueError(
            f"X has pixels from {low:g} to {high:g}, but {kind} must be in 0 to "
            f"{highest}. Use X.astype('uint8') for 8-bit values, 'uint16' for 16-bit "
            "values, or scale them."
        )


def check_channels(n_channels, expected, name):
    """Raise an error if a network cannot take images with some number of channels.

    Parameters
    ----------
    n_channels : int
        Number of channels of the images.

    expected : int
        Number of channels that the network takes, `Preprocessing.n_channels`.

    name : str
        Name of the network.

    Raises
    ------
    ValueError
        If the images have neither that number nor, for an RGB network, one.
    """
    if n_channels == expected or (n_channels == 1 and expected == 3):
        return
    takes = {1: "1 (grey)", 3: "3 (RGB) or 1 (grey)"}.get(expected, expected)
    raise ValueError(
        f"X has images of {n_channels} channels, but {name} takes {takes}. Select "
        f"channels, for example X[..., :{expected}], or convert the images."
    )
