"""Download of published weights, and checks of their SHA-256."""

import contextlib
import hashlib
import re
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import torch

from .weights import WeightsError

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
FULL = re.compile("[0-9a-f]{64}")


def download_weights(card, verbose=False):
    """Return the file of published weights, downloaded if needed.

    Files are in the folder that torchvision uses, ``checkpoints`` of
    :func:`torch.hub.get_dir`; those of the Hugging Face hub are in its own cache. The
    SHA-256 is checked in every call. If only its first digits are published, the first
    file that has them is accepted, and its full SHA-256 is written to a file beside it,
    with the suffix ".sha256", and checked from then on.

    Parameters
    ----------
    card : WeightsCard
        Card of the weights.

    verbose : bool, default=False
        Whether to print the progress of a download to stderr.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WeightsError
        If the file can be neither found nor downloaded, or is not the published one.
    """
    if card.hub_id:
        path = hub_file(card)
    else:
        path = Path(torch.hub.get_dir()) / "checkpoints" / card.file_name
        if not path.exists():
            download(card, path, verbose)
    if path.is_dir():
        raise WeightsError(
            f"{path} is a folder, expected the file of the weights {card.name!r}. "
            f"Delete it to download the file from {card.url}."
        )
    check_file(card, path)
    return path


def check_file(card, path):
    """Raise an error if a file does not have the expected SHA-256."""
    digest = file_sha256(path)
    record = path.with_name(path.name + ".sha256")
    blob = path.resolve().name  # the hub names a file by its SHA-256
    known = [card.sha256, blob if FULL.fullmatch(blob) else "", read_record(record)]
    for expected in filter(None, known):
        if not digest.startswith(expected):
            raise WeightsError(
                f"{path} has the SHA-256 {digest}, expected {expected}. It is damaged "
                f"or was replaced. Delete it (and {record.name} beside it) to download "
                f"it again from {card.url}."
            )
    if not any(FULL.fullmatch(expected) for expected in known):
        write_record(record, digest)


def file_sha256(path):
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(record):
    """Return the SHA-256 that a file had when it was accepted, or an empty string."""
    return record.read_text().partition(" ")[0] if record.is_file() else ""


def write_record(record, digest):
    """Write a SHA-256 as the command `sha256sum --check` reads it."""
    with contextlib.suppress(OSError):  # the folder may be read-only
        record.write_text(f"{digest}  {record.name.removesuffix('.sha256')}\n")


def download(card, path, verbose):
    """Download a file; if it is not complete and correct, leave nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(card.url, path, card.sha256, progress=verbose)
    except (OSError, HTTPException, RuntimeError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise unavailable(card, f"Put the file at {path}", error) from error


def unavailable(card, remedy, error):
    """Return the error that weights cannot be downloaded."""
    digits = f" Its SHA-256 begins with {card.sha256}." if card.sha256 else ""
    return WeightsError(
        f"Cannot download the weights {card.name!r} from {card.url}: {error}. "
        f"{remedy}, or pass its path as weights.{digits}"
    )


def hub_file(card):
    """Return a file in the cache of the Hugging Face hub, downloaded if needed."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    names = dict.fromkeys((card.file_name, *HUB_FILES))
    for name in names:
        cached = try_to_load_from_cache(card.hub_id, name)
        if isinstance(cached, str):
            return Path(cached)
    reason = None
    for name in names:
        try:
            return Path(hf_hub_download(card.hub_id, name))
        except LocalEntryNotFoundError as error:  # no network
            raise unavailable(card, "Download the file", error) from error
        except EntryNotFoundError as error:  # the repository has it in another format
            reason = error
        except Exception as error:  # its HTTP library differs between versions
            raise unavailable(card, "Download the file", error) from error
    raise unavailable(card, "Download the file", reason) from reason
