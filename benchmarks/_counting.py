"""Small network that counts its images in all processes."""

import os
from pathlib import Path

import torch
from torch import nn


class CountingNetwork(nn.Module):
    """A small network that notes in a file how many images each batch has.

    Parameters
    ----------
    path : str
        The file, to which all processes append.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        self.head = nn.Linear(8, 2)
        generator = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, generator=generator)

    def __reduce__(self):
        """Be pickled as `path`, so that joblib takes equal networks for equal."""
        return CountingNetwork, (self.path,)

    def forward(self, x):
        """Map (n, 3, height, width) to (n, 2)."""
        note_images(self.path, len(x))
        return self.head(self.conv(x).relu().mean((2, 3)))


def note_images(path, n_images):
    """Append a number to the file, in one piece."""
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{n_images}\n".encode())
    os.close(descriptor)


def take_count(path):
    """Return how many images were noted, and forget them."""
    path = Path(path)
    numbers = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sum(map(int, numbers))
