"""Errors that name an image file and say what is wrong with it."""

import os
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

TOO_LARGE = "Shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust its source."


class ImageFileError(ValueError):
    """An image file cannot be read; the message names it and says what to do."""


@contextmanager
def errors_naming(source):
    """Turn what is raised while `source` is read into an error that names it.

    Parameters
    ----------
    source : str, PathLike, bytes or PIL.Image.Image
        What is read.

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
    """Return what a source is called in messages.

    Parameters
    ----------
    source : str, PathLike, bytes or PIL.Image.Image
        An image file.

    Returns
    -------
    str
        The path as it was given, or a description.
    """
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
            return "is not an image in a format that PIL reads. Replace or remove it."
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return f"has too many pixels: {error} {TOO_LARGE}"
        case OSError(strerror=str(reason)):
            return f"cannot be read: {reason}. Check the file and its permissions."
        case AssertionError() if not str(error):  # PIL's, of an image without its file
            return "was closed before it was read. Call its load() before that."
    reason = str(error) or repr(error)
    return f"is truncated or damaged: {reason}. Replace or remove it."
