"""Maps drawn over pictures, legible in greyscale and for colour-blind readers."""

import numpy as np

from .pictures import COLORS, make_grid, show_picture

LUMINANCE = (0.299, 0.587, 0.114)
LEVEL = 0.5  # of contours, relative to the largest value
WRONG = {"color": COLORS[1], "linestyle": (0, (3, 1.5))}


def draw_overlays(pictures, maps, titles, map_titles, *, label, wrong, ax=None):
    """Draw pictures, with their maps below.

    Parameters
    ----------
    pictures : list of ndarray
        Pictures; for signals, arrays of shape (length, n_channels).

    maps : list of ndarray of shape (n_maps, *spatial_shape)
        Maps of each picture.

    titles, map_titles : list of str, list of list of str
        Titles of the pictures and of their maps.

    label : str
        Label of the colour bar.

    wrong : sequence of bool
        Whether each picture gets a frame.

    ax : matplotlib Axes or None, default=None
        Axes that the grid replaces. If None, a new figure is created.

    Returns
    -------
    figure : matplotlib Figure or SubFigure
        The figure.

    axes : ndarray of shape (1 + n_maps, n_pictures), of matplotlib Axes
        Axes of the grid.
    """
    n_maps, is_signal = len(maps[0]), maps[0].ndim == 2
    show = show_signal if is_signal else show_picture
    lay_over = _lay_over_signal if is_signal else _lay_over_picture
    figure, axes = make_grid(1 + n_maps, len(pictures), ax, side=1.9)
    is_signed = any((one < 0).any() for one in maps)
    for column, picture in enumerate(pictures):
        frame = WRONG if wrong[column] else None
        show(axes[0, column], picture, titles[column], frame=frame)
        for one, values, title in zip(
            axes[1:, column], maps[column], map_titles[column], strict=True
        ):
            show(one, picture if is_signal else _as_grey(picture), title)
            image = lay_over(one, in_plane(_of_largest(values)), is_signed)
    bar = figure.colorbar(image, ax=list(axes[1:].flat), fraction=0.05, pad=0.02)
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return figure, axes


def show_signal(ax, signal, title="", *, frame=None):
    """Draw the channels of a signal, (length, n_channels).

    Parameters
    ----------
    ax, title, frame
        See `show_picture`.

    signal : ndarray of shape (length, n_channels)
        Signal.
    """
    ax.set_axis_on()
    ax.plot(signal, color="black", linewidth=0.8)
    ax.margins(x=0)
    ax.set_title(title, fontsize="small")
    ax.tick_params(labelsize="x-small")
    if frame is not None:
        for spine in ax.spines.values():
            spine.set(linewidth=2, **frame)


def in_plane(values):
    """Return the middle slice of a map of a volume, other maps unchanged."""
    return values[len(values) // 2] if values.ndim == 3 else values


def _of_largest(values):
    """Divide a map by its largest absolute value."""
    return values / (np.abs(values).max() or 1)


def _as_grey(picture):
    """Convert a picture to grey, so that its colours do not mix with a map."""
    if picture.ndim == 2:
        return picture
    grey = picture @ np.array(LUMINANCE)
    return grey.astype(np.uint8) if picture.dtype == np.uint8 else grey


def _colours(is_signed):
    """Return the colour map and the range of maps, as arguments of `imshow`."""
    low = -1 if is_signed else 0
    return {"cmap": "PuOr_r" if is_signed else "viridis", "vmin": low, "vmax": 1}


def _lay_over_picture(ax, values, is_signed):
    """Lay a map over a picture, with a contour at half of its largest value."""
    height, width = values.shape
    place = (-0.5, ax.get_xlim()[1], ax.get_ylim()[0], -0.5)
    image = ax.imshow(values, alpha=0.55, extent=place, **_colours(is_signed))
    if min(height, width) > 1:
        _draw_contour(ax, values, LEVEL, "-", place)
        _draw_contour(ax, values, -LEVEL, ":", place)
    return image


def _draw_contour(ax, values, level, style, place):
    """Draw the contour of a map at a level, in white on black."""
    if not values.min() < level < values.max():
        return
    left, right, bottom, top = place
    extent = (left, right, top, bottom)  # the first row of an image is at the top
    for color, width in (("black", 2.2), ("white", 1)):
        ax.contour(
            values, [level], colors=color, linewidths=width, linestyles=style,
            extent=extent,
        )  # fmt: skip


def _lay_over_signal(ax, values, is_signed):
    """Colour the background of a signal by a map."""
    low, high = ax.get_ylim()
    place = (-0.5, len(values) - 0.5, low, high)
    options = {"aspect": "auto", "zorder": 0, "alpha": 0.7, **_colours(is_signed)}
    return ax.imshow(values[None], extent=place, **options)
