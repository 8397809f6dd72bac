"""Display of boxes on images."""

from math import ceil

import numpy as np

from ..inspection.pictures import COLORS, make_grid, show_picture
from .boxes import check_box_targets
from .image_sequence import ImageSequence

N_COLUMNS = 4


class BoxDisplay:
    """Display of true and predicted boxes on images.

    Parameters
    ----------
    images : list of ndarray of shape (height, width[, 3])
        Images, uint8 or floats in [0, 1].
    y_true : list of array-like, list of dict or None, default=None
        True boxes, drawn with dashed lines.
    y_pred : list of array-like, list of dict or None, default=None
        Predicted boxes, drawn with solid lines; `labels` and `scores` are written above
        them.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure, after `plot`.
    ax_ : ndarray of matplotlib Axes
        Axes of the images, after `plot`.

    See Also
    --------
    SlidingWindowDetector : Detector of any number of objects per image.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.localization import BoxDisplay
    >>> image = np.zeros((40, 60, 3), np.uint8)
    >>> display = BoxDisplay([image], y_true=[[[10, 10, 30, 30]]]).plot()
    >>> len(display.ax_[0].patches)
    1
    """

    def __init__(self, images, y_true=None, y_pred=None):
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, ax=None):
        """Plot the boxes that a fitted localizer or detector predicts.

        Parameters
        ----------
        estimator : estimator of skcnn.localization
            Fitted estimator.
        X : array-like or sequence of image files
            Images.
        y : list of array-like, list of dict, data frame or None, default=None
            True boxes.
        ax : matplotlib Axes or None, default=None
            Axes that the images replace. If None, a new figure is created.

        Returns
        -------
        display : BoxDisplay
            The display.
        """
        axis = getattr(estimator, "channel_axis", "auto")
        images = list(ImageSequence(estimator, X, axis))
        return cls(images, y, estimator.predict(X)).plot(ax=ax)

    def plot(self, ax=None):
        """Plot the images, four in a row.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the images replace. If None, a new figure is created.

        Returns
        -------
        display : BoxDisplay
            The display.
        """
        n_columns = min(N_COLUMNS, len(self.images))
        n_rows = ceil(len(self.images) / n_columns)
        self.figure_, axes = make_grid(n_rows, n_columns, ax, side=2.5)
        self.ax_ = axes.flatten()[: len(self.images)]
        for one, image in zip(self.ax_, self.images, strict=True):
            show_picture(one, image[..., 0] if image.shape[2:] == (1,) else image)
        self._draw(self.y_true, COLORS[4], "--")
        self._draw(self.y_pred, COLORS[0], "-")
        return self

    def _draw(self, y, color, line_style):
        """Draw the boxes of all images."""
        if y is None:
            return
        targets = check_box_targets(y, len(self.images))
        for ax, target in zip(self.ax_, targets, strict=True):
            for box, text in zip(target["boxes"], _texts(target), strict=True):
                _draw_box(ax, box, text, color, line_style)


def _texts(target):
    """Return the captions of the boxes of an image, empty without scores."""
    if "scores" not in target:
        return [""] * len(target["boxes"])
    scores = np.char.mod(" %.1f", target["scores"])
    return np.char.add(np.asarray(target["labels"], dtype=str), scores)


def _draw_box(ax, box, text, color, line_style):
    """Draw a box, with a white outline that stands out on any image."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    effects = [Stroke(linewidth=3, foreground="white"), Normal()]
    x, y, right, bottom = box
    ax.add_patch(
        Rectangle(
            (x, y),
            right - x,
            bottom - y,
            fill=False,
            color=color,
            linewidth=1.5,
            linestyle=line_style,
            path_effects=effects,
        )
    )
    if text:
        background = {"facecolor": color, "edgecolor": "none", "pad": 1}
        ax.text(
            x,
            y,
            text,
            fontsize="x-small",
            color="white",
            bbox=background,
            verticalalignment="bottom",
            clip_on=True,
        )
