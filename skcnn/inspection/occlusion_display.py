"""Display of occlusion maps over images."""

from numbers import Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..data import is_image_files
from .occlusion import ArrayImages, FileImages, occlude
from .overlays import draw_overlays
from .pictures import as_pictures, reading_of
from .shown_images import (
    choose_images,
    describe,
    find_wrong,
    label_maps,
    title_images,
)


class OcclusionDisplay:
    """Display of occlusion maps over images.

    An occlusion map shows by how much the score of a class drops when a patch is
    covered [1]_. It needs only predictions, so any classifier or regressor can be used.
    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    drops : list of ndarray of shape (n_maps, ...)
        Mean drop of the score over the patches that cover a position, for each image;
        negative where the score rises.
    pictures : list of ndarray
        Pictures of the images; for signals, arrays of shape (length, n_channels).
    labels : ndarray of shape (n_images, n_maps)
        Classes of the maps.
    scores : ndarray of shape (n_images, n_maps)
        Scores of the uncovered images: probabilities, decision values of a classifier
        without `predict_proba`, or predictions of a regressor.
    y_pred : ndarray of shape (n_images,)
        Predictions.
    y_true : ndarray of shape (n_images,) or None, default=None
        True labels or values.
    rows : ndarray of shape (n_images,) or None, default=None
        Row indices of the images in X.

    Attributes
    ----------
    axes_ : ndarray of shape (1 + n_maps, n_images), of matplotlib Axes
        Axes of the images (first row) and of their maps.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    ClassActivationDisplay : Display of class activation maps over images.

    References
    ----------
    .. [1] M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional
       networks", ECCV 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from skcnn.inspection import OcclusionDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> svc = SVC().fit(X[:200], y[:200])
    >>> display = OcclusionDisplay.from_estimator(
    ...     svc, X[200:], y[200:], n_images=2, patch_size=2, image_shape=(8, 8)
    ... )
    >>> display.drops[0].shape
    (1, 8, 8)
    """

    def __init__(
        self, drops, pictures, labels, scores, y_pred, y_true=None, *, rows=None
    ):
        self.drops = drops
        self.pictures = pictures
        self.labels = labels
        self.scores = scores
        self.y_pred = y_pred
        self.y_true = y_true
        self.rows = rows

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        patch_size=None,
        stride=None,
        fill="mean",
        classes="predicted",
        show="all",
        n_images=4,
        image_shape=None,
        channel_axis="auto",
        ax=None,
    ):
        """Compute occlusion maps and draw them over the images.

        Parameters
        ----------
        estimator : BaseEstimator
            Any fitted regressor, or classifier with `predict_proba` or
            `decision_function`, including pipelines and searches.
        X : array-like or sequence of image files
            Images, signals or volumes that the estimator takes. Covered copies have the
            same form, or are PIL images if X holds image files.
        y : array-like of shape (n_samples,) or None, default=None
            True labels or values.
        patch_size : int, tuple of int or None, default=None
            Size of a patch in pixels. None is a sixth of the image along each axis.
        stride : int, tuple of int or None, default=None
            Step between patches in pixels, at most `patch_size`. None is half of it.
            The estimator predicts each image once per patch.
        fill : float or "mean", default="mean"
            Value of covered pixels, in the units of X; "mean" is the mean of each
            channel of the image.
        classes : {"predicted", "true", "all"}, label or list, default="predicted"
            Classes to explain.
        show : {"all", "right", "wrong"}, default="all"
            Images to show: all, or those whose predictions are right or wrong.
        n_images : int, default=4
            Maximum number of images, taken from the start of X.
        image_shape : tuple of int or None, default=None
            Shape of one image, if X holds flattened images and no part of the estimator
            has this parameter.
        channel_axis : int, None or "auto", default="auto"
            Axis of X that holds the channels, if no part of the estimator has this
            parameter.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        OcclusionDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If a class does not exist, a parameter is not valid, or the estimator has no
            scores.
        """
        check_is_fitted(estimator)
        is_mean = isinstance(fill, str) and fill == "mean"
        if not (is_mean or isinstance(fill, Real)):
            raise ValueError(f"fill={fill!r}, expected 'mean' or a number.")
        reading = {"image_shape": image_shape, "channel_axis": channel_axis}
        reading |= reading_of(estimator)
        X, rows, y_pred, y = choose_images(estimator, X, y, show, n_images)
        drops, scores = occlude(
            estimator,
            X,
            classes,
            y,
            patch_size=patch_size,
            stride=stride,
            fill=fill,
            **reading,
        )
        labels = label_maps(estimator, classes, y_pred, y)
        pictures = _pictures(X, reading)
        display = cls(drops, pictures, labels, scores, y_pred, y, rows=rows)
        return display.plot(ax=ax)

    def plot(self, ax=None):
        """Draw the images, with their occlusion maps below.

        Wrong predictions are framed. The largest drop is written above each map. Each
        map is divided by its largest absolute value; solid contours are drawn at 0.5,
        dotted ones at -0.5.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        OcclusionDisplay
            The display.
        """
        self.figure_, self.axes_ = draw_overlays(
            self.pictures,
            self.drops,
            title_images(self.y_pred, self.y_true),
            [self._titles(i) for i in range(len(self.pictures))],
            label="share of the largest drop",
            wrong=find_wrong(self.y_pred, self.y_true),
            ax=ax,
        )
        return self

    def _titles(self, i):
        """Return the title of each map: class, score and largest drop."""
        return [
            f"{describe(label)}: {score:.2g}\nfalls by up to {drop.max():.1g}"
            for label, score, drop in zip(
                self.labels[i], self.scores[i], self.drops[i], strict=True
            )
        ]


def _pictures(X, reading):
    """Return pictures in the shape of the maps; signals with channels last."""
    if is_image_files(X):
        return [np.asarray(image) for image in FileImages(X).images]
    images = ArrayImages(X, **reading)
    if len(images.layout.spatial_shape) > 1:
        return as_pictures(X, **reading)
    return list(np.moveaxis(images.layout.channels_first(images.pixels), 1, -1))
