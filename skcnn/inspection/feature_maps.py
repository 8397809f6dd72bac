"""Feature maps of an image, layer by layer."""

import numpy as np
import torch
from sklearn.utils import _safe_indexing

from ..data import as_image_list, is_image_files
from ..runtime import usual_torch
from .layer_outputs import cut_at, default_layers, seen_pixels
from .networks import find_network
from .overlays import in_plane
from .pictures import in_range, make_grid, show_picture, with_usual_channels


class FeatureMapDisplay:
    """Display of the feature maps of one image, layer by layer.

    It is recommended to use :meth:`from_estimator` to create a display. Each map is
    scaled separately, from its minimum (black) to its maximum (white). For volumes, the
    middle slice is drawn; maps of signals are curves.

    Parameters
    ----------
    pixels : ndarray of shape (n_channels, ...)
        Image as the network sees it, after resizing and cropping.
    maps : dict of str to ndarray of shape (n_maps, ...)
        Feature maps by layer name.
    channels : dict of str to ndarray of shape (n_maps,)
        Channel indices of the feature maps.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Grid with a row for each layer; the image is in the first column.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    FilterDisplay : Display of the filters of a layer.
    ClassActivationDisplay : Display of class activation maps over images.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import FeatureMapDisplay
    >>> digits = load_digits()
    >>> clf = CNNClassifier(n_layers=2, max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:100], digits.target[:100])
    >>> display = FeatureMapDisplay.from_estimator(clf, digits.images, n_maps=4)
    >>> [maps.shape for maps in display.maps.values()]
    [(4, 8, 8), (4, 4, 4), (4, 2, 2)]
    """

    def __init__(self, pixels, maps, channels):
        self.pixels = pixels
        self.maps = maps
        self.channels = channels

    @classmethod
    def from_estimator(cls, estimator, X, layers=None, *, row=0, n_maps=6, ax=None):
        """Compute the feature maps of one image and draw them.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator or transformer of the package, or a pipeline or search
            with one.
        X : array-like or sequence of image files
            Images.
        layers : str, list of str or None, default=None
            Names of layers from `CNNFeatureTransformer.layer_names` or
            ``module_.named_modules()``. None chooses up to four, from fine to coarse
            feature maps.
        row : int, default=0
            Row of X to draw.
        n_maps : int, default=6
            Maximum number of feature maps per layer. The maps with the highest standard
            deviation over positions are drawn, in the order of their channels.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        FeatureMapDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X, `row` or a layer is not valid.
        """
        found = find_network(estimator)
        layers = [layers] if isinstance(layers, str) else layers
        layers = default_layers(found) if layers is None else list(layers)
        batch, outputs = _compute(found, cut_at(found, layers), _take(X, row))
        maps, channels = {}, {}
        for layer, output in zip(layers, outputs, strict=True):
            spread = output.flatten(1).std(1, correction=0).numpy()
            chosen = np.sort(np.argsort(-spread, kind="stable")[:n_maps])
            maps[layer], channels[layer] = output.numpy()[chosen], chosen
        return cls(seen_pixels(found, batch)[0], maps, channels).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the image and its feature maps.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        FeatureMapDisplay
            The display.
        """
        n_columns = 1 + max(map(len, self.maps.values()))
        self.figure_, self.axes_ = make_grid(len(self.maps), n_columns, ax, side=1.4)
        _draw_image(self.axes_[0, 0], self.pixels)
        for axes, (layer, maps) in zip(self.axes_, self.maps.items(), strict=True):
            size = " × ".join(map(str, maps.shape[1:]))
            label = f"{layer}\n{size}"
            for one, values, channel in zip(
                axes[1:], maps, self.channels[layer], strict=False
            ):
                _draw_map(one, values, f"channel {channel}", label)
                label = ""
        return self


def _take(X, row):
    """Return one row of X, as a batch."""
    n_samples = len(X) if hasattr(X, "__len__") else X.shape[0]
    if not -n_samples <= row < n_samples:
        raise ValueError(f"row={row}, expected a row of X, 0 to {n_samples - 1}.")
    row %= n_samples
    if is_image_files(X):
        return [as_image_list(X)[row]]
    return _safe_indexing(X, [row])


@usual_torch()
def _compute(found, network, X):
    """Return the network input of one sample, and the outputs on the CPU."""
    (batch,) = found.batches(X)
    with torch.inference_mode():
        return batch, [output[0].cpu().float() for output in network(batch)]


def _draw_image(ax, pixels):
    """Draw the input of the network."""
    if pixels.ndim == 2:
        _draw_map(ax, pixels, "input")
    else:
        show_picture(ax, in_range(with_usual_channels(pixels[None]))[0], "input")


def _draw_map(ax, values, title, label=""):
    """Draw a feature map, or the curves of a signal."""
    if values.ndim == 1 or title == "input":
        ax.set_axis_on()
        ax.plot(np.atleast_2d(values).T, color="black", linewidth=0.8)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize="small")
        ax.set_ylabel(label, fontsize="small")
        return
    values = in_plane(values)
    low, high = float(values.min()), float(values.max())
    show_picture(ax, values, title, label=label, vmin=low, vmax=max(high, low + 1e-12))
