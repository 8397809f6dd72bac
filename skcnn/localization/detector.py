"""Mixin class for detectors."""

import numpy as np

from .average_precision import average_precision
from .boxes import check_box_targets, stack_boxes


class DetectorMixin:
    """Mixin class for detectors of any number of objects per image.

    A subclass defines `threshold` and `_detect(X, threshold)`, which returns a dict of
    `boxes`, `labels` and `scores` for each image, best first.
    """

    def predict(self, X):
        """Detect objects in images.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.

        Returns
        -------
        list of dict
            Dict for each image, with `boxes`, ndarray of shape (k, 4): left, top, right
            and bottom side, in pixels; and `labels` and `scores`, ndarrays of shape
            (k,). The highest score comes first.
        """
        return self._detect(X, self.threshold)

    def predict_frame(self, X, images=None):
        """Detect objects in images, and return a data frame (needs pandas).

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.
        images : array-like of shape (n_images,) or None, default=None
            Names of the images. None numbers them from 0.

        Returns
        -------
        pandas.DataFrame
            A row for each detection, see :func:`stack_boxes`.
        """
        return stack_boxes(self.predict(X), images)

    def score(self, X, y):
        """Return the mean average precision at an intersection over union of 0.5.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.
        y : list of array-like, list of dict or data frame
            Boxes of each image, see :func:`stack_boxes`.

        Returns
        -------
        float
            Mean average precision, see :func:`average_precision`.
        """
        detected = self._detect(X, -np.inf)
        return average_precision(check_box_targets(y, len(detected)), detected)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.string = True
        return tags
