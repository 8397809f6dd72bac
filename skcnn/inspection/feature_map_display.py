"""What chosen layers make of an image."""

from sklearn.utils import _safe_indexing

from ..runtime import usual_torch
from .feature_maps import LayerReader, choose_channels
from .input_pictures import input_pictures
from .layers import choose_layers
from .networks import find_network
from .overlays import in_plane, show_signal
from .pictures import make_grid, show_picture


class FeatureMapDisplay:
    """Feature maps of an image, layer by layer.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    maps : list of ndarray of shape (n_maps, *positions)
        Feature maps of each layer.
    channels : list of ndarray of shape (n_maps,)
        Their numbers among the channels of the layer.
    layers : list of str
        Names of the layers.
    picture : ndarray
        Picture of what the network takes; of a signal, an array of shape (length,
        n_channels).

    Attributes
    ----------
    axes_ : ndarray of shape (n_layers, 1 + n_maps), of matplotlib Axes
        A row for each layer. The image is in the first column.
    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    TopPatchesDisplay : Parts of images that excite a filter most.
    skcnn.CNNFeatureTransformer.layer_names : Names of layers.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from skcnn import CNNFeatureTransformer
    >>> from skcnn.inspection import FeatureMapDisplay
    >>> images = load_sample_images().images
    >>> features = CNNFeatureTransformer("resnet20", weights=None, random_state=0)
    >>> small = [image[:128:4, :128:4] for image in images]
    >>> display = FeatureMapDisplay.from_estimator(
    ...     features.fit(small), small, layers=["layer1", "layer3"], n_maps=4
    ... )
    >>> [maps.shape for maps in display.maps]
    [(4, 32, 32), (4, 8, 8)]
    """

    def __init__(self, maps, channels, layers, picture):
        self.maps = maps
        self.channels = channels
        self.layers = layers
        self.picture = picture

    @classmethod
    @usual_torch()
    def from_estimator(
        cls, estimator, X, *, row=0, layers=None, channels=None, n_maps=6, ax=None
    ):
        """Compute the feature maps of one image and draw them.

        Parameters
        ----------
        estimator : BaseEstimator
            Fitted estimator or transformer of this package, or a pipeline or search
            with one.
        X : array-like or sequence of image files
            Images, signals or volumes, of which a slice is shown.
        row : int, default=0
            Row of the image in X.
        layers : str, list of str or None, default=None
            Names of layers that return feature maps. None stands for the blocks of the
            network, six of them if there are more.
        channels : array-like of int or None, default=None
            Channels that are shown of each layer. None shows those that vary most over
            the image.
        n_maps : int, default=6
            Number of feature maps of each layer, if `channels` is None.
        ax : matplotlib Axes or None, default=None
            Axes whose place the grid takes; None makes a new figure.

        Returns
        -------
        FeatureMapDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If the estimator has no network, or a layer or channel does not exist.
        """
        found = find_network(estimator)
        names = [info.name for info in choose_layers(found, layers)]
        reader = LayerReader(found, names)
        batch, outputs = next(reader.batches(_safe_indexing(X, [row])))
        chosen = [choose_channels(output[0], n_maps, channels) for output in outputs]
        maps = [output[0][one] for output, one in zip(outputs, chosen, strict=True)]
        picture = input_pictures(found, batch)[0]
        return cls(maps, chosen, names, picture).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the image and the feature maps.

        The feature maps of a layer share one scale, of which black is the lowest value
        and white the highest.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes whose place the grid takes; None makes a new figure.

        Returns
        -------
        FeatureMapDisplay
            The display.
        """
        is_signal = self.maps[0].ndim == 2
        n_columns = 1 + max(map(len, self.maps))
        self.figure_, self.axes_ = make_grid(len(self.maps), n_columns, ax, side=1.3)
        show = show_signal if is_signal else show_picture
        show(self.axes_[0, 0], self.picture, "input")
        for axes, maps, channels, layer in zip(
            self.axes_, self.maps, self.channels, self.layers, strict=True
        ):
            draw = _draw_signals if is_signal else _draw_pictures
            draw(axes[1:], maps, channels)
            axes[1].set_ylabel(layer, fontsize="small")
        return self


def _draw_pictures(axes, maps, channels):
    """Draw the feature maps of a layer in one scale, and its colour bar."""
    scale = {"vmin": maps.min(), "vmax": maps.max()}
    for ax, values, channel in zip(axes, maps, channels, strict=False):
        image = show_picture(ax, in_plane(values), f"{channel}", **scale)
    bar = ax.figure.colorbar(image, ax=list(axes), fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize="x-small")


def _draw_signals(axes, maps, channels):
    """Draw the feature maps of a layer on signals in one scale."""
    for ax, values, channel in zip(axes, maps, channels, strict=False):
        show_signal(ax, values, f"{channel}")
        ax.set_ylim(maps.min(), maps.max())
