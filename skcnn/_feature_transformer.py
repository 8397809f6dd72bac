"""Features of images, computed by a convolutional neural network."""

from collections import namedtuple
from dataclasses import replace
from math import prod

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import _check_feature_names, check_is_fitted
from torch.nn import Module

from ._base.backbone_features import (
    asked_features,
    asked_layers,
    feature_widths,
    make_asked_extractor,
    network_input,
)
from ._base.backbone_parameter import (
    known_backbone,
    learn_backbone,
    needs_fit,
    no_preprocessing,
    route_fit_params,
    trains_backbone,
)
from ._base.dask_collections import is_dask, sample_of, transform_lazily
from ._base.parameter_constraints import FEATURES
from ._base.plain_state import (
    copy_shallow,
    with_built_networks,
    with_stored_networks,
)
from ._base.shared_parameters import check_backbone_stays, clone_with_backbone
from .backbones import (
    WeightsError,
    label_features,
    layer_names,
    layer_table,
    refer_to,
)
from .data import (
    as_image_list,
    check_image_array,
    check_same_shape,
    is_image_files,
)
from .runtime import usual_torch

CacheInfo = namedtuple("CacheInfo", ["hits", "misses"])


class CNNFeatureTransformer(TransformerMixin, BaseEstimator):
    """Features of images, computed by a convolutional neural network.

    The last layers of a network are removed. The others turn an image into a feature
    vector for any other estimator, such as a support vector machine or a
    nearest-neighbour index. The network is pretrained, or trained in `fit`.

    X is an array, or a CPU torch tensor, of images; or a sequence of image files: a
    list, array, Series or one-column data frame of paths, :class:`os.PathLike`, PIL
    images or encoded bytes. It may also be a dask array of images, or a dask bag,
    Series or frame of image files.

    ==================================  ========================================
    shape of an array X                 read as
    ==================================  ========================================
    ``(n, H, W)``                       grey images
    ``(n, H, W, C)``, ``(n, C, H, W)``  images with channels, by `channel_axis`
    ``(n, L)``                          with `image_shape`, flattened images
    ==================================  ========================================

    The package's own networks also take signals, ``(n, L)``, and volumes.

    Pixels of arrays must be in the range of their dtype: 0–255 for uint8, 0–65535 for
    uint16, 0–1 for floats and booleans, 0–255 for other integers. They may have any
    range if the scale is learnt (see `preprocessing`).

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="efficientnet_lite0"
        Network: "efficientnet_lite0", whose weights are installed with the package;
        another name of :func:`skcnn.list_backbones` (torchvision's classification
        networks, ``"timm/<name>"``, the package's own); a :class:`torch.nn.Module`;
        or an estimator of this package. A fitted estimator is used as it is, also by
        clones; an unfitted one is trained in `fit`.
    weights : str, path-like or None, default="default"
        Weights of a named backbone: "default", the best published set; the name of
        a set, such as "IMAGENET1K_V1"; a safetensors or state-dict file, read
        without running code; or None, random weights. Published weights are
        downloaded once and checked by their SHA-256.
    layer : str or list of str, default="penultimate"
        Layer whose output is returned: "penultimate", the input of the last layer
        with weights (for a network without classes, its output); a name of
        :meth:`layer_names`; or "fc6" or "fc7" of AlexNet [1]_ and VGG. Features of
        several layers are computed in one pass and concatenated.
    pooling : {"avg", "max", "avgmax", "gem"} or None, default="avg"
        Pooling of feature maps: the mean, the maximum, the mean of both, or the
        generalised mean of power 3 [2]_. None keeps all values, flattened.
    preprocessing : str, default="auto"
        Preprocessing of images. "auto" is the one published with the weights; for a
        :class:`torch.nn.Module`, or a network of the package with random weights, it is
        a scale of each channel, learnt in `fit`. For a :class:`torch.nn.Module`, the
        name of a backbone selects the preprocessing of that backbone.
    image_size : int, tuple of int or None, default=None
        Height and width, in pixels, that images are resized and centre-cropped to.
        None is the published size.
    image_shape : tuple of int or None, default=None
        Shape of one image, ``(H, W)`` or with channels, if X holds flattened images.
    channel_axis : int, None or "auto", default="auto"
        Axis of X that holds the channels: -1 for channels last, 1 for channels
        first, None if there is none. "auto" finds it, or raises an error if it is
        ambiguous.
    batch_size : int or "auto", default="auto"
        Number of images in a forward pass. "auto" depends on their size: 8 for
        224×224 pixels on a CPU.
    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Precision of the computation. "bfloat16" is fast on processors with bfloat16
        arithmetic, and changes features by some thousandths. On a GPU, float32 uses
        TF32 unless ``torch.backends.cudnn.allow_tf32`` is False.
    device : str or torch.device, default="auto"
        Device: "cpu", "cuda", "cuda:1", "mps"; "auto" is the first GPU, or the CPU
        if there is none.
    compile : bool, default=False
        Whether to compile the network with :func:`torch.compile`, which needs a C++
        compiler and up to a minute in each process. On a CPU, it is usually slower.
    memory : str, path-like, bool or None, default=None
        Folder of the feature cache; True is the cache folder of the user. Features are
        cached by image, and shared by all processes that use the folder. Features of
        your own networks are found again, too, unlike with ``Pipeline(memory=...)``.
    memory_bytes_limit : int, default=10737418240
        Maximum size of the cache, in bytes. The features that were used least
        recently are removed first.
    on_error : {"raise", "skip"}, default="raise"
        Whether a file that cannot be read raises an error, or is skipped with a
        warning and a row of NaN.
    store_weights : bool, default=False
        Whether to store the weights of a named backbone in the fitted transformer,
        and so in its pickles. If False, only their name and SHA-256 are stored, and
        `transform` searches for a weights file at its path, in the working folder, in
        the folders of the environment variable `SKCNN_WEIGHTS` and in the cache of
        torch.hub.
    random_state : int, RandomState instance or None, default=None
        Seed of random weights. If it is not None, it also replaces the seed of an
        unfitted estimator.

    Attributes
    ----------
    module_ : torch.nn.Module
        Network. A pretrained network is shared by all transformers with its weights,
        and must not be modified.
    estimator_ : CNNClassifier or CNNRegressor
        Estimator that was trained in `fit`, if `backbone` is unfitted.
    image_shape_ : tuple of int
        Shape of one image seen in `fit`, if X was an array.
    cache_info_ : CacheInfo
        Number of images since `fit` that were found in the cache (`hits`) and that
        were computed (`misses`).
    n_features_in_ : int
        Number of values of one image, if X was an array.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X is a data frame whose column names are
        all strings.

    See Also
    --------
    CNNClassifier : Convolutional neural network classifier.
    FineTunedClassifier : Classifier that fine-tunes a pretrained network.
    list_backbones : Names of backbones.
    clear_cache : Remove a feature cache.

    Notes
    -----
    The same machine, versions and number of threads give the same features, bit for
    bit. Otherwise, features are equal up to rounding.

    References
    ----------
    .. [1] A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with
       deep convolutional neural networks", NIPS 2012.
    .. [2] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN image retrieval with no
       human annotation", IEEE TPAMI 41(7), 2019.

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

    The default network is pretrained, so there is nothing to train:

    >>> features = CNNFeatureTransformer()
    >>> features.fit_transform(X[:5].reshape(-1, 8, 8) / 16).shape
    (5, 1280)
    >>> features.get_feature_names_out()[0]
    'efficientnet_lite0_penultimate_0'
    """

    _parameter_constraints = FEATURES

    def __init__(
        self,
        backbone="efficientnet_lite0",
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
        store_weights=False,
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
        self.store_weights = store_weights
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    @usual_torch()
    def fit(self, X, y=None, **fit_params):
        """Fit the backbone if it needs fitting, and check X and the parameters.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets of an unfitted estimator, ignored otherwise.
        **fit_params : dict
            Parameters of `fit` of an unfitted estimator, such as `sample_weight`. With
            metadata routing, only those that the estimator requests.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError, skcnn.backbones.WeightsError
            If X, y or a parameter is not valid, or weights cannot be loaded.
        """
        self._forget()
        fit_params = route_fit_params(self, fit_params)
        if is_dask(X) and not needs_fit(self):
            X = sample_of(X)
        X = self._check_images(X, reset=True)
        if needs_fit(self):
            self._backbone = learn_backbone(self, X, y, fit_params)
        backbone = known_backbone(self)
        make_asked_extractor(self, backbone)
        if self.store_weights and isinstance(self.backbone, str):
            self._backbone = backbone
        self._remember(X, backbone)
        return self

    def _forget(self):
        """Remove what an earlier fit learnt."""
        learnt = {"_backbone", "_sample_shape", "_seen", "_widths", "_counts"}
        for name in [n for n in vars(self) if n.endswith("_") or n in learnt]:
            delattr(self, name)

    def _check_images(self, X, reset):
        """Return X as a validated array, or as a list of image files."""
        has_names = reset or self.__sklearn_is_fitted__()  # to learn or to compare
        if is_image_files(X):
            if has_names:
                _check_feature_names(self, X, reset=reset)
            return as_image_list(X)
        if hasattr(X, "columns") and not has_names:
            X = np.asarray(X)
        return check_image_array(self, X, reset=reset)

    def _remember(self, X, backbone):
        """Record the weights and image shape that later calls are checked against."""
        if backbone.digest is not None:
            self._seen = {
                "backbone": self.backbone,
                "weights": str(self.weights),
                "digest": backbone.digest,
                "reference": refer_to(self.backbone, self.weights),
            }
        self._sample_shape = None
        if isinstance(X, np.ndarray):
            layout = backbone.scaling(X, self.image_shape, self.channel_axis).layout
            check_same_shape(self, X, layout.sample_shape)
            self._sample_shape = layout.sample_shape
            self.image_shape_ = layout.image_shape
            self.n_features_in_ = prod(layout.image_shape)
        elif backbone.preprocessing is None:
            raise no_preprocessing(backbone.name, X)
        self._widths, self._counts = {}, {}

    def transform(self, X):
        """Compute features.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images, or a dask collection of images or image files.

        Returns
        -------
        ndarray or dask array of shape (n_samples, n_features)
            Features, in float32, or float64 with ``precision="float64"``. With
            ``on_error="skip"``, rows of files that cannot be read are NaN. For a dask
            collection, they are computed lazily.

        Raises
        ------
        ValueError, TypeError, skcnn.backbones.WeightsError
            If X is not valid, or weights cannot be loaded.
        """
        check_is_fitted(self)
        self._validate_params()
        if is_dask(X):
            n_features, dtype = len(self.get_feature_names_out()), self._output_dtype
            return transform_lazily(X, self._transform, n_features, dtype)
        return self._transform(X)

    @usual_torch()
    def _transform(self, X):
        """Return the features of an array or of image files."""
        X = self._check_images(X, reset=False)
        backbone = known_backbone(self)
        extractor = make_asked_extractor(self, backbone)
        features = asked_features(self, X, backbone, extractor)
        if hasattr(self, "_widths"):
            asked = _key(extractor.layers, extractor.pooling)
            self._widths[asked] = [part.shape[1] for part in features]
        together = features[0] if len(features) == 1 else np.hstack(features)
        return together.astype(self._output_dtype, copy=False)

    @property
    def _output_dtype(self):
        return np.float64 if self.precision == "float64" else np.float32

    @property
    def module_(self):
        """The network, a :class:`torch.nn.Module`."""
        if not self.__sklearn_is_fitted__():  # even if transform needs no fit
            raise NotFittedError("module_ is available only after calling fit.")
        try:
            return known_backbone(self).module
        except (TypeError, ValueError, WeightsError) as error:
            raise AttributeError(f"module_ is not available: {error}") from error

    @property
    def cache_info_(self):
        """Numbers of images found in the cache (`hits`) and computed (`misses`)."""
        counts = getattr(self, "_counts", {})
        return CacheInfo(counts.get("hits", 0), counts.get("misses", 0))

    @usual_torch()
    def to_input(self, X):
        """Resize, crop and scale images to the input of `module_`.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, ...)
            Scaled images in float32, on the CPU.
        """
        check_is_fitted(self)
        X, backbone = self._check_images(X, reset=False), known_backbone(self)
        return network_input(self, X, backbone)

    def layer_names(self, details=False):
        """Return the names of the layers of the network.

        Parameters
        ----------
        details : bool, default=False
            Whether to return a data frame that describes the layers (needs pandas).

        Returns
        -------
        list of str or pandas.DataFrame
            Names of the blocks, such as `layer1`, then of all layers, both in order of
            execution. A block stands for its last layer. The data frame is indexed by
            name and has the columns `output_shape`, `n_parameters` and
            `receptive_field` (in input pixels along each axis; None if unknown).
        """
        check_is_fitted(self)
        backbone = known_backbone(self)
        if not details:
            return layer_names(backbone.module, backbone.input_shape)
        import pandas as pd

        table = layer_table(backbone.module, backbone.input_shape)
        return pd.DataFrame(table).set_index("name")

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, default=None
            Ignored.

        Returns
        -------
        ndarray of str objects of shape (n_features,)
            Backbone, layer and position, such as "efficientnet_lite0_penultimate_0".
            The outputs of a network trained on ImageNet are named after its classes,
            such as "efficientnet_lite0_classifier_goldfish".
        """
        check_is_fitted(self)
        backbone = known_backbone(self)
        names = [
            f"{backbone.name}_{layer}_{label}"
            for layer, width in self._layer_widths().items()
            for label in label_features(backbone, layer, width)
        ]
        return np.array(names, dtype=object)

    @usual_torch()
    def _layer_widths(self):
        """Return the number of features of each layer."""
        layers = asked_layers(self)
        widths = getattr(self, "_widths", {}).get(_key(layers, self.pooling))
        if widths is None:
            backbone = known_backbone(self)
            widths = feature_widths(backbone, make_asked_extractor(self, backbone))
        return dict(zip(layers, widths, strict=True))

    def set_params(self, **params):
        """Set the parameters of this transformer.

        Parameters
        ----------
        **params : dict
            Estimator parameters. Those of a fitted backbone cannot be set.

        Returns
        -------
        self : object
            The transformer.
        """
        check_backbone_stays(self, params)
        if self.__sklearn_is_fitted__():
            self._widths = {}
        return super().set_params(**params)

    def get_metadata_routing(self):
        """Return the metadata routing of this transformer.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            Router from `fit` and `fit_transform` to `fit` of the backbone.
        """
        router = MetadataRouter(owner=self)
        if trains_backbone(self):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            mapping.add(caller="fit_transform", callee="fit")
            router.add(backbone=self.backbone, method_mapping=mapping)
        return router

    def __copy__(self):
        return copy_shallow(self)

    def __getstate__(self):
        """Return the state with networks as plain data, each stored once."""
        state = dict(super().__getstate__())
        backbone, held = state.get("_backbone"), self._held_network()
        if backbone is not None and backbone.module is held:
            state["_backbone"] = replace(backbone, module=None)
        return with_stored_networks(state)

    def __setstate__(self, state):
        super().__setstate__(with_built_networks(state))
        backbone = vars(self).get("_backbone")
        if backbone is not None and backbone.module is None:
            self._backbone = replace(backbone, module=self._held_network())

    def _held_network(self):
        """Return the network of `estimator_` or `backbone`, or None."""
        if hasattr(self, "estimator_"):
            return self.estimator_.module_
        return self.backbone if isinstance(self.backbone, Module) else None

    def __sklearn_clone__(self):
        return clone_with_backbone(self)

    def __sklearn_is_fitted__(self):
        has_learnt = hasattr(self, "_backbone") or not needs_fit(self)
        return hasattr(self, "_widths") and has_learnt

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        learns = needs_fit(self)
        reads_files = (
            trains_backbone(self) and get_tags(self.backbone).input_tags.string
        )
        tags.requires_fit = learns
        tags.input_tags.three_d_array = True
        tags.input_tags.string = not learns or reads_files
        tags.target_tags.required = learns and isinstance(self.backbone, BaseEstimator)
        tags.transformer_tags.preserves_dtype = []
        return tags


def _key(layers, pooling):
    """Return the key in `_widths` of some layers and a pooling."""
    return f"{list(layers)} {pooling}"
