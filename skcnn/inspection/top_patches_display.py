"""The patches of images that excite filters most, layers side by side."""

from math import ceil, sqrt

import numpy as np

from ..runtime import usual_torch
from .layers import choose_layers
from .networks import find_network
from .pictures import make_grid, show_picture
from .top_patches import find_top_patches

GAP = 0.06  # between patches, as share of their side


class TopPatchesDisplay:
    """The patches of images that excite filters most, layers side by side.

    A patch is the receptive field of the position where a filter responds most; of
    each image there is one [1]_. It is recommended to use :meth:`from_estimator` to
    create a display.

    Parameters
    ----------
    layers : list of TopPatches
        For each layer, its name as `layer`; the numbers of its filters as `channels`,
        of shape (n_filters,); `responses`, `rows` (of the images in X) and `positions`
        (in the feature map), of shape (n_filters, n_patches, ...); and `patches`, of
        shape (n_filters, n_patches, height, width) or with colours. The strongest
        patches are first.

    Attributes
    ----------
    axes_ : ndarray of shape (n_filters, n_layers), of matplotlib Axes
        A mosaic of patches for each filter.
    figure_ : matplotlib Figure
        Figure that holds them.

    See Also
    --------
    FilterDisplay : Filters of a layer.
    FeatureMapDisplay : Feature maps of an image, layer by layer.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional
       networks", ECCV 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import TopPatchesDisplay
    >>> digits = load_digits()
    >>> clf = CNNClassifier(max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:200], digits.target[:200])
    >>> display = TopPatchesDisplay.from_estimator(
    ...     clf, digits.images[:50], layers=["block1", "block2"], n_patches=4
    ... )
    >>> [top.patches.shape for top in display.layers]
    [(4, 4, 4, 4), (4, 4, 8, 8)]
    """

    def __init__(self, layers):
        self.layers = layers

    @classmethod
    @usual_torch()
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        layers=None,
        channels=None,
        n_filters=4,
        n_patches=9,
        ax=None,
    ):
        """Find the patches that excite filters most, and draw them.

        Parameters
        ----------
        estimator : BaseEstimator
            Fitted estimator or transformer of this package, or a pipeline or search
            with one.
        X : array-like or sequence of image files
            Images.
        layers : str, list of str or None, default=None
            Names of layers that return feature maps. None stands for the blocks of the
            network, six of them if there are more.
        channels : array-like of int or None, default=None
            Filters that are shown of each layer. None shows those whose largest
            response is farthest above the mean of all images.
        n_filters : int, default=4
            Number of filters of each layer, if `channels` is None.
        n_patches : int, default=9
            Number of patches of each filter.
        ax : matplotlib Axes or None, default=None
            Axes whose place the grid takes; None makes a new figure.

        Returns
        -------
        TopPatchesDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X holds no images, the estimator has no network, or a layer or filter
            does not exist.
        """
        found = find_network(estimator)
        if len(found.input_shape) != 3:
            raise ValueError(
                f"The network takes samples of shape {found.input_shape} (channels "
                "first), expected images with two spatial axes. FeatureMapDisplay "
                "shows the feature maps of others."
            )
        infos = choose_layers(found, layers)
        tops = find_top_patches(found, X, infos, channels, n_filters, n_patches)
        return cls(tops).plot(ax=ax)

    def plot(self, ax=None):
        """Draw a mosaic of patches for each filter, the strongest at its top left.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes whose place the grid takes; None makes a new figure.

        Returns
        -------
        TopPatchesDisplay
            The display.
        """
        n_filters = max(len(top.channels) for top in self.layers)
        self.figure_, self.axes_ = make_grid(n_filters, len(self.layers), ax, side=1.6)
        for column, top in zip(self.axes_.T, self.layers, strict=True):
            height, width = top.patches.shape[2:4]
            for row, one in enumerate(column[: len(top.channels)]):
                title = f"filter {top.channels[row]}"
                if row == 0:
                    title = f"{top.layer}\n{height}×{width} pixels\n{title}"
                show_picture(one, _mosaic(top.patches[row]), title)
        return self


def _mosaic(patches):
    """Return patches in a square with white lines between them."""
    n_columns = ceil(sqrt(len(patches)))
    height, width = patches.shape[1:3]
    repeat = max(1, ceil(24 / min(height, width)))  # so that lines are thin
    patches = patches.repeat(repeat, axis=1).repeat(repeat, axis=2)
    height, width = patches.shape[1:3]
    gap = max(1, round(GAP * min(height, width)))
    shape = ceil(len(patches) / n_columns), n_columns
    white = 255 if patches.dtype == np.uint8 else 1.0
    size = (shape[0] * (height + gap) - gap, shape[1] * (width + gap) - gap)
    mosaic = np.full((*size, *patches.shape[3:]), white, patches.dtype)
    for index, patch in enumerate(patches):
        row, column = divmod(index, n_columns)
        top, left = row * (height + gap), column * (width + gap)
        mosaic[top : top + height, left : left + width] = patch
    return mosaic
