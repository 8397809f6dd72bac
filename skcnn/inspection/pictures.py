"""Pictures of the images in X, and grids of axes to draw them in."""

from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..data import as_image_list, check_image_array, find_layout, is_image_files
from ..data.image_decoding import (
    ImageFileError,
    as_pil_image,
    decode_image,
    errors_naming,
)

MAX_SIDE = 384  # pixels of a picture of an image file
GREY = "gray"
POINTS_PER_LETTER = 4.5  # on average, in small print
# Okabe and Ito's colours, which colour-blind readers can tell apart, and line styles
# and markers for greyscale.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def as_pictures(X, rows=None, *, image_shape=None, channel_axis="auto"):
    """Convert images to pictures for matplotlib.

    Image files, uint8 pixels and floats in [0, 1] keep their values. Other pixels are
    scaled to [0, 1] by one range for all pictures, from the minimum, or 0 if that is
    lower, to the maximum. Volumes are reduced to their middle slice, four channels to
    the first three, and other numbers of channels except 3 to their mean.

    Parameters
    ----------
    X : array-like, torch.Tensor or sequence of image files
        Images in any form that the package's estimators take.

    rows : array-like of int or None, default=None
        Rows of X; None for all. Other rows are not read.

    image_shape : tuple of int or None, default=None
        Shape of one image, if X holds flattened images.

    channel_axis : int, None or "auto", default="auto"
        Axis of X that holds the channels.

    Returns
    -------
    list of ndarray of shape (height, width) or (height, width, 3)
        Grey or RGB pictures, uint8 or floats in [0, 1]. Files are shrunk to at most
        384 pixels on each side.

    Raises
    ------
    ValueError, TypeError
        If X holds no images, or a file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.inspection.pictures import as_pictures
    >>> as_pictures(np.zeros((2, 3, 8, 9)))[0].shape
    (8, 9, 3)
    """
    if is_image_files(X):
        sources = as_image_list(X)
        rows = range(len(sources)) if rows is None else rows
        return [_decode(sources[row], row) for row in rows]
    if rows is not None:
        X = _safe_indexing(X, np.asarray(rows))
    pixels = check_image_array(BaseEstimator(), X)
    layout = find_layout(pixels.shape[1:], image_shape, channel_axis, images_only=True)
    if len(layout.spatial_shape) == 1:
        raise ValueError(
            f"X has samples of shape {layout.sample_shape}, expected images. Set "
            "image_shape=(height, width) if these are flattened images."
        )
    return in_range(with_usual_channels(layout.channels_first(pixels)))


def _decode(source, row):
    """Return an image file, or another image of any size, as a picture."""
    try:
        if hasattr(source, "shape"):
            with errors_naming(source):
                source = as_pil_image(source)
        image = decode_image(source, "RGB", MAX_SIDE)
    except ImageFileError as error:
        raise ImageFileError(f"Row {row} of X: {error}") from error
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(image)


