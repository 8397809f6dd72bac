"""Sliding-window detector: a linear model on a backbone's feature maps."""

from contextlib import nullcontext
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._base.backbone_features import wants_cache
from .._base.backbone_parameter import check_uses, needs_fit, ready_backbone
from .._base.parameter_constraints import (
    BACKBONE,
    COMPUTATION,
    COUNT,
    COUNT_OR_NONE,
    FRACTION,
)
from .._base.shared_parameters import check_backbone_stays, clone_with_backbone
from ..runtime import usual_torch
from .boxes import check_box_targets, check_boxes
from .detector import DetectorMixin
from .image_sequence import ImageSequence
from .linear_windows import fit_linear
from .offsets import fit_offsets, move_boxes
from .pyramid import FeaturePyramid, find_map_layer
from .training_windows import near_windows, sample_windows
from .windows import learn_window_sizes

N_CANDIDATES = 2000  # windows of an image that enter non-maximum suppression
CONSTRAINTS = {
    name: BACKBONE[name]
    for name in ("backbone", "weights", "preprocessing", "memory", "channel_axis")
}


class SlidingWindowDetector(DetectorMixin, BaseEstimator):
    """Sliding-window detector: a linear model on a backbone's feature maps.

    It detects any number of objects, of one or several classes, in images of any size.
    A pretrained backbone computes feature maps of an image at several scales [1]_, and
    a linear classifier scores all windows of these maps. The classifier is trained on
    windows that overlap the boxes of y, on random windows of the background, and on
    hard negatives, which it mistakes for objects [2]_. A ridge regression refines the
    boxes [3]_. Of overlapping detections, only the best one is kept.

    X is an array of images, ``(n, H, W)`` or ``(n, H, W, C)``, with pixels in the range
    of their dtype, as for :class:`~skcnn.CNNFeatureTransformer`; or a sequence of image
    files, PIL images or arrays of any size.

    Parameters
    ----------
    estimator : classifier or None, default=None
        Linear classifier with `coef_` and `intercept_`. None is
        ``LogisticRegression(C=0.01, max_iter=1000)``.
    backbone : str, torch.nn.Module or estimator, default="efficientnet_lite0"
        Network with published preprocessing, as for
        :class:`~skcnn.CNNFeatureTransformer`. A fitted estimator is not fitted
        again.
    weights : str, path-like or None, default="default"
        Weights of a named backbone, as for :class:`~skcnn.CNNFeatureTransformer`.
    layer : str, default="auto"
        Layer whose feature map is used. "auto" is the one with the largest receptive
        field among those with a stride of at most 16 pixels.
    preprocessing : str, default="auto"
        Preprocessing of images. "auto" is the one published with the weights. A
        :class:`torch.nn.Module` needs the name of a backbone, whose preprocessing is
        used.
    window_side : int, default=64
        Side length, in pixels, to which windows are scaled for the backbone.
    n_windows : int, default=8
        Maximum number of window sizes, which are learnt from the boxes.
    n_rounds : int, default=2
        Number of times hard negatives are added and the classifier is fitted again.
    threshold : float, default=0.0
        Minimum score of the boxes that `predict` returns. The score is the margin of a
        class over the background. The `score` method uses all windows.
    nms_threshold : float, default=0.3
        Maximum intersection over union, in (0, 1), of two detections of a class. Above
        it, the one with the lower score is dropped.
    max_detections : int, default=100
        Maximum number of detections in an image.
    channel_axis : int, None or "auto", default="auto"
        Axis of an array X that holds the channels.
    batch_size : int or "auto", default="auto"
        Number of images in a forward pass.
    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Precision of the backbone.
    device : str or torch.device, default="auto"
        Device of the backbone, as for :class:`~skcnn.CNNFeatureTransformer`.
    memory : str, path-like, bool or None, default=None
        Folder of the feature cache. True is the cache folder of the user. With a cache,
        a search over thresholds or parameters of `estimator` runs the backbone once.
        None keeps feature maps in a temporary folder until the end of `fit`.
    random_state : int, RandomState instance or None, default=None
        Seed of the random windows.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    estimator_ : classifier
        Fitted linear model. Its class 0 is the background.
    window_sizes_ : list of WindowSize
        Widths, heights and scales of the windows.
    layer_ : str
        Layer whose feature map is used.

    See Also
    --------
    BoxRegressor : Regressor of one box per image, by fine-tuning.
    average_precision : Metric of detections.

    References
    ----------
    .. [1] P. Sermanet et al., "OverFeat: integrated recognition, localization and
       detection using convolutional networks", ICLR 2014.
    .. [2] P. F. Felzenszwalb et al., "Object detection with discriminatively trained
       part-based models", IEEE TPAMI 32(9), 2010.
    .. [3] R. Girshick et al., "Rich feature hierarchies for accurate object detection
       and semantic segmentation", CVPR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.localization import SlidingWindowDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 90, size=(8, 96, 96, 3), dtype=np.uint8)
    >>> y = [[[x, x, x + 40, x + 40]] for x in range(0, 40, 5)]
    >>> for image, [[left, top, right, bottom]] in zip(X, y):
    ...     image[top:bottom, left:right] = 255
    >>> detector = SlidingWindowDetector(n_windows=1, random_state=0).fit(X[:6], y[:6])
    >>> detector.score(X[6:], y[6:])
    1.0
    >>> sorted(detector.predict(X[6:])[0])
    ['boxes', 'labels', 'scores']
    """

    _parameter_constraints = {
        "estimator": "no_validation",
        **CONSTRAINTS,
        **COMPUTATION,
        "layer": [str],
        "window_side": [COUNT],
        "n_windows": [COUNT],
        "n_rounds": [COUNT_OR_NONE],
        "threshold": "no_validation",
        "nms_threshold": [FRACTION],
        "max_detections": [COUNT],
    }
    image_size = None  # images may have any size

    def __init__(
        self,
        estimator=None,
        *,
        backbone="efficientnet_lite0",
        weights="default",
        layer="auto",
        preprocessing="auto",
        window_side=64,
        n_windows=8,
        n_rounds=2,
        threshold=0.0,
        nms_threshold=0.3,
        max_detections=100,
        channel_axis="auto",
        batch_size="auto",
        precision="float32",
        device="auto",
        memory=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.preprocessing = preprocessing
        self.window_side = window_side
        self.n_windows = n_windows
        self.n_rounds = n_rounds
        self.threshold = threshold
        self.nms_threshold = nms_threshold
        self.max_detections = max_detections
        self.channel_axis = channel_axis
        self.batch_size = batch_size
        self.precision = precision
        self.device = device
        self.memory = memory
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    @usual_torch()
    def fit(self, X, y):
        """Learn the window sizes and fit the linear models.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.
        y : list of array-like, list of dict or data frame
            Boxes of each image, of shape (k, 4) in pixels, k ≥ 0; or dicts with `boxes`
            and `labels`; or the frame of :func:`stack_boxes`.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError, TypeError
            If X, y or a parameter is not valid, or y has no box.
        """
        images = ImageSequence(self, X, self.channel_axis)
        y = check_box_targets(y, len(images))
        boxes = np.concatenate([target["boxes"] for target in y])
        if not len(boxes):
            raise ValueError("y has no boxes, expected at least one in total.")
        self.classes_ = np.unique(
            np.concatenate([t["labels"] for t in y if len(t["boxes"])])
        )
        self.window_sizes_ = learn_window_sizes(boxes, self.n_windows, self.window_side)
        is_cached = wants_cache(self.memory)
        with nullcontext(self.memory) if is_cached else TemporaryDirectory() as memory:
            self._learn(self._make_pyramid(memory), images, y)
        return self

    def _learn(self, pyramid, images, y):
        """Fit the classifier, refit it with hard negatives, and fit the offsets."""
        rng = np.random.default_rng(
            check_random_state(self.random_state).randint(2**31)
        )
        self.layer_, self._n_cells = pyramid.layer, self._count_cells(pyramid)
        X, codes, near, self._filter = [], [], [], None
        for _ in range(self.n_rounds + 1):
            for i, (size, windows) in enumerate(self._windows(pyramid, images)):
                boxes = check_boxes(y[i]["boxes"], f"y[{i}]['boxes']", size)
                own = np.searchsorted(self.classes_, y[i]["labels"][: len(boxes)]) + 1
                if self._filter is None:
                    near.append(near_windows(windows, boxes, rng))
                parts = sample_windows(windows, boxes, own, self._filter, rng)
                for known, new in zip((X, codes), parts, strict=True):
                    known += new
            self.estimator_, self._filter = fit_linear(
                self._linear, np.concatenate(X), np.concatenate(codes), self._n_cells
            )
        near, offsets = map(np.concatenate, zip(*near, strict=True))
        self._offsets = fit_offsets(near, offsets, self._n_cells)

    @property
    def _linear(self):
        """Linear classifier, a logistic regression by default."""
        if self.estimator is None:
            return LogisticRegression(C=0.01, max_iter=1000)
        return self.estimator

    def _make_pyramid(self, memory, layer=None):
        """Return the feature pyramid of the backbone."""
        check_uses(self)
        if needs_fit(self):
            raise ValueError(
                f"backbone={self.backbone!r} is not pretrained, expected a pretrained "
                "network with published preprocessing. For a torch.nn.Module, set "
                "preprocessing='resnet18' or the name of another backbone."
            )
        backbone = ready_backbone(self, self.weights)
        if backbone.preprocessing is None:
            raise ValueError(
                f"{backbone.name} takes images of one size only, expected a network "
                "with published preprocessing, such as 'efficientnet_lite0'."
            )
        layer = layer or self.layer
        if layer == "auto":
            layer = find_map_layer(backbone)
        return FeaturePyramid(
            backbone, layer, self.batch_size, self.device, self.precision, memory
        )

    def _count_cells(self, pyramid):
        """Return the number of feature-map cells along a side of a window."""
        return max(1, round(self.window_side / pyramid.stride))

    def _windows(self, pyramid, images):
        """Yield the size of each image and its windows of each size."""
        scales = sorted({size.scale for size in self.window_sizes_})
        for image_size, maps in pyramid.maps(images, scales):
            yield (
                image_size,
                [s.cut(maps, image_size, self._n_cells) for s in self.window_sizes_],
            )

    @usual_torch()
    def _detect(self, X, threshold):
        """Return the detections with a score of at least `threshold`."""
        return [self._select(*one, threshold) for one in self._scored(X)]

    def _scored(self, X):
        """Yield the size of each image, its windows and their scores."""
        check_is_fitted(self)
        images = ImageSequence(self, X, self.channel_axis)
        pyramid = self._make_pyramid(self.memory, self.layer_)
        for size, windows in self._windows(pyramid, images):
            yield size, [(w, self._filter.values(w)) for w in windows]

    def _select(self, size, scored, threshold):
        """Return the detections of an image after non-maximum suppression."""
        from torchvision.ops import batched_nms

        windows = np.concatenate([w.boxes() for w, _ in scored])
        offsets = [self._offsets.values(w).flatten(1).T for w, _ in scored]
        scores = torch.cat([scores.flatten(1) for _, scores in scored], dim=1)
        n_columns = scores.shape[1]
        scores, order = scores.flatten().sort(descending=True, stable=True)
        order = order[:N_CANDIDATES][scores[:N_CANDIDATES] >= threshold]
        scores = scores[: len(order)]
        codes, rows = order // n_columns, (order % n_columns).numpy()
        offsets = torch.cat(offsets).double().numpy()[rows]
        boxes = torch.from_numpy(move_boxes(windows[rows], offsets, size))
        kept = batched_nms(boxes.float(), scores, codes, self.nms_threshold)
        kept = kept[: self.max_detections]
        return {
            "boxes": boxes[kept].numpy(),
            "labels": self.classes_[codes[kept].numpy()],
            "scores": scores[kept].numpy().astype(np.float64),
        }

    @usual_torch()
    def decision_function(self, X):
        """Return the scores of all windows.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.

        Returns
        -------
        list of list of ndarray of shape (n_classes, n_rows, n_columns)
            Score maps of each image, one for each of `window_sizes_`. Scores are the
            margins of the classes over the background. The windows form a grid over
            the whole image.
        """
        return [[s.numpy() for _, s in scored] for _, scored in self._scored(X)]

    def set_params(self, **params):
        """Set the parameters of this detector.

        Parameters
        ----------
        **params : dict
            Parameters, also nested ones like `estimator__C` of the default estimator.

        Returns
        -------
        self : object
            The detector.
        """
        check_backbone_stays(self, params)
        is_nested = any(name.startswith("estimator__") for name in params)
        if is_nested and params.get("estimator", self.estimator) is None:
            self.estimator = self._linear
        return super().set_params(**params)

    def __sklearn_clone__(self):
        return clone_with_backbone(self)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_filter")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
