"""Display of the image patches that activate filters most."""

from collections import namedtuple

import numpy as np
import torch

from ..runtime import usual_torch
from .layer_outputs import cut_at, default_layers, seen_pixels
from .networks import find_network
from .pictures import in_range, make_grid, show_picture, with_usual_channels

Excited = namedtuple("Excited", "values positions")


class TopPatchesDisplay:
    """Display of the image patches that activate filters most.

    It is recommended to use :meth:`from_estimator` to create a display. A patch is the
    receptive field of one position of a feature map, cut at the border of the image.
    Each image has at most one patch per filter. Layers are drawn side by side.

    Parameters
    ----------
    patches : dict of str to list of list of ndarray
        Patches of each filter by layer, as grey or RGB pictures with values in [0, 1],
        the highest activation first.
    rows : dict of str to ndarray of shape (n_filters, n_patches)
        Rows of X that the patches come from.
    activations : dict of str to ndarray of shape (n_filters, n_patches)
        Activations of the filters.
    filters : dict of str to ndarray of shape (n_filters,)
        Channel indices of the filters.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Grid with a row for each filter.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    FilterDisplay : Display of the filters of a layer.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks",
    ECCV 2014, figure 2.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import TopPatchesDisplay
    >>> digits = load_digits()
    >>> clf = CNNClassifier(n_layers=2, max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:100], digits.target[:100])
    >>> display = TopPatchesDisplay.from_estimator(
    ...     clf, digits.images[:50], n_filters=3, n_patches=4
    ... )
    >>> [rows.shape for rows in display.rows.values()]
    [(3, 4), (3, 4)]
    """

    def __init__(self, patches, rows, activations, filters):
        self.patches = patches
        self.rows = rows
        self.activations = activations
        self.filters = filters

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        layers=None,
        *,
        filters=None,
        n_filters=4,
        n_patches=5,
        ax=None,
    ):
        """Find the image patches that activate filters most, and draw them.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator or transformer of the package, or a pipeline or search
            with one.
        X : array-like or sequence of image files
            2-D images.
        layers : str, list of str or None, default=None
            Names of layers from `CNNFeatureTransformer.layer_names` or
            ``module_.named_modules()``. None chooses two, with fine and coarse feature
            maps whose receptive field fits in the image.
        filters : list of int or None, default=None
            Channels of each layer. None takes `n_filters` channels at equal intervals
            from those whose activation varies.
        n_filters : int, default=4
            Maximum number of filters per layer, if `filters` is None.
        n_patches : int, default=5
            Maximum number of patches per filter.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        TopPatchesDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X, a layer or a filter is not valid.
        """
        found = find_network(estimator)
        if len(found.input_shape) != 3:
            raise ValueError(
                f"The network takes samples of shape {found.input_shape}, expected "
                "2-D images."
            )
        fields = _receptive_fields(found)
        layers = [layers] if isinstance(layers, str) else layers
        layers = _choose_layers(found, fields) if layers is None else list(layers)
        every = _find_excited(found, cut_at(found, layers), X)
        parts = {}
        for layer, excited in zip(layers, every, strict=True):
            chosen = _choose_filters(excited.values, layer, filters, n_filters)
            order = np.argsort(-excited.values[:, chosen], axis=0, kind="stable")
            parts[layer] = chosen, order[:n_patches].T, excited
        pictures = _seen_rows(found, X, [rows for _, rows, _ in parts.values()])
        patches, rows, activations, channels = {}, {}, {}, {}
        for layer, (chosen, at, excited) in parts.items():
            field = fields.get(layer) or found.input_shape[1:]
            channels[layer], rows[layer] = chosen, at
            activations[layer] = excited.values[at, chosen[:, None]]
            patches[layer] = [
                [_cut(pictures[r], excited.positions[r, c], field) for r in of_filter]
                for c, of_filter in zip(chosen, at, strict=True)
            ]
        return cls(patches, rows, activations, channels).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the patches.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        TopPatchesDisplay
            The display.
        """
        widths = [rows.shape[1] for rows in self.rows.values()]
        n_rows = max(len(rows) for rows in self.rows.values())
        n_columns = sum(widths) + len(widths) - 1  # a gap between layers
        self.figure_, self.axes_ = make_grid(n_rows, n_columns, ax, side=0.95)
        start = 0
        for layer, width in zip(self.patches, widths, strict=True):
            self._draw_layer(layer, self.axes_[:, start : start + width])
            start += width + 1
        return self

    def _draw_layer(self, layer, axes):
        """Draw the patches of a layer, with its name above."""
        for i, patches in enumerate(self.patches[layer]):
            label = f"filter {self.filters[layer][i]}"
            for ax, patch in zip(axes[i], patches, strict=True):
                show_picture(ax, patch, label=label)
                label = ""
        middle = axes[0, (axes.shape[1] - 1) // 2]
        middle.set_title(layer, fontsize="small")


def _receptive_fields(found):
    """Return the receptive field of each layer that has one, by name."""
    return {row.name: row.receptive_field for row in found.layers_with_maps}


def _choose_layers(found, fields):
    """Return a layer with small patches and one with large patches."""
    side = found.input_shape[1:]
    names = [
        name
        for name in default_layers(found, n_layers=99)
        if fields[name] and all(np.less_equal(fields[name], side))
    ] or default_layers(found, 1)
    return names[:1] if len(names) == 1 else [names[0], names[-1]]


@usual_torch()
def _find_excited(found, network, X):
    """Return the highest activation of each map and its position, for each layer.

    Values have shape (n_samples, n_channels). Positions are centres, as fractions of
    height and width, (n_samples, n_channels, 2).
    """
    parts = []
    with torch.inference_mode():
        for batch in found.batches(X):
            parts.append([_highest(output) for output in network(batch)])
    return [
        Excited(*(np.concatenate(values) for values in zip(*of_layer, strict=True)))
        for of_layer in zip(*parts, strict=True)
    ]


def _highest(output):
    """Return the maximum of each map, and the centre of its position."""
    values, index = output.flatten(2).max(2)
    height, width = output.shape[2:]
    rows, columns = index // width, index % width
    centres = torch.stack([(rows + 0.5) / height, (columns + 0.5) / width], dim=-1)
    return values.cpu().double().numpy(), centres.cpu().double().numpy()


def _choose_filters(values, layer, filters, n_filters):
    """Return the channels to draw."""
    n_channels = values.shape[1]
    if filters is None:
        excited = np.flatnonzero(values.max(0) > values.min(0))
        at = np.linspace(0, len(excited), min(n_filters, len(excited)), endpoint=False)
        return excited[at.astype(int)] if len(excited) else np.arange(1)
    chosen = np.atleast_1d(filters)
    if chosen.min() < 0 or chosen.max() >= n_channels:
        raise ValueError(
            f"filters={filters}, expected channels of {layer!r}, 0 to {n_channels - 1}."
        )
    return chosen


def _seen_rows(found, X, rows):
    """Return some rows of X as pictures of what the network sees, by row."""
    wanted, start, pixels = set(np.concatenate([r.ravel() for r in rows])), 0, {}
    for batch in found.batches(X):
        inside = [r for r in range(start, start + len(batch)) if r in wanted]
        if inside:
            seen = seen_pixels(found, batch[[r - start for r in inside]])
            pixels.update(zip(inside, seen, strict=True))
        start += len(batch)
    pictures = in_range(with_usual_channels(np.stack(list(pixels.values()))))
    return dict(zip(pixels, pictures, strict=True))


def _cut(picture, centre, field):
    """Cut the receptive field of a position out of a picture."""
    slices = []
    for size, middle, width in zip(picture.shape, centre, field, strict=False):
        low = int(np.floor(middle * size - width / 2))
        high = int(np.ceil(middle * size + width / 2))
        slices.append(slice(max(0, low), min(size, high)))
    return picture[tuple(slices)]
