"""Filters of a layer."""

from math import ceil

import numpy as np

from .layers import find_part, is_convolution
from .networks import find_network
from .overlays import in_plane, show_signal
from .pictures import make_grid, show_picture

N_COLUMNS = 8


class FilterDisplay:
    """Filters of a convolution.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, n_in_channels, *kernel_size)
        Weights of the filters.
    layer : str
        Name of the convolution.
    channels : ndarray of shape (n_filters,) or None, default=None
        Numbers of the filters in the layer; None for 0, 1 and so on.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Grid of the filters.
    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    TopPatchesDisplay : Parts of images that excite a filter most.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import FilterDisplay
    >>> digits = load_digits()
    >>> clf = CNNClassifier(max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:200], digits.target[:200])
    >>> FilterDisplay.from_estimator(clf).filters.shape
    (32, 1, 3, 3)
    """

    def __init__(self, filters, layer, *, channels=None):
        self.filters = filters
        self.layer = layer
        self.channels = channels

    @classmethod
    def from_estimator(cls, estimator, *, layer=None, n_filters=32, ax=None):
        """Draw the filters of a convolution.

        Parameters
        ----------
        estimator : BaseEstimator
            Fitted estimator or transformer of this package, or a pipeline or search
            with one.
        layer : str or None, default=None
            Name of a convolution in ``module_``, or of a part, whose first convolution
            is taken. None is the first convolution of the network.
        n_filters : int, default=32
            Maximum number of filters, the first ones of the layer.
        ax : matplotlib Axes or None, default=None
            Axes whose place the grid takes; None makes a new figure.

        Returns
        -------
        FilterDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If the estimator has no network, or the layer does not exist or has no
            convolution.
        """
        module = find_network(estimator).module
        layer, convolution = _find_convolution(module, layer)
        weights = convolution.weight.detach().cpu().double().numpy()[:n_filters]
        return cls(weights, layer, channels=np.arange(len(weights))).plot(ax=ax)

    def plot(self, ax=None, *, n_columns=N_COLUMNS):
        """Draw the filters.

        Filters of three input channels are colours, which are grey at 0; others are
        drawn as the mean over their input channels, 0 in grey, negative weights darker
        and positive ones brighter. All filters share one scale.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes whose place the grid takes; None makes a new figure.
        n_columns : int, default=8
            Number of columns of the grid.

        Returns
        -------
        FilterDisplay
            The display.
        """
        n_filters, n_in = self.filters.shape[:2]
        channels = range(n_filters) if self.channels is None else self.channels
        n_columns = min(n_columns, n_filters)
        n_rows = ceil(n_filters / n_columns)
        self.figure_, self.axes_ = make_grid(n_rows, n_columns, ax, side=0.9)
        is_colour = n_in == 3 and self.filters.ndim == 4
        shown = self.filters if is_colour else self.filters.mean(axis=1)
        largest = np.abs(shown).max() or 1.0
        for one, weights, number in zip(self.axes_.flat, shown, channels, strict=False):
            if shown.ndim == 2:
                show_signal(one, weights[:, None], f"{number}")
                one.set(ylim=(-largest, largest), xticks=[])
            elif is_colour:
                colours = 0.5 + np.moveaxis(weights, 0, -1) / (2 * largest)
                show_picture(one, colours, f"{number}")
            else:
                scale = {"vmin": -largest, "vmax": largest}
                image = show_picture(one, in_plane(weights), f"{number}", **scale)
        if not is_colour and shown.ndim > 2:
            bar = self.figure_.colorbar(image, ax=list(self.axes_.flat), fraction=0.03)
            bar.set_label("weight" if n_in == 1 else "mean weight", fontsize="small")
            bar.ax.tick_params(labelsize="small")
        if ax is None:
            size = "×".join(map(str, self.filters.shape[2:]))
            self.figure_.suptitle(
                f"{self.layer}: filters of {size} on {n_in} "
                f"{'channel' if n_in == 1 else 'channels'}",
                fontsize="medium",
            )
        return self


def _find_convolution(module, layer):
    """Return the name of a convolution, and itself."""
    part = module if layer is None else find_part(module, layer)
    for name, inner in part.named_modules():
        if is_convolution(inner):
            return ".".join(filter(None, [layer, name])), inner
    raise ValueError(
        f"layer={layer!r} has no convolution, expected one of "
        f"{[n for n, p in module.named_modules() if is_convolution(p)]}."
    )