def with_usual_channels(batch):
    """Convert (n, c, [depth,] h, w) to grey (n, h, w) or RGB (n, h, w, 3)."""
    if batch.ndim == 5:
        batch = batch[:, :, batch.shape[2] // 2]
    n_channels = batch.shape[1]
    if n_channels in (3, 4):
        return np.moveaxis(batch[:, :3], 1, -1)
    return batch[:, 0] if n_channels == 1 else batch.mean(axis=1)


def in_range(pictures):
    """Return a list of pictures of any dtype as uint8, or as floats in [0, 1]."""
    if pictures.dtype == np.uint8:
        return list(pictures)
    pictures = pictures.astype(np.float64)
    low, high = min(pictures.min(), 0), pictures.max()
    if low < 0 or high > 1:
        pictures = (pictures - low) / ((high - low) or 1)
    return list(pictures)


def reading_of(estimator):
    """Return the parameters by which an estimator reads X, for `as_pictures`.

    Parameters
    ----------
    estimator : BaseEstimator
        Any estimator; the parameters of nested estimators are searched, too.

    Returns
    -------
    dict
        `image_shape` and `channel_axis`, if the estimator has them.
    """
    found = {}
    params = estimator.get_params()
    for name in sorted(params, key=lambda name: name.count("__"), reverse=True):
        last = name.rpartition("__")[2]
        if last in ("image_shape", "channel_axis"):
            found[last] = params[name]
    return found


def name_rows(X, rows):
    """Return names of samples: file names or row numbers."""
    sources = as_image_list(X) if is_image_files(X) else None
    named = [None if sources is None else sources[row] for row in rows]
    return [
        Path(source).name if isinstance(source, (str, PathLike)) else f"row {row}"
        for row, source in zip(rows, named, strict=True)
    ]


def make_axes(ax=None, **kwargs):
    """Return a figure and its axes: `ax`, or new ones made with `kwargs`."""
    check_matplotlib_support("skcnn.inspection")
    from matplotlib import pyplot as plt

    if ax is not None:
        return ax.figure, ax
    return plt.subplots(layout="constrained", **kwargs)


def make_grid(n_rows, n_columns, ax=None, side=1.5, wspace=0.08):
    """Return a figure and a grid of axes for pictures.

    Parameters
    ----------
    n_rows, n_columns : int
        Size of the grid.

    ax : matplotlib Axes or None, default=None
        Axes that the grid replaces. If None, a new figure is created.

    side : float, default=1.5
        Width and height of each cell of a new figure, in inches.

    wspace : float, default=0.08
        Gap between columns that replace `ax`, as a fraction of the column width.

    Returns
    -------
    figure : matplotlib Figure or SubFigure
        The figure.

    axes : ndarray of shape (n_rows, n_columns), of matplotlib Axes
        Empty axes.
    """
    if ax is None:
        size = (side * n_columns, (side + 0.25) * n_rows)
        figure, axes = make_axes(
            nrows=n_rows, ncols=n_columns, figsize=size, squeeze=False
        )
    else:
        figure, axes = ax.figure, _divide(ax, n_rows, n_columns, wspace)
    for one in axes.flat:
        one.set_axis_off()
    return figure, axes


def _divide(ax, n_rows, n_columns, wspace):
    """Return a grid of axes that replaces `ax`."""
    ax.set_axis_off()
    spec, gaps = ax.get_subplotspec(), {"wspace": wspace, "hspace": 0.35}
    if spec is not None:
        return spec.subgridspec(n_rows, n_columns, **gaps).subplots(squeeze=False)
    box = ax.get_position()
    place = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
    return ax.figure.add_gridspec(n_rows, n_columns, **place, **gaps).subplots(
        squeeze=False
    )


def show_picture(ax, picture, title="", *, label="", frame=None, **kwargs):
    """Show a picture without ticks.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw in.

    picture : ndarray of shape (height, width) or (height, width, 3)
        Grey or RGB picture, uint8 or floats in [0, 1].

    title, label : str, default=""
        Text above and to the left. Lines of the title are cut to the axes' width.

    frame : dict or None, default=None
        Properties of a frame, such as `color` and `linestyle`.

    **kwargs : dict
        Arguments of `matplotlib.axes.Axes.imshow`, such as `cmap`, `vmin` and `vmax`
        for a map of values.

    Returns
    -------
    matplotlib.image.AxesImage
        The image.
    """
    highest = 255 if picture.dtype == np.uint8 else 1
    options = {"cmap": GREY, "vmin": 0, "vmax": highest, **kwargs}
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    ax.set_title(cut_to_width(title, ax), fontsize="small")
    ax.set_ylabel(label, fontsize="small")
    for spine in ax.spines.values():
        spine.set(visible=frame is not None, linewidth=2.5, **(frame or {}))
        spine.set_capstyle("butt")  # so that dashed lines have gaps
    return ax.imshow(picture, **options)


def cut_to_width(text, ax):
    """Cut the lines of a text in small print to the width of axes."""
    n_points = ax.get_window_extent().width / ax.figure.dpi * 72
    width = max(4, int(n_points / POINTS_PER_LETTER))
    lines = str(text).split("\n")
    return "\n".join(x if len(x) <= width else x[: width - 1] + "…" for x in lines)
