"""Windows of a feature pyramid: sizes, positions and features."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch.nn import functional as F


@dataclass(frozen=True)
class Windows:
    """Windows of one size in one image.

    Parameters
    ----------
    feature_map : torch.Tensor of shape (n_channels, n_rows, n_columns)
        Feature map, resampled so that a window has `n_cells` along both axes.

    cell : ndarray of shape (2,)
        Width and height of a cell in pixels of the image.

    n_cells : int
        Number of cells along each side of a window.
    """

    feature_map: torch.Tensor
    cell: np.ndarray
    n_cells: int

    @property
    def shape(self):
        """Number of rows and columns of windows."""
        return tuple(n - self.n_cells + 1 for n in self.feature_map.shape[1:])

    def boxes(self):
        """Return the boxes of all windows, row by row, (n_windows, 4)."""
        rows, columns = np.indices(self.shape).reshape(2, -1)
        low = np.stack([columns, rows], axis=1)
        return np.hstack([low * self.cell, (low + self.n_cells) * self.cell])

    def features(self, chosen):
        """Return the features of some windows, (n, n_channels * n_cells²)."""
        n = self.n_cells
        windows = self.feature_map.unfold(1, n, 1).unfold(2, n, 1)
        rows, columns = np.unravel_index(chosen, self.shape)
        return windows[:, rows, columns].movedim(1, 0).flatten(1).numpy()


@dataclass(frozen=True)
class WindowSize:
    """Size of windows, and the image scale at which they are evaluated.

    Parameters
    ----------
    width, height : float
        Size in pixels of the image.

    scale : float
        Image scale at which a window has about the area that the model takes.
    """

    width: float
    height: float
    scale: float

    def cut(self, maps, image_size, n_cells):
        """Return all windows of this size in an image.

        Parameters
        ----------
        maps : dict of float to torch.Tensor of shape (n_channels, height, width)
            Feature maps of the image by scale.

        image_size : tuple of int
            Width and height of the image.

        n_cells : int
            Number of cells along each side of a window.

        Returns
        -------
        Windows
        """
        image_size = np.array(image_size, dtype=float)
        n_fitting = n_cells * image_size / (self.width, self.height)
        columns, rows = np.maximum(np.rint(n_fitting), n_cells).astype(int)
        feature_map = F.interpolate(
            maps[self.scale][None], (rows, columns), mode="bilinear", antialias=True
        )
        return Windows(feature_map[0], image_size / (columns, rows), n_cells)


def learn_window_sizes(boxes, n_windows, window_side):
    """Learn window sizes, by k-means on the logarithms of the sizes of boxes.

    Scales are powers of the square root of 2, so that cross-validation folds, whose
    sizes differ slightly, share cached feature maps.

    Parameters
    ----------
    boxes : ndarray of shape (n_boxes, 4)
        Boxes.

    n_windows : int
        Maximum number of sizes.

    window_side : int
        Side length, in pixels, of a scaled window.

    Returns
    -------
    list of WindowSize
        Window sizes, the smallest first.
    """
    logs = np.log(boxes[:, 2:] - boxes[:, :2])
    n_windows = min(n_windows, len(np.unique(logs, axis=0)))
    centers = KMeans(n_windows, n_init=4, random_state=0).fit(logs).cluster_centers_
    centers = centers[np.argsort(centers.sum(axis=1))]
    octaves = np.log2(window_side) - centers.mean(axis=1) / np.log(2)
    scales = 2 ** (np.rint(2 * octaves) / 2)
    return [
        WindowSize(float(width), float(height), float(scale))
        for (width, height), scale in zip(np.exp(centers), scales, strict=True)
    ]
