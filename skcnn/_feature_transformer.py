"""A convolutional network as feature extractor."""

from collections import Counter, namedtuple
from math import prod
from numbers import Integral
from os import PathLike

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from ._base import MAX_SEED, BaseCNN
from ._feature_backbones import (
    SharedBackboneMixin,
    backbone_name,
    is_fitted_estimator,
    is_own,
    needs_fit,
    no_preprocessing,
    ready_backbone,
    scaled_backbone,
    untrained_backbone,
)
from ._feature_computation import FeatureComputation
from .backbones import layer_names
from .data import check_same_shape, first_sample
from .features import POOLINGS, PRECISIONS
from .runtime import usual_torch

CacheInfo = namedtuple("CacheInfo", ["hits", "misses"])


class CNNFeatureTransformer(
    SharedBackboneMixin, FeatureComputation, TransformerMixin, BaseEstimator
):
    """Features of images, computed by a convolutional network.

    The network's last layers are left off; what is left turns an image into a
    row of numbers for any other estimator: a support vector machine, a logistic
    regression, nearest neighbours. The network is pretrained, or trained here.

    X is an array, or a CPU torch tensor, of images; or a sequence of image
    files: a list, array, Series or one-column data frame of paths,
    :class:`os.PathLike`, images of PIL or encoded bytes, decoded when their batch
    comes; or a dask array.

    ==================================  ========================================
    shape of an array X                 read as
    ==================================  ========================================
    ``(n, H, W)``                       grey images
    ``(n, H, W, C)``, ``(n, C, H, W)``  images with channels, by `channel_axis`
    ``(n, L)``                          with `image_shape`, flattened images
    ==================================  ========================================

    The package's own networks also take signals, ``(n, L)``, and volumes.

    Pixels of arrays have the range of their dtype: 0–255 for uint8, 0–65535 for
    uint16, 0–1 for floats and booleans; other integers hold 0–255. With learnt
    scaling (see `preprocessing`) any range will do.

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="resnet18"
        The network: a name of :func:`skcnn.list_backbones`, which are
        torchvision's classification networks, ``"timm/<name>"`` (needs timm)
        and the package's own; any :class:`torch.nn.Module`; or a
        :class:`~skcnn.CNNClassifier` or :class:`~skcnn.CNNRegressor`. A fitted
        estimator is used as it is, also in a clone of the transformer; an
        unfitted one is trained in `fit`, on the targets that a pipeline passes.

    weights : str, path-like or None, default="default"
        Of a backbone that is named: "default", the best published set; the name
        of a set, for example "IMAGENET1K_V1"; a safetensors or state-dict file,
        read without running code; or None, random weights. Published weights
        are downloaded once, and their SHA-256 is checked whenever they are
        loaded.

    layer : str or list of str, default="penultimate"
        The layer whose output is wanted: "penultimate", which is what the last
        layer with weights receives, or what a network returns that has no last
        layer; a name of :meth:`layer_names`; or "fc6" or "fc7" of AlexNet [1]_
        and VGG. The features of a list are computed in one pass and stand side
        by side.

    pooling : {"avg", "max", "avgmax", "gem"} or None, default="avg"
        Over the positions of a layer that returns maps: the mean, the largest
        value, the mean of both, or the generalised mean of power 3 [2]_; None
        keeps all values, flattened.

    preprocessing : str, default="auto"
        "auto" is what was published with the weights: size, crop,
        interpolation, mean and standard deviation. For networks without any,
        which are a :class:`torch.nn.Module` and the package's own ones with
        random weights, it is the scale of each channel, learnt in `fit`. The
        name of a backbone is that backbone's, for a :class:`torch.nn.Module`.

    image_size : int, tuple of int or None, default=None
        Height and width, in pixels, of what the network sees, instead of the
        published size. Images are resized to cover it and their centre is cut
        out; images that have this size are not touched.

    image_shape : tuple of int or None, default=None
        Shape that the rows of a two-dimensional X are given, ``(H, W)`` or with
        channels.

    channel_axis : int, None or "auto", default="auto"
        Axis of X that holds the channels, the axis of the samples being 0;
        None if there is none. "auto" finds it out, or asks.

    batch_size : int or "auto", default="auto"
        Number of images of one forward pass. "auto" depends on their size: 8
        for 224×224 pixels on a CPU.

    precision : {"float32", "bfloat16", "float64"}, default="float32"
        What the network computes in. "bfloat16" is two to four times as fast
        where the processor has it, far slower where it has not, and shifts
        features by some thousandths of their size. On a GPU, float32 convolves
        in TF32 unless ``torch.backends.cudnn.allow_tf32`` is False, which shifts
        them by some ten thousandths; other batches then do so, too.

    device : str or torch.device, default="auto"
        Where it computes: "auto" is the first GPU where there is one and the
        CPU otherwise; or "cpu", "cuda", "cuda:1", "mps".

    compile : bool, default=False
        Whether :func:`torch.compile` fuses what it can. The first batch of a
        process then takes up to a minute, and needs a C++ compiler. On a CPU the
        threads then share every batch and no convolution is computed in tiles,
        which usually costs more than it gains.

    memory : str, path-like, bool or None, default=None
        Folder of the feature cache, True for the user's cache folder. An image
        that any process ever sent through the same layer of the same network
        is looked up instead.

    memory_bytes_limit : int, default=10737418240
        Size in bytes above which the features that were used least recently
        are removed from the cache.

    on_error : {"raise", "skip"}, default="raise"
        What is done about a file that cannot be read: an error that names it,
        or a warning and a row of NaN.

    random_state : int, RandomState instance or None, default=None
        Of random weights. Where it is not None, also of the training of an
        unfitted estimator, in the place of its own.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network. Of a pretrained backbone it is shared: do not change it.

    estimator_ : CNNClassifier or CNNRegressor
        The estimator that was trained in `fit`, where `backbone` is an
        unfitted one.

    image_shape_ : tuple of int
        Shape of one sample of the array X in `fit`.

    cache_info_ : CacheInfo
        How many of the images since `fit` were found in the cache (`hits`) and
        how many went through the network (`misses`).

    n_features_in_ : int
        Number of values of one sample of the array X in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X in `fit`, where X is a data frame.

    See Also
    --------
    CNNClassifier : The network as the classifier.
    list_backbones : Names of backbones.
    clear_cache : Remove a feature cache.

    References
    ----------
    .. [1] A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification
       with deep convolutional neural networks", NIPS 2012.

    .. [2] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN image retrieval
       with no human annotation", IEEE TPAMI 41(7), 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from skcnn import CNNClassifier, CNNFeatureTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> network = CNNClassifier(image_shape=(8, 8), max_epochs=5, random_state=0)
    >>> pipeline = make_pipeline(CNNFeatureTransformer(network), SVC())
    >>> pipeline.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True

    A pretrained network is fitted at once. With random weights it needs no
    download:

    >>> features = CNNFeatureTransformer("resnet20", weights=None, random_state=0)
    >>> features.fit_transform(X[:5].reshape(-1, 8, 8)).shape
    (5, 64)
    >>> features.get_feature_names_out()[:2]
    array(['resnet20_penultimate_0', 'resnet20_penultimate_1'], dtype=object)
    """

    _parameter_constraints = {
        "backbone": [str, torch.nn.Module, BaseEstimator],
        "weights": [str, PathLike, None],
        "layer": [str, list, tuple],
        "pooling": [StrOptions(set(POOLINGS)), None],
        "preprocessing": [str],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "image_shape": [tuple, list, None],
        "channel_axis": [StrOptions({"auto"}), Integral, None],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "precision": [StrOptions(set(PRECISIONS))],
        "device": [str, torch.device],
        "compile": ["boolean"],
        "memory": ["boolean", str, PathLike, None],
        "memory_bytes_limit": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "skip"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        backbone="resnet18",
        *,
        weights="default",
        layer="penultimate",
        pooling="avg",
        preprocessing="auto",
        image_size=None,
        image_shape=None,
        channel_axis="auto",
        batch_size="auto",
        precision="float32",
        device="auto",
        compile=False,
        memory=None,
        memory_bytes_limit=10 * 2**30,
        on_error="raise",
        random_state=None,
    ):
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.pooling = pooling
        self.preprocessing = preprocessing
        self.image_size = image_size
        self.image_shape = image_shape
        self.channel_axis = channel_axis
        self.batch_size = batch_size
        self.precision = precision
        self.device = device
        self.compile = compile
        self.memory = memory
        self.memory_bytes_limit = memory_bytes_limit
        self.on_error = on_error
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    @usual_torch()
    def fit(self, X, y=None, **fit_params):
        """Learn what features need: nothing, a scale, or a network.

        With a pretrained backbone only X and the parameters are checked.

        Parameters
        ----------
        X : array-like or sequence of image files
            See the class.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What an unfitted estimator is trained on; ignored otherwise.

        **fit_params : dict
            For `fit` of an unfitted estimator: `sample_weight`, `X_val` and the
            like. With metadata routing, what that estimator requests.

        Returns
        -------
        CNNFeatureTransformer
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError
            If X, y or a parameter is not what the class describes.

        skcnn.backbones.WeightsError
            If weights are neither on this machine nor to be had, or do not fit.
        """
        self._forget()
        fit_params = self._route(fit_params)
        learns = self._learns
        if hasattr(X, "__dask_graph__") and not learns:
            X = first_sample(X)
        X = self._check_images(X, reset=True)
        if learns:
            self._backbone = self._learn_backbone(X, y, fit_params)
        backbone = self._find_backbone()
        if backbone.digest is not None:
            self._seen = self.backbone, self.weights, backbone.digest
        self._make_extractor(backbone)
        self._sample_shape = None
        if isinstance(X, np.ndarray):
            layout = backbone.scaling(X, self.image_shape, self.channel_axis).layout
            check_same_shape(self, X, layout.sample_shape)
            self._sample_shape = layout.sample_shape
            self.image_shape_ = layout.image_shape
            self.n_features_in_ = prod(layout.image_shape)
        elif backbone.preprocessing is None:
            raise no_preprocessing(backbone.name, X)
        self._widths = {}
        self._counts = Counter()
        return self

    def _forget(self):
        """Remove what an earlier fit learnt."""
        learnt = {"_backbone", "_sample_shape", "_seen", "_widths", "_counts"}
        for name in [n for n in vars(self) if n.endswith("_") or n in learnt]:
            delattr(self, name)

    def _route(self, fit_params):
        """Return what `fit` of the backbone gets besides X and y."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **fit_params)
            return routed.backbone.fit if self._trains else {}
        if fit_params and not self._trains:
            raise TypeError(
                f"fit got {', '.join(fit_params)}, which is for a backbone that is "
                f"trained here, and {backbone_name(self.backbone)} is not. Leave it "
                "out."
            )
        return fit_params

    @property
    def _learns(self):
        """Whether `fit` learns something."""
        return needs_fit(self.backbone, self.weights, self.preprocessing)

    @property
    def _trains(self):
        """Whether the backbone is an estimator that `fit` trains."""
        is_fitted = is_fitted_estimator(self.backbone)
        return isinstance(self.backbone, BaseCNN) and not is_fitted

    @property
    def _trains_on_files(self):
        return self._trains and get_tags(self.backbone).input_tags.string

    def get_metadata_routing(self):
        """Return which metadata go to an estimator that is trained.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            From `fit` and `fit_transform` to the backbone's `fit`.
        """
        router = MetadataRouter(owner=self)
        if self._trains:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            mapping.add(caller="fit_transform", callee="fit")
            router.add(backbone=self.backbone, method_mapping=mapping)
        return router

    def _learn_backbone(self, X, y, fit_params):
        """Return the network with what it needs to learn from X and y."""
        name = backbone_name(self.backbone)
        self._check_uses()
        seed = self._draw_seed() if isinstance(self.backbone, str) else None
        if isinstance(self.backbone, str) and not is_own(self.backbone):
            return untrained_backbone(self.backbone, self.image_size, seed)
        if not isinstance(X, np.ndarray) and not self._trains_on_files:
            raise no_preprocessing(name, X)
        if isinstance(self.backbone, BaseCNN):
            self.estimator_ = self._clone_estimator().fit(X, y, **fit_params)
            return ready_backbone(self.estimator_, None, None, None)
        if isinstance(self.backbone, BaseEstimator):
            raise TypeError(
                f"backbone is a {type(self.backbone).__name__}, expected the name of a "
                "network, a torch.nn.Module, or an estimator of this package."
            )
        return scaled_backbone(
            self.backbone, X, self.image_shape, self.channel_axis, seed
        )

    def _draw_seed(self):
        return check_random_state(self.random_state).randint(MAX_SEED)

    def _clone_estimator(self):
        """Return an unfitted copy of the estimator that is the backbone."""
        estimator = clone(self.backbone)
        if self.random_state is not None:
            estimator.set_params(random_state=self._draw_seed())
        return estimator

    def transform(self, X):
        """Compute features.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images as in `fit`. A dask array gives a dask array, computed block
            by block when it is asked for.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            float32, or float64 with ``precision="float64"``. With
            ``on_error="skip"`` the rows of files that could not be read are NaN.

        Raises
        ------
        ValueError, TypeError
            If X is not what the class describes.

        skcnn.backbones.WeightsError
            If weights are neither on this machine nor to be had, or do not fit.
        """
        check_is_fitted(self)
        self._validate_params()
        if hasattr(X, "__dask_graph__"):
            return self._transform_lazily(X)
        return self._transform(X)

    @property
    def module_(self):
        """The network, a :class:`torch.nn.Module`."""
        if not self.__sklearn_is_fitted__():  # scikit-learn displays what there is
            raise AttributeError("module_ is there after fit.")
        return self._find_backbone().module

    @property
    def cache_info_(self):
        """Numbers of images that were found in the cache, and that were not."""
        counts = getattr(self, "_counts", Counter())
        return CacheInfo(counts["hits"], counts["misses"])

    def layer_names(self):
        """Return the names of the layers of the network.

        Returns
        -------
        list of str
            In the order in which they run. A name that leads several of them,
            like `layer1` of `layer1.0.conv1`, stands for the last.
        """
        check_is_fitted(self)
        backbone = self._find_backbone()
        return layer_names(backbone.module, backbone.input_shape)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, default=None
            Ignored.

        Returns
        -------
        ndarray of str objects of shape (n_features,)
            Backbone, layer and position, like "resnet18_penultimate_0".
        """
        check_is_fitted(self)
        learnt = getattr(self, "_backbone", None)
        prefix = learnt.name if learnt else backbone_name(self.backbone)
        names = [
            f"{prefix}_{layer}_{i}"
            for layer, width in self._layer_widths().items()
            for i in range(width)
        ]
        return np.array(names, dtype=object)

    def _prepare_for_change(self):
        if self.__sklearn_is_fitted__():
            self._widths = {}

    def __sklearn_is_fitted__(self):
        has_learnt = hasattr(self, "_backbone") or not self._learns
        return hasattr(self, "_widths") and has_learnt

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        learns = self._learns
        tags.requires_fit = learns
        tags.input_tags.three_d_array = True
        tags.input_tags.string = not learns or self._trains_on_files
        tags.target_tags.required = learns and isinstance(self.backbone, BaseEstimator)
        tags.transformer_tags.preserves_dtype = []
        return tags
