"""Display of images in a two-dimensional projection of their features."""

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _num_samples

from .feature_space import check_features, compute_features
from .pictures import COLORS, GREY, MARKERS, as_pictures, make_axes, reading_of

MAX_PERPLEXITY = 30
N_NEIGHBORS = 12
MARGIN = 0.04
MAX_LEGEND = 12
POINT = {"s": 14, "linewidths": 0}
TAG = {"s": 30, "linewidths": 0.8, "edgecolors": "white", "zorder": 4}


class EmbeddingDisplay:
    """Display of images in a two-dimensional projection of their features.

    It is recommended to use :meth:`from_estimator` or :meth:`from_features` to create a
    display.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
        Coordinates of the images.
    thumbnails : dict of int to ndarray
        Pictures of some images, by row of `embedding`.
    side : float, default=0.1
        Longer side of a thumbnail, as a fraction of the plot.
    labels : ndarray of shape (n_samples,) or None, default=None
        Labels or values of the images.
    axis_names : tuple of str, default=("", "")
        Names of the axes.

    Attributes
    ----------
    boxes_ : dict of int to tuple of float
        Left, right, bottom and top edge of each thumbnail, in units of `embedding`.
        They do not overlap.
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    NeighborsDisplay : Display of images and their nearest neighbours.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNFeatureTransformer
    >>> from skcnn.inspection import EmbeddingDisplay
    >>> digits = load_digits()
    >>> network = CNNFeatureTransformer("convnet", weights=None, random_state=0)
    >>> network = network.fit(digits.images)
    >>> display = EmbeddingDisplay.from_estimator(
    ...     network, digits.images[:100], digits.target[:100]
    ... )
    >>> display.embedding.shape
    (100, 2)
    """

    def __init__(
        self, embedding, thumbnails, *, side=0.1, labels=None, axis_names=("", "")
    ):
        self.embedding = embedding
        self.thumbnails = thumbnails
        self.side = side
        self.labels = labels
        self.axis_names = axis_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        method="pca",
        side=0.1,
        random_state=None,
        ax=None,
    ):
        """Compute the features of images, project them and draw thumbnails.

        Parameters
        ----------
        estimator : estimator
            Fitted transformer, estimator of this package, pipeline or search. Features
            are the output of a transformer, or the input of the last layer of a network
            or of the last step of a pipeline.
        X : array-like or sequence of image files
            Images. Files skipped by ``on_error="skip"`` are left out.
        y : array-like of shape (n_samples,) or None, default=None
            Labels or values, drawn as markers and colours.
        method : {"pca", "tsne", "lle"} or transformer, default="pca"
            Projection: principal components, t-SNE, locally linear embedding, or an
            estimator with `fit_transform`, which is cloned.
        side : float, default=0.1
            Longer side of a thumbnail, as a fraction of the plot. Images too close to
            another thumbnail are drawn as points only.
        random_state : int, RandomState instance or None, default=None
            Seed of "tsne" and "lle".
        ax : matplotlib Axes or None, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        EmbeddingDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X or a parameter is not valid, or the estimator computes no features.
        """
        return cls.from_features(
            compute_features(estimator, X),
            X,
            y,
            method=method,
            side=side,
            random_state=random_state,
            ax=ax,
            **reading_of(estimator),
        )

    @classmethod
    def from_features(
        cls,
        features,
        X,
        y=None,
        *,
        method="pca",
        side=0.1,
        random_state=None,
        image_shape=None,
        channel_axis="auto",
        ax=None,
    ):
        """Project precomputed features and draw thumbnails.

        Parameters
        ----------
        features : array-like of shape (n_samples, ...)
            Features of the images. Rows with NaN are left out.
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples,) or None, default=None
            Labels or values, drawn as markers and colours.
        method : {"pca", "tsne", "lle"} or transformer, default="pca"
            Projection, as in :meth:`from_estimator`.
        side : float, default=0.1
            Longer side of a thumbnail, as a fraction of the plot.
        random_state : int, RandomState instance or None, default=None
            Seed of "tsne" and "lle".
        image_shape : tuple of int or None, default=None
            Shape of one image, if X holds flattened images.
        channel_axis : int, None or "auto", default="auto"
            Axis of X that holds the channels.
        ax : matplotlib Axes or None, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        EmbeddingDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X, features or a parameter are not valid.
        """
        features = check_features(features, _num_samples(X))
        rows = np.flatnonzero(np.isfinite(features).all(axis=1))
        projection = make_projection(method, len(rows), random_state)
        embedding = projection.fit_transform(features[rows])[:, :2]
        chosen = choose_apart(embedding, side)
        reading = {"image_shape": image_shape, "channel_axis": channel_axis}
        pictures = as_pictures(X, rows[chosen], **reading)
        display = cls(
            embedding,
            dict(zip(chosen, pictures, strict=True)),
            side=side,
            labels=None if y is None else np.asarray(y)[rows],
            axis_names=_name_axes(projection),
        )
        return display.plot(ax=ax)

    def plot(self, ax=None):
        """Draw the points and thumbnails.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        EmbeddingDisplay
            The display.
        """
        self.figure_, self.ax_ = make_axes(ax, figsize=(7, 6))
        self._draw_points()
        low, size = _extent(self.embedding)
        border = (self.side / 2 + MARGIN) * size
        start, end = low - border, low + size + border
        self.ax_.set(xlim=(start[0], end[0]), ylim=(start[1], end[1]))
        self.ax_.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1])
        self.ax_.set_box_aspect(1)
        self.boxes_ = {row: self._draw_thumbnail(row) for row in self.thumbnails}
        self._draw_tags()
        return self

    def _draw_thumbnail(self, row):
        """Draw the thumbnail of a row, and return its edges."""
        picture = self.thumbnails[row]
        sides = np.array([picture.shape[1], picture.shape[0]])
        half = _extent(self.embedding)[1] * self.side * 0.45 * sides / sides.max()
        (left, bottom), (right, top) = (self.embedding[row] + s * half for s in (-1, 1))
        highest = 255 if picture.dtype == np.uint8 else 1
        edges = left, right, bottom, top
        values = {"cmap": GREY, "vmin": 0, "vmax": highest}
        self.ax_.imshow(picture, extent=edges, aspect="auto", zorder=3, **values)
        return edges

    def _draw_points(self):
        """Draw a point for each image, coloured by label or value."""
        rows = np.arange(len(self.embedding))
        if self.labels is None:
            self.ax_.scatter(*self.embedding.T, color="0.5", **POINT)
        elif type_of_target(self.labels) == "continuous":
            points = self.ax_.scatter(*self.embedding.T, c=self.labels, **POINT)
            self.figure_.colorbar(points, ax=self.ax_, label="y")
        else:
            self._draw_classes(rows, self.embedding, POINT)
            if len(np.unique(self.labels)) <= MAX_LEGEND:
                place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
                self.ax_.legend(**place, markerscale=1.6, frameon=False)

    def _draw_tags(self):
        """Draw markers at the corners of thumbnails, which hide their points."""
        if self.labels is None or type_of_target(self.labels) == "continuous":
            return
        rows = np.array(list(self.boxes_))
        corners = np.array([(box[0], box[3]) for box in self.boxes_.values()])
        self._draw_classes(rows, corners, TAG)

    def _draw_classes(self, rows, places, style):
        """Draw a marker for each row, by its label."""
        for i, label in enumerate(np.unique(self.labels)):
            self.ax_.scatter(
                *places[self.labels[rows] == label].T,
                color=COLORS[i % len(COLORS)],
                marker=MARKERS[i % len(MARKERS)],
                label=str(label),
                **style,
            )


