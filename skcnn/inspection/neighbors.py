"""Display of images and their nearest neighbours in feature space."""

import numpy as np
from sklearn.metrics import euclidean_distances
from sklearn.utils.validation import _num_samples

from .feature_space import check_features, compute_features
from .pictures import COLORS, as_pictures, make_grid, reading_of, show_picture

SAME = {"color": COLORS[0], "linestyle": "-"}
OTHER = {"color": COLORS[1], "linestyle": (0, (3, 1.5))}
N_QUERIES = 4


class NeighborsDisplay:
    """Display of images and their nearest neighbours in feature space.

    It is recommended to use :meth:`from_estimator` or :meth:`from_features` to create a
    display.

    Parameters
    ----------
    queries : list of ndarray
        Pictures of the queries, the images whose neighbours are shown.
    neighbors : list of list of ndarray
        Pictures of the neighbours of each query, the nearest first.
    rows : ndarray of shape (n_queries, n_neighbors)
        Row indices of the neighbours in X.
    distances : ndarray of shape (n_queries, n_neighbors)
        Euclidean distances to the queries.
    query_labels : ndarray of shape (n_queries,) or None, default=None
        Labels of the queries.
    labels : ndarray of shape (n_queries, n_neighbors) or None, default=None
        Labels of the neighbours.

    Attributes
    ----------
    axes_ : ndarray of shape (n_queries, 1 + n_neighbors), of matplotlib Axes
        Axes with a row for each query, which is in the first column.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    EmbeddingDisplay : Display of images in a projection of their features.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNFeatureTransformer
    >>> from skcnn.inspection import NeighborsDisplay
    >>> digits = load_digits()
    >>> network = CNNFeatureTransformer("convnet", weights=None, random_state=0)
    >>> network = network.fit(digits.images)
    >>> display = NeighborsDisplay.from_estimator(
    ...     network, digits.images, queries=[0, 1], n_neighbors=3
    ... )
    >>> display.rows.shape
    (2, 3)
    """

    def __init__(
        self, queries, neighbors, rows, distances, *, query_labels=None, labels=None
    ):
        self.queries = queries
        self.neighbors = neighbors
        self.rows = rows
        self.distances = distances
        self.query_labels = query_labels
        self.labels = labels

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, queries=None, n_neighbors=5, ax=None
    ):
        """Compute the features of images and draw their nearest neighbours.

        Parameters
        ----------
        estimator : estimator
            Fitted transformer, estimator of this package, pipeline or search. Features
            are the output of a transformer, or the input of the last layer of a network
            or of the last step of a pipeline.
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples,) or None, default=None
            Labels. A neighbour whose label differs from the query's has a dashed frame.
        queries : array-like of int or None, default=None
            Rows of X whose neighbours among all other rows are shown. None uses four
            rows at equal intervals.
        n_neighbors : int, default=5
            Maximum number of neighbours per query.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        NeighborsDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X is not valid, or the estimator computes no features.
        """
        features = compute_features(estimator, X)
        return cls.from_features(
            features,
            X,
            y,
            queries=queries,
            n_neighbors=n_neighbors,
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
        queries=None,
        n_neighbors=5,
        image_shape=None,
        channel_axis="auto",
        ax=None,
    ):
        """Draw the nearest neighbours of images in precomputed features.

        Parameters
        ----------
        features : array-like of shape (n_samples, ...)
            Features of the images. Rows with NaN are never neighbours.
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples,) or None, default=None
            Labels. A neighbour whose label differs from the query's has a dashed frame.
        queries : array-like of int or None, default=None
            Rows of X whose neighbours among all other rows are shown. None uses four
            rows at equal intervals.
        n_neighbors : int, default=5
            Maximum number of neighbours per query.
        image_shape : tuple of int or None, default=None
            Shape of one image, if X holds flattened images.
        channel_axis : int, None or "auto", default="auto"
            Axis of X that holds the channels.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        NeighborsDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X or features are not valid, or a query has no features.
        """
        features = check_features(features, _num_samples(X))
        queries = _check_queries(queries, features)
        rows, distances = _find_neighbors(features, queries, n_neighbors)
        shown, positions = np.unique([*queries, *rows.ravel()], return_inverse=True)
        reading = {"image_shape": image_shape, "channel_axis": channel_axis}
        pictures = as_pictures(X, shown, **reading)
        pictures = [pictures[position] for position in positions]
        n_queries, k = rows.shape
        y = None if y is None else np.asarray(y)
        display = cls(
            pictures[:n_queries],
            [pictures[n_queries + k * i :][:k] for i in range(n_queries)],
            rows,
            distances,
            query_labels=None if y is None else y[queries],
            labels=None if y is None else y[rows],
        )
        return display.plot(ax=ax)

    def plot(self, ax=None):
        """Draw the queries and their neighbours.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        NeighborsDisplay
            The display.
        """
        n_queries, n_neighbors = self.rows.shape
        self.figure_, self.axes_ = make_grid(n_queries, 1 + n_neighbors, ax)
        for i, axes in enumerate(self.axes_):
            label = "" if self.query_labels is None else f"\n{self.query_labels[i]}"
            show_picture(axes[0], self.queries[i], f"query{label}")
            for j, one in enumerate(axes[1:]):
                self._draw_neighbor(one, i, j)
        return self

    def _draw_neighbor(self, ax, i, j):
        """Draw a neighbour of a query, with its distance and label."""
        title, frame = f"{self.distances[i, j]:.3g}", None
        if self.labels is not None:
            title = f"{title}\n{self.labels[i, j]}"
            frame = SAME if self.labels[i, j] == self.query_labels[i] else OTHER
        show_picture(ax, self.neighbors[i][j], title, frame=frame)


def _check_queries(queries, features):
    """Return the rows of the queries."""
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    if queries is None:
        at = np.linspace(0, len(known), N_QUERIES, endpoint=False).astype(int)
        return known[np.unique(at)] if len(known) else known
    queries = np.atleast_1d(queries)
    missing = np.setdiff1d(queries, known)
    if len(missing):
        raise ValueError(
            f"queries holds {missing[0]}, expected rows of X with features, from 0 to "
            f"{len(features) - 1}."
        )
    return queries


def _find_neighbors(features, queries, n_neighbors):
    """Return the rows and distances of the nearest neighbours of each query."""
    distances = euclidean_distances(features[queries], np.nan_to_num(features))
    distances[:, ~np.isfinite(features).all(axis=1)] = np.inf
    distances[np.arange(len(queries)), queries] = np.inf
    n_neighbors = min(n_neighbors, np.isfinite(distances).sum(axis=1).min())
    rows = np.argsort(distances, axis=1, kind="stable")[:, :n_neighbors]
    return rows, np.take_along_axis(distances, rows, axis=1)
