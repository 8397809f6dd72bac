"""Localizer that finds objects in the class activation maps of a classifier."""

import numpy as np
import torch
from scipy import ndimage
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.validation import check_is_fitted

from .._base.parameter_constraints import FACTOR
from .._base.shared_parameters import clone_sharing
from ..data import is_image_files
from ..inspection.class_activation import class_activation_maps
from ..inspection.networks import find_network
from .average_precision import paired_iou
from .box_input import one_box_each
from .image_sequence import image_sizes

HIT_IOU = 0.5


class ActivationLocalizer(BaseEstimator):
    """Localizer that finds objects in the class activation maps of a classifier.

    The classifier is trained on labels, without boxes. The predicted box surrounds the
    largest connected region where the class activation map of the predicted class
    [1]_, scaled to [0, 1], is at least `threshold`. Tune `threshold` on a few images
    with boxes [2]_.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier that :func:`skcnn.inspection.class_activation_maps` supports.
        It is not fitted again, and clones share it.
    threshold : float, default=0.3
        Minimum activation of the object, in (0, 1], after the map is scaled to [0, 1].

    See Also
    --------
    BoxRegressor : Regressor of one box per image, trained on boxes.

    References
    ----------
    .. [1] B. Zhou et al., "Learning deep features for discriminative localization",
       CVPR 2016.
    .. [2] J. Choe et al., "Evaluating weakly supervised object localization methods
       right", CVPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skcnn import CNNClassifier
    >>> from skcnn.localization import ActivationLocalizer
    >>> rng = np.random.default_rng(0)
    >>> X, label = rng.random((60, 24, 24)), np.arange(60) % 2
    >>> low = rng.integers(0, 12, size=(60, 2))
    >>> for image, (x, y), bright in zip(X, low, label):
    ...     image[y : y + 12, x : x + 12] += 2 * bright
    >>> clf = CNNClassifier(n_filters=8, random_state=0).fit(X, label)
    >>> X, boxes = X[label == 1], np.hstack([low, low + 12])[label == 1]
    >>> thresholds = {"threshold": [0.2, 0.4, 0.6, 0.8]}
    >>> search = GridSearchCV(ActivationLocalizer(clf), thresholds, cv=2)
    >>> search.fit(X[:10], boxes[:10]).predict(X[10:]).shape
    (20, 4)
    """

    _parameter_constraints = {"estimator": "no_validation", "threshold": [FACTOR]}

    def __init__(self, estimator, *, threshold=0.3):
        self.estimator = estimator
        self.threshold = threshold

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check that the classifier is fitted; nothing is learnt.

        Parameters
        ----------
        X : array-like or sequence of image files
            Ignored.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The localizer.

        Raises
        ------
        ValueError
            If `threshold` is not valid.

        sklearn.exceptions.NotFittedError
            If the classifier is not fitted.
        """
        check_is_fitted(self.estimator)
        return self

    def predict(self, X):
        """Predict the box of each image.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images, as for the classifier.

        Returns
        -------
        ndarray of shape (n_samples, 4)
            Left, top, right and bottom side of each box, in pixels.
        """
        self._validate_params()
        check_is_fitted(self.estimator)
        maps = class_activation_maps(self.estimator, X)
        if is_image_files(X):  # maps of arrays have the shape of the images
            maps = _place_maps(find_network(self.estimator), maps, image_sizes(X))
        return np.array([find_region(one, self.threshold) for one in maps])

    def score(self, X, y):
        """Return the fraction of images with an intersection over union of 0.5 or more.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples, 4), list of dict or data frame
            Box of each image, in pixels.

        Returns
        -------
        float
            Value in [0, 1].
        """
        boxes = [target["boxes"] for target in one_box_each(y, image_sizes(X))]
        overlap = paired_iou(self.predict(X), np.concatenate(boxes))
        return float((overlap >= HIT_IOU).mean())

    def __sklearn_clone__(self):
        return clone_sharing(self, "estimator")

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = tags.input_tags.string = True
        return tags


def find_region(activation, threshold):
    """Return the box around the largest region of high activation.

    Parameters
    ----------
    activation : ndarray of shape (height, width)
        Class activation map.

    threshold : float
        Minimum activation of the region, after the map is scaled to [0, 1].

    Returns
    -------
    ndarray of shape (4,)
        Left, top, right and bottom side, in pixels of the map.
    """
    low, high = activation.min(), activation.max()
    regions, _ = ndimage.label(activation >= low + threshold * (high - low))
    sizes = np.bincount(regions.ravel())[1:]
    rows, columns = ndimage.find_objects(regions)[sizes.argmax()]
    return np.array([columns.start, rows.start, columns.stop, rows.stop], dtype=float)


def _place_maps(network, maps, sizes):
    """Yield activation maps resized to the image files, 0 where images are cropped."""
    for one, (width, height) in zip(torch.as_tensor(maps), sizes.tolist(), strict=True):
        placed = network.preprocessing.place_maps(one[None, None], height, width)
        yield placed[0, 0].numpy()
