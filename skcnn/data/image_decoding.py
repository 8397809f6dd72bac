"""Decoding of one image file by PIL, and errors that name it."""

import io
import os
import stat
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag

from .arrays import as_array

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# PIL reads 16-bit files of these formats in its mode of 32-bit integers.
SIXTEEN_BIT_FORMATS = ("PPM", "PNG")
# Modes that PIL converts to one other only.
INDIRECT_MODES = {"LAB": "RGB", "La": "LA"}
# Formats that PIL hands to other programs, or of which it reads the size alone.
FOREIGN_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
# Formats in which further images are previews, gain maps or layers.
STILL_FORMATS = ("MPO", "PSD")
# JPEGs are reduced while they are decoded, to no less than this many times the short
# side that is wanted. At 2, pixels of detailed photographs are within 14 grey levels
# (0.5–1.0 on average) of those of the whole JPEG; at 1, within 66 (1–4).
DRAFT_GAP = 2
# And to no shorter side than this: small images are soon decoded as a whole, and edges
# of images that are shrunk to some dozens of pixels would move by a grey level.
MIN_DRAFT_SIDE = 512
# ImageOps.exif_transpose writes the EXIF block anew, and many odd ones make it fail.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageFileError(ValueError):
    """An image file cannot be read; the message names it and says what to do."""


def decode_image(source, mode="RGB", short_side=None):
    """Return an image with 8 bits a channel, the right way up.

    Transparent images are composited on white. 16-bit greys are scaled by their range,
    0–65535. Floating-point greys are fractions in [0, 1], or whole numbers from 0 to
    255. Of several frames, the first is read.

    Parameters
    ----------
    source : str, PathLike, bytes or PIL.Image.Image
        Path, encoded image, or PIL image, which is not changed.

    mode : "RGB" or "L", default="RGB"
        Mode of the result.

    short_side : int or None, default=None
        Short side in pixels that the image will be resized to. JPEGs of at least
        four times that size, and 1024 pixels, are reduced while they are decoded,
        to no less than half of these.

    Returns
    -------
    PIL.Image.Image
        Decoded image. ``info["is_animated"]`` tells whether `source` has further
        frames.

    Raises
    ------
    ImageFileError
        If `source` cannot be read, or has more pixels than
        ``PIL.Image.MAX_IMAGE_PIXELS``, which is checked before it is decoded.
    """
    with errors_naming(source):
        if isinstance(source, Image.Image):
            _check_pixel_count(source.size)
            image, is_animated = source.copy(), False
            image.format = source.format
        else:
            image, is_animated = _read(source, short_side)
        transpose = TRANSPOSES.get(get_orientation(image))
        image = _to_mode(image, mode)
        if transpose is not None:
            image = image.transpose(transpose)
    image.info = {"is_animated": is_animated}
    return image


def as_pil_image(pixels):
    """Return an array as a PIL image, with pixels in the range of its dtype.

    Ranges are those of one array for a pretrained network: floats lie in [0, 1],
    uint16 in 0–65535, and other integers in 0–255.

    Parameters
    ----------
    pixels : ndarray or torch.Tensor
        Image of shape (height, width), (height, width, n_channels) or (n_channels,
        height, width), with 1 or 3 channels.

    Returns
    -------
    PIL.Image.Image
        Grey or RGB image.

    Raises
    ------
    ImageFileError
        If `pixels` has another shape, or pixels outside the range.
    """
    pixels = np.asarray(as_array(pixels))
    if pixels.ndim == 3 and pixels.shape[-1] not in (1, 3):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[-1] not in (1, 3):
        raise ImageFileError("has neither 1 nor 3 channels. Select channels.")
    if pixels.size == 0:
        raise ImageFileError("has no pixels. Drop the row.")
    if pixels.shape[2:] == (1,):
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint16:
        return _scale_sixteen_bits(pixels)
    highest = 1 if pixels.dtype.kind in "bf" else 255
    if not (pixels.min() >= 0 and pixels.max() <= highest):  # so that NaN is found
        raise ImageFileError(
            f"has pixels from {pixels.min():g} to {pixels.max():g}, but {pixels.dtype} "
            f"pixels lie in 0 to {highest}. Scale them; for values of 8 bits use "
            "astype('uint8')."
        )
    if highest == 1:
        pixels = np.rint(pixels * 255.0)
    return Image.fromarray(pixels.astype(np.uint8))


def open_source(source):
    """Open a path or encoded bytes as a binary file, to be closed by the caller.

    Opening a pipe or device does not wait for what it may give; it is an error.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        file = open(source, "rb", opener=_open_at_once)  # noqa: SIM115
    except ValueError:
        raise ImageFileError(
            "has a NUL or a lone surrogate in its path. Check the path."
        ) from None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ImageFileError("is a pipe or device, expected a regular file. Remove it.")


def _open_at_once(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(source, short_side):
    """Return the pixels of a path or encoded bytes, and whether more frames follow."""
    with open_source(source) as file:
        if not file.read(1):
            raise ImageFileError("is empty (0 bytes). Replace or remove it.")
        Image.init()
        formats = [name for name in Image.ID if name not in FOREIGN_FORMATS]
        image = Image.open(file, formats=formats)
        _check_pixel_count(image.size)
        is_animated = _has_more_frames(image)
        if short_side is not None:
            side = max(DRAFT_GAP * short_side, MIN_DRAFT_SIDE)
            image.draft(None, (side, side))
        image.load()
        return image, is_animated


def _check_pixel_count(size):
    """Raise an error for an image without pixels, or with more than PIL's limit."""
    limit, n_pixels = Image.MAX_IMAGE_PIXELS, size[0] * size[1]
    if n_pixels == 0:
        raise ImageFileError(f"has {size[0]} x {size[1]} pixels. Replace or remove it.")
    if limit is not None and n_pixels > limit:
        raise Image.DecompressionBombError


