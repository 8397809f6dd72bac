"""Class activation maps: the parts of an image that support a class."""

from sklearn.utils.validation import check_is_fitted

from ..data import find_layout, is_image_files
from ..runtime import usual_torch
from .chosen_classes import choose_classes
from .gradient_maps import METHODS, gradient_maps, resize_maps
from .linear_maps import linear_maps
from .networks import find_network


@usual_torch()
def class_activation_maps(
    est, X, *, classes="predicted", y=None, layer=None, method="hirescam"
):
    """Compute class activation maps: the parts of images that support a class.

    Feature maps are multiplied by the gradients of the score and summed over channels,
    and negative sums are set to 0. For a pipeline of
    :class:`~skcnn.CNNFeatureTransformer` with average pooling and linear steps, such as
    a scaler and a logistic regression, maps are exact [1]_: the mean of a map is the
    decision value minus the intercept.

    Parameters
    ----------
    est : BaseEstimator
        Fitted :class:`~skcnn.CNNClassifier`, :class:`~skcnn.CNNRegressor`,
        :class:`~skcnn.FineTunedClassifier` or :class:`~skcnn.FineTunedRegressor`, or
        a pipeline or search with one; or a pipeline of
        :class:`~skcnn.CNNFeatureTransformer` and linear steps.

    X : array-like or sequence of image files
        Images, signals or volumes that `est` takes.

    classes : {"predicted", "true", "all"}, label or list of labels, default="predicted"
        Classes to explain. For a regressor, "predicted" is its only output, and labels
        are indices of outputs.

    y : array-like of shape (n_samples,) or None, default=None
        True labels, for ``classes="true"``.

    layer : str, list of str or None, default=None
        Layer of ``module_`` whose feature maps are used; the maps of several layers are
        multiplied. "input" is the image itself minus its median. None uses the last
        layer with at least 7 positions along each axis and, if no side of the image
        exceeds 96 pixels, also "input". For a pipeline, None finds the layer whose
        means are the features.

    method : {"hirescam", "gradcam"}, default="hirescam"
        Weights of the feature maps: the gradient at each position [3]_, or the mean
        gradient of each feature map [2]_. Both give the same maps if global average
        pooling follows the layer; otherwise, mean gradients can mislead. Ignored for a
        pipeline.

    Returns
    -------
    ndarray of shape (n_samples, [n_chosen,] ...)
        Maps, in float64. Maps of a network are non-negative; exact maps of a pipeline
        are negative where the image contradicts the class. The spatial shape is that
        of the images in X or, for image files, of the network's input, a centre crop.
        Only "all" and a list of labels add the axis of the chosen classes.

    Raises
    ------
    ValueError
        If a class or layer does not exist, the layer returns no feature maps, or the
        steps after the features are not linear.

    TypeError
        If `est` has no network.

    See Also
    --------
    ClassActivationDisplay : Display of class activation maps over images.
    OcclusionDisplay : Display of occlusion maps, for any classifier.

    References
    ----------
    .. [1] B. Zhou et al., "Learning deep features for discriminative localization",
       CVPR 2016.
    .. [2] R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via
       gradient-based localization", ICCV 2017.
    .. [3] R. L. Draelos, L. Carin, "Use HiResCAM instead of Grad-CAM for faithful
       explanations of convolutional neural networks", arXiv 2011.08891, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection import class_activation_maps
    >>> digits = load_digits()
    >>> clf = CNNClassifier(max_epochs=1, random_state=0)
    >>> clf = clf.fit(digits.images[:200], digits.target[:200])
    >>> class_activation_maps(clf, digits.images[:3]).shape
    (3, 8, 8)
    >>> class_activation_maps(clf, digits.images[:3], classes=[0, 8]).shape
    (3, 2, 8, 8)
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not known. Use one of {METHODS}.")
    found = find_network(est)
    check_is_fitted(est)
    chosen = []

    def choose(scores, rows):
        if not chosen:
            chosen.append(choose_classes(est, scores.shape[1], X, classes, y))
        return chosen[0].of(scores, rows)

    if found.is_transformer:
        maps = linear_maps(found, X, choose, layer)
        placed = _keep_means(_placed(found, X, maps), maps)
    else:
        placed = _placed(found, X, gradient_maps(found, X, choose, layer, method))
    return (placed if chosen[0].has_axis else placed[:, 0]).numpy()


def _placed(found, X, maps):
    """Return maps in the shape of array images, or of the network's input for files."""
    maps = resize_maps(maps, found.input_shape[1:])
    X = found.prepared(X)
    if found.preprocessing is None or is_image_files(X):
        return maps
    options = found.estimator.image_shape, found.estimator.channel_axis
    layout = find_layout(tuple(X.shape)[1:], *options, images_only=True)
    return found.preprocessing.place_maps(maps, *layout.spatial_shape)


def _keep_means(placed, maps):
    """Return resized maps, shifted to the means of the original maps."""
    axes = tuple(range(2, maps.ndim))
    before, after = maps.mean(axes, keepdim=True), placed.mean(axes, keepdim=True)
    return placed + (before - after)
