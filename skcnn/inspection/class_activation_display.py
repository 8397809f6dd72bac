"""Display of class activation maps over images."""

from .class_activation import class_activation_maps
from .input_pictures import pictures_of
from .networks import find_network
from .overlays import draw_overlays
from .shown_images import (
    choose_images,
    describe,
    find_wrong,
    label_maps,
    title_images,
)


class ClassActivationDisplay:
    """Display of class activation maps over images.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    maps : ndarray of shape (n_images, n_maps, ...)
        Class activation maps, see :func:`class_activation_maps`.
    pictures : list of ndarray
        Pictures of the images, in the shape of the maps; for signals, arrays of shape
        (length, n_channels).
    labels : ndarray of shape (n_images, n_maps)
        Classes of the maps.
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
    class_activation_maps : Class activation maps as arrays.
    OcclusionDisplay : Display of occlusion maps, for any classifier.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import ClassActivationDisplay
    >>> digits = load_digits()
    >>> clf = CNNClassifier(max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:200], digits.target[:200])
    >>> display = ClassActivationDisplay.from_estimator(
    ...     clf, digits.images[200:], digits.target[200:], n_images=3
    ... )
    >>> display.maps.shape
    (3, 1, 8, 8)
    """

    def __init__(self, maps, pictures, labels, y_pred, y_true=None, *, rows=None):
        self.maps = maps
        self.pictures = pictures
        self.labels = labels
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
        classes="predicted",
        show="all",
        n_images=4,
        layer=None,
        method="hirescam",
        ax=None,
    ):
        """Compute class activation maps and draw them over the images.

        Parameters
        ----------
        estimator : BaseEstimator
            Fitted estimator that :func:`class_activation_maps` takes.
        X : array-like or sequence of image files
            Images, signals or volumes. The middle slice of a volume is shown.
        y : array-like of shape (n_samples,) or None, default=None
            True labels or values.
        classes : {"predicted", "true", "all"}, label or list, default="predicted"
            Classes to explain.
        show : {"all", "right", "wrong"}, default="all"
            Images to show: all, or those whose predictions are right or wrong.
        n_images : int, default=4
            Maximum number of images, taken from the start of X.
        layer : str, list of str or None, default=None
            Layer whose feature maps are used, see :func:`class_activation_maps`.
        method : {"hirescam", "gradcam"}, default="hirescam"
            Weights of the feature maps, see :func:`class_activation_maps`.
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        ClassActivationDisplay
            The display.

        Raises
        ------
        ValueError
            If a parameter is not valid, `show` needs y, or no image matches `show`.
        """
        found = find_network(estimator)
        X, rows, y_pred, y = choose_images(estimator, X, y, show, n_images)
        options = {"y": y, "layer": layer, "method": method}
        maps = class_activation_maps(estimator, X, classes=classes, **options)
        labels = label_maps(estimator, classes, y_pred, y)
        maps = maps.reshape(*labels.shape, *maps.shape[-len(found.input_shape[1:]) :])
        display = cls(maps, pictures_of(found, X), labels, y_pred, y, rows=rows)
        return display.plot(ax=ax)

    def plot(self, ax=None):
        """Draw the images, with their maps below.

        Wrong predictions are framed. Each map is divided by its largest value;
        contours are drawn at 0.5.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes that the grid replaces. If None, a new figure is created.

        Returns
        -------
        ClassActivationDisplay
            The display.
        """
        self.figure_, self.axes_ = draw_overlays(
            self.pictures,
            list(self.maps),
            title_images(self.y_pred, self.y_true),
            [[f"for {describe(label)}" for label in row] for row in self.labels],
            label="share of the largest value",
            wrong=find_wrong(self.y_pred, self.y_true),
            ax=ax,
        )
        return self
