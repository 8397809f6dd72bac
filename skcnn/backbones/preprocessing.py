"""From pixels to what a network was trained on: size, crop, mean and deviation."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from numbers import Integral

import torch

# Of an image before the crop; one that is far longer than wide is cut by hand.
PIXEL_LIMIT = 2**27
RANGES = {torch.uint8: 255, torch.uint16: 65535, torch.bool: 1}


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its images: resized, cropped and normalised.

    Fields are hashable and compare equal if two networks want the same.

    Parameters
    ----------
    crop_size : tuple of int
        Height and width of what is cut out of the centre, in pixels. An image
        that is smaller after the resize is padded with black, as torchvision
        does it.

    resize_size : int, tuple of int or None
        What images are resized to before the crop. An integer is the length of
        the shorter side and keeps the aspect ratio, a tuple is the height and
        the width. None is the smallest size of the same aspect ratio that
        covers `crop_size`; an image that already has `crop_size` is not touched.

    interpolation : {"bilinear", "bicubic"}
        Of the resize, antialiased.

    mean, std : tuple of float
        One for each channel, for pixels in [0, 1].

    Notes
    -----
    An image of PIL takes torchvision's own route through PIL, so its pixels are
    those of ``Resize`` and ``CenterCrop``. Tensors are resized by torch. Against
    that route, on 200 photographs and at the sizes of published weights, uint8
    differs by at most 2 grey levels (of 255) and by less than 0.01 in the mean.
    Floats, which are not rounded, differ by up to 0.35 in the mean; by up to 19
    at a few sharp edges if the filter is bicubic, since PIL clips in between.

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
        """Length in pixels below which the shorter side of no image need be read."""
        size = self.crop_size if self.resize_size is None else self.resize_size
        return size if isinstance(size, Integral) else max(size)

    def with_image_size(self, size):
        """Return the same preprocessing for another image size.

        Parameters
        ----------
        size : int or tuple of int
            Height and width in pixels; an integer is both. Images are resized
            until they cover it and the centre is cut out. An image of this size
            is not touched.

        Returns
        -------
        Preprocessing
            With the same interpolation, mean and deviation.
        """
        crop = (size, size) if isinstance(size, Integral) else tuple(size)
        return replace(self, crop_size=crop, resize_size=None)

    def resize_image(self, image):
        """Return an image resized and cropped by PIL.

        Parameters
        ----------
        image : PIL.Image.Image
            Of any size and any mode that PIL can resize.

        Returns
        -------
        PIL.Image.Image
            Of `crop_size`, in the same mode.

        Raises
        ------
        OverflowError
            If it would have more than 2**27 pixels before the crop; the message goes
            behind the name of the image.
        """
        size = self.resized_size(image.height, image.width)
        if prod(size) > PIXEL_LIMIT:
            raise OverflowError(f"has {_too_long(image.height, image.width, size)}")
        return self._resize(image, size)

    def resize_batch(self, batch):
        """Return images resized and cropped on the device where they are.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, c, height, width)
            Pixels, in the range that `check_pixel_range` expects.

        Returns
        -------
        torch.Tensor of shape (n, c, *crop_size)
            uint8 for integers of up to 255, otherwise float32 in [0, 1].

        Raises
        ------
        ValueError
            If one would have more than 2**27 pixels before the crop.
        """
        size = self.resized_size(*batch.shape[2:])
        if prod(size) > PIXEL_LIMIT:
            raise ValueError(f"X has images of {_too_long(*batch.shape[2:], size)}")
        resized = self._resize(as_uint8_or_float(batch), size)
        if resized.is_floating_point() and self.interpolation != "bilinear":
            resized = resized.clamp(0, 1)  # a bicubic filter overshoots at edges
        return resized

    def _resize(self, image, size):
        """Return the resized centre of an image of PIL or of a batch."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as F

        mode = InterpolationMode(self.interpolation)  # torchvision 0.26 takes no names
        resized = F.resize(image, list(size), mode, antialias=True)
        return F.center_crop(resized, list(self.crop_size))

    def resized_size(self, height, width):
        """Return the height and width that an image gets before the crop.

        Parameters
        ----------
        height, width : int or torch.SymInt
            Its size.

        Returns
        -------
        tuple of int or torch.SymInt
            Height and width, at least those of what covers the crop.
        """
        if isinstance(self.resize_size, tuple):
            return self.resize_size
        rows, columns = (self.resize_size,) * 2 if self.resize_size else self.crop_size
        return (
            torch.sym_max(rows, height * columns // width),
            torch.sym_max(columns, width * rows // height),
        )

    def place_maps(self, maps, height, width):
        """Return maps of the network's input as maps of the whole images.

        Parameters
        ----------
        maps : torch.Tensor of shape (n, c, *crop_size)
            Values at the positions of what was cut out of the images.

        height, width : int
            Size of the images.

        Returns
        -------
        torch.Tensor of shape (n, c, height, width)
            0 outside of what was cut out.
        """
        from torchvision.transforms.v2 import functional as F

        whole = F.center_crop(maps, list(self.resized_size(height, width)))
        return torch.nn.functional.interpolate(
            whole, (height, width), mode="bilinear", antialias=True
        )

    def normalize(self, batch, dtype=torch.float32):
        """Return pixels less `mean`, over `std`.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, c, height, width)
            Pixels, in the range that `check_pixel_range` expects. One channel is
            repeated if the network takes more.

        dtype : torch.dtype, optional
            Of what is returned, float32 if it is not given. It is computed in
            float32.

        Returns
        -------
        torch.Tensor of shape (n, n_channels, height, width)
            In the memory format of `batch`.
        """
        pixels = as_uint8_or_float(batch)
        highest = RANGES.get(pixels.dtype, 1)
        scale, shift = affine(self.mean, self.std, highest, batch.device)
        return torch.addcmul(shift, pixels.to(torch.float32), scale).to(dtype)


def _too_long(height, width, resized):
    """Say that an image becomes too large if its shorter side has its length."""
    return (
        f"{height} x {width} pixels (height x width), which the network's "
        f"preprocessing makes {resized[0]:,} x {resized[1]:,} before it cuts out the "
        f"centre: more than the limit of {PIXEL_LIMIT:,}. Cut out of it what matters."
    )


@lru_cache(maxsize=64)  # a new tensor each time would make a GPU wait for the copy
def affine(mean, std, highest, device):
    """Return factor and summand, each (1, c, 1, 1), from pixels to network input."""
    with torch.inference_mode(False):
        mean, std = (
            torch.tensor(v, dtype=torch.float32, device=device)[:, None, None]
            for v in (mean, std)
        )
        return (1 / (highest * std))[None], (-mean / std)[None]


def as_uint8_or_float(batch):
    """Return pixels as uint8 in 0–255 if no value is lost, or float32 in [0, 1]."""
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
        uint8, uint16 and bool span their whole range. Floats lie in [0, 1] and
        all other integers in 0–255.

    Raises
    ------
    ValueError
        If a pixel lies outside, or is not a number.
    """
    if batch.dtype in RANGES or not batch.numel():
        return
    kind, highest = ("floats", 1) if batch.is_floating_point() else ("integers", 255)
    if batch.dtype in (torch.uint32, torch.uint64):
        batch = batch.to(torch.float64)  # torch finds no minimum of these
    low, high = (value.item() for value in batch.aminmax())
    if not (low >= 0 and high <= highest):  # so that NaN is found
        raise ValueError(
            f"X has pixels from {low:g} to {high:g}, but pixels that are {kind} lie in "
            f"0 to {highest} (uint16: 0 to 65535). Scale them: nothing is clipped or "
            "guessed. For values of 8 bits use X.astype('uint8')."
        )


def check_channels(n_channels, expected, name):
    """Raise an error if a network cannot take images with so many channels.

    Parameters
    ----------
    n_channels : int
        Of the images.

    expected : int
        Number of channels that the network takes, `Preprocessing.n_channels`.

    name : str
        Of the network.

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
