"""Display of the filters of a layer."""

from math import ceil

import numpy as np

from .networks import find_network, find_part, is_convolution
from .pictures import make_grid, show_picture


class FilterDisplay:
    """Display of the filters of a convolutional layer.

    It is recommended to use :meth:`from_estimator` to create a display. Filters with
    three channels are drawn in colour. For other filters, one channel is drawn in grey:
    mid-grey is 0, white is positive. All filters share one range.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, n_channels, ...)
        Weights of the layer.
    layer : str
        Name of the layer.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Grid of the filters.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    FeatureMapDisplay : Display of the feature maps of an image.
    TopPatchesDisplay : Display of the image patches that activate filters most.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep
    convolutional neural networks", NeurIPS 2012, figure 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import FilterDisplay
    >>> digits = load_digits()
    >>> clf = CNNClassifier(n_filters=8, max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:100], digits.target[:100])
    >>> FilterDisplay.from_estimator(clf).filters.shape
    (8, 1, 3, 3)
    """

    def __init__(self, filters, layer):
        self.filters = filters
        self.layer = layer

    @classmethod
    def from_estimator(
        cls, estimator, layer=None, *, n_filters=64, channel=0, n_columns=8, ax=None
    ):
        """Draw the filters of a layer.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator or transformer of the package, or a pipeline or search
            with one.
        layer : str or None, default=None
            Name of a convolution in ``module_.named_modules()``, or of a part whose
            first convolution is used. None uses the first convolution of the network.
        n_filters : int, default=64
            Maximum number of filters.
        channel : int, default=0
            Channel to draw, if the filters do not have three channels.
        n_columns : int, default=8
            Number of columns of the grid.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        FilterDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If the estimator has no network, the layer or channel does not exist, or
            the layer contains no convolution.
        """
        name, part = _find_convolution(find_network(estimator).module, layer)
        weights = part.weight.detach().cpu().double().numpy()
        display = cls(weights[:n_filters], name)
        return display.plot(ax=ax, channel=channel, n_columns=n_columns)

    def plot(self, ax=None, *, channel=0, n_columns=8):
        """Draw the filters.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.
        channel : int, default=0
            Channel to draw, if the filters do not have three channels.
        n_columns : int, default=8
            Number of columns of the grid.

        Returns
        -------
        FilterDisplay
            The display.

        Raises
        ------
        ValueError
            If the channel does not exist.
        """
        pictures = _as_pictures(self.filters, channel)
        n_columns = min(n_columns, len(pictures))
        n_rows = ceil(len(pictures) / n_columns)
        self.figure_, self.axes_ = make_grid(n_rows, n_columns, ax, side=0.9)
        for i, (one, picture) in enumerate(
            zip(self.axes_.flat, pictures, strict=False)
        ):
            image = show_picture(one, picture, str(i))
        if ax is None:
            n_channels = self.filters.shape[1]
            of = "" if n_channels in (1, 3) else f", channel {channel} of {n_channels}"
            self.figure_.suptitle(f"Filters of {self.layer}{of}", fontsize="medium")
        if pictures[0].ndim == 2 and ax is None:
            highest = np.abs(self.filters).max()
            bar = self.figure_.colorbar(image, ax=self.axes_, ticks=[0, 0.5, 1])
            bar.ax.set_yticklabels([f"{v:.2g}" for v in (-highest, 0, highest)])
            bar.set_label("weight")
        return self


def _find_convolution(module, layer):
    """Return the name of the first convolution in a layer, and the convolution."""
    part = module if layer is None else find_part(module, layer)
    prefix = "" if layer is None else layer
    for name, inner in part.named_modules():
        if is_convolution(inner):
            return ".".join(filter(None, [prefix, name])), inner
    raise ValueError(
        f"layer={layer!r} is a {type(part).__name__} without a convolution, expected "
        "a convolution or a block that contains one."
    )


def _as_pictures(filters, channel):
    """Return filters as pictures, in [0, 1], with 0.5 for a weight of 0."""
    n_channels = filters.shape[1]
    if filters.ndim == 3:  # signals: a row for each channel
        shown = filters
    elif n_channels == 3:
        shown = np.moveaxis(filters, 1, -1)
    elif not 0 <= channel < n_channels:
        raise ValueError(
            f"channel={channel}, expected 0 to {n_channels - 1}: the filters have "
            f"{n_channels} channels."
        )
    else:
        shown = filters[:, channel]
    if filters.ndim == 5:  # volumes: the middle slice
        shown = shown[:, shown.shape[1] // 2]
    return list(0.5 + shown / (2 * np.abs(filters).max() or 1))