def _has_more_frames(image):
    """Return whether an image that was just opened is an animation, or has pages."""
    if image.format in STILL_FORMATS:
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # whatever a damaged second frame raises, the first may be good
        return False


def get_orientation(image):
    """Return the EXIF orientation of a loaded image, 1 if none can be read."""
    try:
        return image.getexif().get(ExifTag.Orientation, 1)
    except Exception:  # whatever odd EXIF raises, the pixels are good
        return 1


def _to_mode(image, mode):
    """Return a loaded image of any mode as 8-bit "RGB" or "L"."""
    if image.mode in SIXTEEN_BIT_MODES or is_sixteen_bit(image):
        image = _scale_sixteen_bits(np.asarray(image), image.info.get("transparency"))
    elif image.mode == "I":
        image = _check_integers(np.asarray(image))
    elif image.mode == "F":
        image = _scale_floats(np.asarray(image))
    elif image.mode in INDIRECT_MODES:
        image = image.convert(INDIRECT_MODES[image.mode])
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def is_sixteen_bit(image):
    """Return whether an image of 32-bit integers was read from a 16-bit file."""
    return image.mode == "I" and image.format in SIXTEEN_BIT_FORMATS


def _on_white(image):
    """Return an RGBA image as it looks on white paper."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _scale_sixteen_bits(pixels, transparent=None):
    """Return greys in 0–65535 as an image in 0–255, the transparent grey as white."""
    if transparent is not None:
        pixels = np.where(pixels == transparent, 65535, pixels)
    return Image.fromarray(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _check_integers(pixels):
    """Return 32-bit greys as an image, if they are in 0–255."""
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 255:
        raise ImageFileError(
            f"holds 32-bit integers from {low} to {high}, expected 0 to 255. Save it "
            "with 8 or 16 bits a pixel."
        )
    return Image.fromarray(pixels.astype(np.uint8))


def _scale_floats(pixels):
    """Return floating-point greys as an image, if they are in a range that is known."""
    low, high = pixels.min(), pixels.max()
    if low >= 0 and high <= 1:
        return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    if low >= 0 and high <= 255 and np.array_equal(pixels, np.rint(pixels)):
        return Image.fromarray(pixels.astype(np.uint8))
    raise ImageFileError(
        f"holds floating-point pixels from {low:g} to {high:g}; expected fractions in "
        "[0, 1] or whole numbers from 0 to 255. Rescale it, or save it with 8 or 16 "
        "bits a pixel."
    )


@contextmanager
def errors_naming(source):
    """Turn what is raised while `source` is read into an error that names it.

    Parameters
    ----------
    source : str, PathLike, bytes, PIL.Image.Image or ndarray
        Image that is read.

    Raises
    ------
    ImageFileError
        For every error but a lack of memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except ImageFileError as error:
        raise ImageFileError(f"{name_of(source)} {error}") from None
    except Exception as error:  # damaged files raise nearly anything in PIL
        raise ImageFileError(f"{name_of(source)} {_describe(error)}") from error


def name_of(source):
    """Return the path of a source as it was given, or a description."""
    if hasattr(source, "shape"):
        return f"Array of shape {tuple(source.shape)}"
    if isinstance(source, Image.Image):
        return f"PIL image of mode {source.mode}"
    if isinstance(source, bytes):
        return f"Encoded image of {len(source)} bytes"
    return repr(os.fspath(source))


def _describe(error):
    """Say what is wrong with an image file, and what to do."""
    match error:
        case FileNotFoundError():
            return (
                "does not exist. Check the path; a relative one starts in the current "
                "folder, and ~ is not expanded."
            )
        case IsADirectoryError():
            return "is a folder. List the files that it holds."
        case UnidentifiedImageError():
            return (
                "is not an image in a format that PIL decodes itself. Convert it to "
                "PNG or JPEG, or remove it."
            )
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return (
                "has too many pixels, more than the limit of "
                f"{Image.MAX_IMAGE_PIXELS:,}. Shrink it, or raise "
                "PIL.Image.MAX_IMAGE_PIXELS if you trust its source."
            )
        case OSError(strerror=str(reason)):
            return f"cannot be read: {reason}. Check the file and its permissions."
        case AssertionError() if not str(error):  # PIL's, of an image without its file
            return "was closed before it was read. Call its load() before that."
    reason = str(error) or repr(error)
    return f"is truncated or damaged: {reason}. Replace or remove it."
