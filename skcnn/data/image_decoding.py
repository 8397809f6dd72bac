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
# PIL reads 16-bit files of these formats as 32-bit integers.
SIXTEEN_BIT_FORMATS = ("PPM", "PNG")
# Modes that PIL can convert only to one other mode.
INDIRECT_MODES = {"LAB": "RGB", "La": "LA"}
# Formats that PIL passes to other programs, or of which it reads only the size.
FOREIGN_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
# Formats in which further images are previews, gain maps or layers.
STILL_FORMATS = ("MPO", "PSD")
# JPEGs are decoded at a reduced size, at least this many times the target short side.
# At 2, pixels of detailed photographs differ by at most 14 grey levels (0.5–1.0 on
# average) from those of the full JPEG; at 1, by at most 66 (1–4).
DRAFT_GAP = 2
# Minimum short side of a reduced JPEG: small images are decoded fast anyway, and the
# edges of images reduced to a few dozen pixels would change by a grey level.
MIN_DRAFT_SIDE = 512
# ImageOps.exif_transpose rewrites the EXIF block, and fails for many odd ones.
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
    """Exception raised if an image file cannot be read; the message names the file."""


def decode_image(source, mode="RGB", short_side=None):
    """Decode an image to 8 bits per channel, upright.

    Transparent images are composited on white. 16-bit greys are scaled from 0–65535.
    Floating-point greys must be fractions in [0, 1] or whole numbers from 0 to 255. Of
    several frames, the first is read.

    Parameters
    ----------
    source : str, PathLike, bytes or PIL.Image.Image
        Path, encoded image, or PIL image, which is not changed.

    mode : "RGB" or "L", default="RGB"
        Mode of the result.

    short_side : int or None, default=None
        Short side, in pixels, that the image will be resized to. JPEGs may be decoded
        at a reduced size, with a short side of at least ``max(2 * short_side, 512)``.

    Returns
    -------
    PIL.Image.Image
        Decoded image. ``info["is_animated"]`` tells whether `source` has further
        frames.

    Raises
    ------
    ImageFileError
        If `source` cannot be read, or has more pixels than
        ``PIL.Image.MAX_IMAGE_PIXELS``, which is checked before decoding.
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
    """Convert an array to a PIL image, with pixels in the range of its dtype.

    Floats lie in [0, 1], uint16 in 0–65535, and other integers in 0–255, as in arrays
    for pretrained networks.

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

    Pipes and devices raise an error instead of blocking.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        file = open(source, "rb", opener=_open_at_once)  # noqa: SIM115
    except ValueError:
        raise ImageFileError(
            "has an invalid character in its path (NUL or an unpaired surrogate). "
            "Check the path."
        ) from None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ImageFileError("is a pipe or device, expected a regular file. Remove it.")


def _open_at_once(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(source, short_side):
    """Return the loaded image of a path or bytes, and whether more frames follow."""
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
    """Raise an error if an image has no pixels, or more than PIL's limit."""
    limit, n_pixels = Image.MAX_IMAGE_PIXELS, size[0] * size[1]
    if n_pixels == 0:
        raise ImageFileError(
            f"has no pixels ({size[0]} x {size[1]}). Replace or remove it."
        )
    if limit is not None and n_pixels > limit:
        raise Image.DecompressionBombError


def _has_more_frames(image):
    """Return whether an opened image is animated or has several pages."""
    if image.format in STILL_FORMATS:
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second frame raises any error; the first may be good
        return False


def get_orientation(image):
    """Return the EXIF orientation of a loaded image, 1 if none can be read."""
    try:
        return image.getexif().get(ExifTag.Orientation, 1)
    except Exception:  # odd EXIF raises any error; the pixels may be good
        return 1


def _to_mode(image, mode):
    """Convert a loaded image of any mode to 8-bit "RGB" or "L"."""
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
    """Composite an RGBA image on white."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _scale_sixteen_bits(pixels, transparent=None):
    """Convert greys in 0–65535 to an image in 0–255, the transparent grey to white."""
    if transparent is not None:
        pixels = np.where(pixels == transparent, 65535, pixels)
    return Image.fromarray(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _check_integers(pixels):
    """Convert 32-bit greys in 0–255 to an image."""
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 255:
        raise ImageFileError(
            f"holds 32-bit integers from {low} to {high}, expected 0 to 255. Save it "
            "with 8 or 16 bits per pixel."
        )
    return Image.fromarray(pixels.astype(np.uint8))


def _scale_floats(pixels):
    """Convert floating-point greys in [0, 1] or 0–255 to an image."""
    low, high = pixels.min(), pixels.max()
    if low >= 0 and high <= 1:
        return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    if low >= 0 and high <= 255 and np.array_equal(pixels, np.rint(pixels)):
        return Image.fromarray(pixels.astype(np.uint8))
    raise ImageFileError(
        f"holds floating-point pixels from {low:g} to {high:g}; expected fractions in "
        "[0, 1] or whole numbers from 0 to 255. Rescale it, or save it with 8 or 16 "
        "bits per pixel."
    )


@contextmanager
def errors_naming(source):
    """Turn exceptions raised while `source` is read into one that names it.

    Parameters
    ----------
    source : str, PathLike, bytes, PIL.Image.Image or ndarray
        Image that is read.

    Raises
    ------
    ImageFileError
        For any exception except a MemoryError.
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
    """Return the path of a source, or a description of it."""
    if hasattr(source, "shape"):
        return f"Array of shape {tuple(source.shape)}"
    if isinstance(source, Image.Image):
        return f"PIL image of mode {source.mode}"
    if isinstance(source, bytes):
        return f"Encoded image of {len(source)} bytes"
    return repr(os.fspath(source))


def _describe(error):
    """Describe what is wrong with an image file, and how to fix it."""
    match error:
        case FileNotFoundError():
            return (
                "does not exist. Check the path; a relative one starts in the current "
                "folder, and ~ is not expanded."
            )
        case IsADirectoryError():
            return "is a folder. Pass the files in it."
        case UnidentifiedImageError():
            return (
                "is not an image in a format that PIL can decode. Convert it to PNG or "
                "JPEG, or remove it."
            )
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return (
                f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels, the limit of PIL. "
                "Resize it, or increase PIL.Image.MAX_IMAGE_PIXELS if you trust its "
                "source."
            )
        case OSError(strerror=str(reason)):
            return f"cannot be read: {reason}. Check the file and its permissions."
        case AssertionError() if not str(error):  # from PIL, if the file was closed
            return "was closed before it was read. Call load() before closing it."
    reason = str(error) or repr(error)
    return f"is truncated or damaged: {reason}. Replace or remove it."