def make_projection(method, n_samples, random_state=None):
    """Return an unfitted projection to two dimensions.

    Parameters
    ----------
    method : {"pca", "tsne", "lle"} or transformer
        Projection.

    n_samples : int
        Number of samples, which limits the number of neighbours.

    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    estimator
        Estimator with `fit_transform`.

    Raises
    ------
    ValueError
        If the name is not known, or there are fewer than three samples.
    """
    from sklearn.manifold import TSNE, LocallyLinearEmbedding

    if n_samples < 3:
        raise ValueError(
            f"X has {n_samples} images with features, expected at least 3."
        )
    if not isinstance(method, str):
        return clone(method)
    if method == "pca":
        return PCA(2, svd_solver="full")
    if method == "tsne":
        perplexity = min(MAX_PERPLEXITY, (n_samples - 1) / 3)
        return TSNE(perplexity=perplexity, random_state=random_state)
    if method == "lle":
        n_neighbors = min(N_NEIGHBORS, n_samples - 1)
        return LocallyLinearEmbedding(
            n_neighbors=n_neighbors, random_state=random_state, eigen_solver="dense"
        )
    raise ValueError(
        f"Unknown method {method!r}. Use 'pca', 'tsne', 'lle' or an estimator with "
        "fit_transform."
    )


def choose_apart(embedding, side):
    """Choose rows whose thumbnails do not overlap.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
        Coordinates.

    side : float
        Side of a thumbnail, as a fraction of the plot.

    Returns
    -------
    list of int
        Rows in ascending order. Candidates are visited in a fixed random order, so that
        no class is preferred if rows are sorted by label.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.inspection.embedding import choose_apart
    >>> choose_apart(np.array([[0.0, 0.0], [0.05, 0.05], [0.0, 0.5], [1.0, 1.0]]), 0.1)
    [0, 2, 3]
    """
    low, size = _extent(embedding)
    places, chosen = (embedding - low) / size, []
    for row in np.random.default_rng(0).permutation(len(places)).tolist():
        gaps = np.abs(places[chosen] - places[row]).max(axis=1)
        if (gaps >= side).all():
            chosen.append(row)
    return sorted(chosen)


def _extent(embedding):
    """Return the lower corner and the size of the bounding box."""
    low = embedding.min(axis=0)
    size = embedding.max(axis=0) - low
    return low, np.where(size > 0, size, 1)


def _name_axes(projection):
    """Return the axis labels of a fitted projection."""
    if isinstance(projection, PCA):
        shares = 100 * projection.explained_variance_ratio_
        return tuple(
            f"Component {i} ({share:.0f} % of the variance)"
            for i, share in enumerate(shares[:2], 1)
        )
    name = type(projection).__name__
    short = {"LocallyLinearEmbedding": "LLE", "TSNE": "t-SNE"}.get(name, name)
    return f"{short} 1", f"{short} 2"
