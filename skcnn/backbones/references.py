"""References to weights: the name of a file or set, and its SHA-256."""

import os
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch

from .catalogue import find_backbone
from .download import file_sha256
from .loading import file_identity
from .weights import WeightsError
from .weights_files import SUFFIXES, is_weights_file

FOLDERS = "SKCNN_WEIGHTS"  # environment variable, separated as PATH is


@dataclass(frozen=True)
class WeightsReference:
    """Reference to the weights that an estimator was fitted with.

    Parameters
    ----------
    name : str
        Path of the file, or name of the published set.

    sha256 : str
        SHA-256 of the file, in hexadecimal digits; for a published set, the digits
        that are published.

    size : int or None
        Size of the file, in bytes; None for a published set.
    """

    name: str
    sha256: str
    size: int | None


def refer_to(backbone, weights):
    """Return a reference to weights.

    Parameters
    ----------
    backbone : str
        Name of the network.

    weights : str or PathLike
        Name of a published set, or path of a file.

    Returns
    -------
    WeightsReference
        The reference.
    """
    if not is_weights_file(weights):
        card = find_backbone(backbone).find_card(weights)
        return WeightsReference(card.name, card.sha256, None)
    path, time, size = file_identity(weights)
    return WeightsReference(str(path), _sha256(path, time, size), size)


def find_referred(reference, backbone):
    """Find the weights of a reference.

    Parameters
    ----------
    reference : WeightsReference
        From `refer_to`.

    backbone : str
        Name of the network.

    Returns
    -------
    str or pathlib.Path or None
        Name of the set, or path of a file with the same SHA-256. It is searched for at
        its path, in the working folder, in the folders of the environment variable
        SKCNN_WEIGHTS and in the cache of torch.hub. None if it is not found.

    Raises
    ------
    WeightsError
        If the published set of that name has changed.
    """
    if reference.size is None:
        card = find_backbone(backbone).find_card(reference.name)
        if card.sha256 != reference.sha256:
            raise WeightsError(
                f"The weights {card.name!r} of {backbone!r} have the SHA-256 "
                f"{card.sha256}, but the estimator was fitted with "
                f"{reference.sha256}. Install the version of the library that it was "
                "fitted with, or fit again."
            )
        return card.name
    elsewhere = chain.from_iterable(map(_weights_files, usual_folders()))
    places = chain([Path(reference.name)], elsewhere)
    return next((path for path in places if _is_it(path, reference)), None)


def usual_folders():
    """Return the folders in which weights files are searched for.

    Returns
    -------
    list of pathlib.Path
        Absolute paths.
    """
    named = os.environ.get(FOLDERS, "").split(os.pathsep)
    folders = [".", *filter(None, named), Path(torch.hub.get_dir(), "checkpoints")]
    return [Path(folder).absolute() for folder in folders]


def _weights_files(folder):
    """Return the files of a folder that may hold weights."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def _is_it(path, reference):
    """Return whether a file has the size and the SHA-256 of a reference."""
    try:
        identity = file_identity(path)
        is_it = identity[2] == reference.size
        return is_it and _sha256(*identity) == reference.sha256
    except (OSError, WeightsError):  # missing or not readable
        return False


@lru_cache(maxsize=64)
def _sha256(path, time, size):
    """Return the SHA-256 of a file, computed again if its time or size changes."""
    return file_sha256(path)
