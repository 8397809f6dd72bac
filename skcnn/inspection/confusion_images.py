"""Display of misclassified images."""

from math import ceil

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d

from .pictures import as_pictures, make_grid, reading_of, show_picture


class ConfusionImagesDisplay:
    """Display of misclassified images, the most confident errors first.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions` to
    create a display.

    Parameters
    ----------
    pictures : list of ndarray
        Pictures of the images.
    rows : ndarray of shape (n_images,)
        Row indices of the images in X.
    y_true, y_pred : ndarray of shape (n_images,)
        True and predicted labels of the images.
    confidence : ndarray of shape (n_images,) or None, default=None
        Confidence of the predictions.
    n_wrong : int or None, default=None
        Total number of misclassified images, for the title.
    n_samples : int or None, default=None
        Total number of images, for the title.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Axes of the images.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Numbers of right and wrong predictions.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from skcnn.inspection import ConfusionImagesDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> svc = SVC().fit(X[:200], y[:200])
    >>> display = ConfusionImagesDisplay.from_estimator(
    ...     svc, X[200:400], y[200:400], n_images=4, image_shape=(8, 8)
    ... )
    >>> (display.y_true != display.y_pred).all()
    np.True_
    """

    def __init__(
        self,
        pictures,
        rows,
        y_true,
        y_pred,
        confidence=None,
        *,
        n_wrong=None,
        n_samples=None,
    ):
        self.pictures = pictures
        self.rows = rows
        self.y_true = y_true
        self.y_pred = y_pred
        self.confidence = confidence
        self.n_wrong = n_wrong
        self.n_samples = n_samples

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        n_images=12,
        n_columns=4,
        image_shape=None,
        channel_axis="auto",
        ax=None,
    ):
        """Predict the labels of images and draw the misclassified images.

        Parameters
        ----------
        estimator : estimator
            Any fitted classifier, including pipelines and searches.
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples,)
            True labels.
        n_images : int, default=12
            Maximum number of images.
        n_columns : int, default=4
            Number of columns of the grid.
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
        ConfusionImagesDisplay
            The display. Its `confidence` is the highest probability or, without
            `predict_proba`, the highest decision value (for two classes, its absolute
            value). It is None if the estimator has neither.

        Raises
        ------
        ValueError, TypeError
            If X or y is not valid.
        """
        reading = {"image_shape": image_shape, "channel_axis": channel_axis}
        return cls.from_predictions(
            y,
            estimator.predict(X),
            X,
            confidence=_find_confidence(estimator, X),
            n_images=n_images,
            n_columns=n_columns,
            ax=ax,
            **reading | reading_of(estimator),
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        X,
        *,
        confidence=None,
        n_images=12,
        n_columns=4,
        image_shape=None,
        channel_axis="auto",
        ax=None,
    ):
        """Draw the misclassified images.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted labels.
        X : array-like or sequence of image files
            Images.
        confidence : array-like of shape (n_samples,) or None, default=None
            Confidence of the predictions, on any scale. None keeps the order of X.
        n_images : int, default=12
            Maximum number of images.
        n_columns : int, default=4
            Number of columns of the grid.
        image_shape : tuple of int or None, default=None
            Shape of one image, if X holds flattened images.
        channel_axis : int, None or "auto", default="auto"
            Axis of X that holds the channels.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        ConfusionImagesDisplay
            The display.

        Raises
        ------
        ValueError, TypeError
            If X and the labels differ in length, or labels have several columns.
        """
        y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
        check_consistent_length(X, y_true, y_pred, confidence)
        wrong = np.flatnonzero(y_true != y_pred)
        n_wrong = len(wrong)
        if confidence is not None:
            confidence = np.asarray(confidence)
            wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
        wrong = wrong[:n_images]
        reading = {"image_shape": image_shape, "channel_axis": channel_axis}
        display = cls(
            as_pictures(X, wrong, **reading) if len(wrong) else [],
            wrong,
            y_true[wrong],
            y_pred[wrong],
            None if confidence is None else confidence[wrong],
            n_wrong=n_wrong,
            n_samples=len(y_true),
        )
        return display.plot(ax=ax, n_columns=n_columns)

    def plot(self, ax=None, *, n_columns=4):
        """Draw the pictures, with their true and predicted labels.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.
        n_columns : int, default=4
            Number of columns of the grid.

        Returns
        -------
        ConfusionImagesDisplay
            The display.
        """
        n_images = len(self.pictures)
        n_columns = max(1, min(n_columns, n_images))
        n_rows = max(1, ceil(n_images / n_columns))
        self.figure_, self.axes_ = make_grid(n_rows, n_columns, ax, side=1.9)
        for one, i in zip(self.axes_.flat, range(n_images), strict=False):
            show_picture(one, self.pictures[i], self._title(i))
        if not n_images:
            self.axes_[0, 0].text(0.5, 0.5, "No image is wrong.", ha="center")
        elif ax is None and None not in (self.n_wrong, self.n_samples):
            self.figure_.suptitle(
                f"{self.n_wrong} of {self.n_samples} images are wrong",
                fontsize="medium",
            )
        return self

    def _title(self, i):
        """Return the title of a picture: its labels and the confidence."""
        confidence = ""
        if self.confidence is not None:
            confidence = f" ({self.confidence[i]:.2g})"
        return f"predicted {self.y_pred[i]}{confidence}\ntrue {self.y_true[i]}"


def _find_confidence(estimator, X):
    """Return the confidence of predictions, None if there are no scores."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(estimator, method):
            values = np.asarray(getattr(estimator, method)(X))
            return values.max(axis=1) if values.ndim == 2 else np.abs(values)
    return None
