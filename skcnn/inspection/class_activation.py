"""Class activation maps: the parts of an image that speak for a class."""

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
    """Compute the parts of images that speak for a class.

    The score of a network is traced back to its feature maps: gradients are multiplied
    with the feature maps, summed over channels, and negative sums set to 0. Of a
    pipeline of :class:`~skcnn.CNNFeatureTransformer`, with average pooling, and linear
    steps, such as a scaler and a logistic regression, the map is exact [1]_: its mean
    is the decision value less the intercept.

    Parameters
    ----------
    est : BaseEstimator
        Fitted :class:`~skcnn.CNNClassifier`, :class:`~skcnn.CNNRegressor`,
        :class:`~skcnn.FineTunedClassifier` or :class:`~skcnn.FineTunedRegressor`, or
        a pipeline or search with one; or a pipeline of
        :class:`~skcnn.CNNFeatureTransformer` and linear steps.

    X : array-like or sequence of image files
        Images, signals or volumes that `est` predicts.

    classes : {"predicted", "true", "all"}, label or list of labels, default="predicted"
        Classes that the maps are for. Of a regressor, "predicted" is its only output,
        and labels are the numbers of outputs.

    y : array-like of shape (n_samples,) or None, default=None
        True labels, for ``classes="true"``.

    layer : str, list of str or None, default=None
        Name of the part of ``module_`` whose feature maps are used, or several, whose
        maps are multiplied; "input" is the image itself, less its median. None is the
        last layer with at least 7 positions along each axis; for images of at most 96
        pixels, of which a position covers much, also "input". Of a pipeline, None
        finds the layer whose means are the features.

    method : {"hirescam", "gradcam"}, default="hirescam"
        Weights of the feature maps: their gradients position by position [3]_, or the
        mean gradient of each feature map [2]_. Both are the same for networks that end
        with the mean of their feature maps. Others tell positions apart, and then
        mean gradients mislead. Ignored for a pipeline.

    Returns
    -------
    ndarray of shape (n_samples, [n_chosen,] ...)
        Maps, in float64. Those of a network are 0 or more; exact ones are positive
        where the image speaks for the class and negative where it speaks against it.
        The spatial shape is that of the images in X; of image files, which have any
        size, that of the network's input, a crop of the centre. The axis of the chosen
        classes is there for "all" and a list.

    Raises
    ------
    ValueError
        If a class or layer does not exist, or there are no feature maps, or steps after
        the features are not linear.

    TypeError
        If `est` has no network.

    See Also
    --------
    ClassActivationDisplay : Maps shown over the images.
    OcclusionDisplay : Parts that matter to any classifier.

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
    """Return maps in the shape of images of an array, or of the network's input."""
    maps = resize_maps(maps, found.input_shape[1:])
    X = found.prepared(X)
    if found.preprocessing is None or is_image_files(X):
        return maps
    options = found.estimator.image_shape, found.estimator.channel_axis
    layout = find_layout(tuple(X.shape)[1:], *options, images_only=True)
    return found.preprocessing.place_maps(maps, *layout.spatial_shape)


def _keep_means(placed, maps):
    """Return maps whose mean is that of the maps that were interpolated."""
    axes = tuple(range(2, maps.ndim))
    before, after = maps.mean(axes, keepdim=True), placed.mean(axes, keepdim=True)
    return placed + (before - after)
