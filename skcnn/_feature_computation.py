"""From images to features, for CNNFeatureTransformer."""

from collections import Counter
from functools import lru_cache

import numpy as np
from sklearn.utils.validation import _check_feature_names

from ._feature_backbones import (
    cached_features,
    check_uses,
    explain_failure,
    feature_widths,
    no_preprocessing,
    ready_backbone,
    wants_cache,
)
from .backbones import WeightsError, is_weights_file
from .data import as_image_list, check_image_array, check_same_shape, is_image_files
from .features import ArraySource, FeatureExtractor, FileSource, compute_features
from .runtime import check_device, usual_torch

N_EXTRACTORS = 4


class FeatureComputation:
    """What `transform` does, by the parameters of CNNFeatureTransformer.

    Warning: this class is not meant to be used, CNNFeatureTransformer is.
    """

    @usual_torch()
    def _transform(self, X):
        """Return the features of what is no dask array."""
        X = self._check_images(X, reset=False)
        backbone = self._find_backbone()
        extractor = self._make_extractor(backbone)
        source = self._make_source(X, backbone, extractor)
        features = self._compute(source, backbone, extractor)
        if hasattr(self, "_widths"):
            asked = extractor.layers, extractor.pooling
            self._widths[asked] = [part.shape[1] for part in features]
        return features[0] if len(features) == 1 else np.hstack(features)

    def _transform_lazily(self, X):
        """Return a dask array of the features of a dask array."""
        X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
        n_features = len(self.get_feature_names_out())

        def transform(block):
            if len(block) == 0:
                return np.empty((0, n_features), self._output_dtype)
            return self._transform(block)

        return X.map_blocks(
            transform,
            dtype=self._output_dtype,
            drop_axis=list(range(1, X.ndim)),
            new_axis=[1],
            chunks=(X.chunks[0], (n_features,)),
            meta=np.empty((0, n_features), self._output_dtype),
        )

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

    @usual_torch()
    def _find_backbone(self):
        """Return the network and its preprocessing."""
        if hasattr(self, "_backbone"):
            return self._backbone
        self._check_uses()
        backbone = ready_backbone(
            self.backbone, self.weights, self.preprocessing, self.image_size
        )
        self._check_file(backbone)
        return backbone

    def _check_file(self, backbone):
        """Raise an error where a file does not hold the weights that fit saw."""
        *seen_from, digest = getattr(self, "_seen", (None,))
        is_seen = seen_from == [self.backbone, self.weights]
        if is_seen and digest != backbone.digest and is_weights_file(self.weights):
            raise WeightsError(
                f"weights={self.weights!r} holds other weights than it did in fit, and "
                "whatever learnt from the features of those would get features of "
                "these. Put the former file back, or fit again."
            )

    def _check_uses(self):
        """Raise an error where the backbone has no use for a parameter."""
        check_uses(self.backbone, self.weights, self.preprocessing, self.image_size)

    def _make_extractor(self, backbone):
        """Return the network cut at the layers that are asked for."""
        layers = self._layers()
        if not layers or not all(isinstance(layer, str) for layer in layers):
            raise ValueError(
                f"layer={self.layer!r} is neither the name of a layer nor a list of "
                "names."
            )
        if len(set(layers)) < len(layers):
            raise ValueError(
                f"layer={self.layer!r} names a layer twice. Leave one of them out."
            )
        is_shared = backbone.digest is not None  # others may be changed
        return (_shared_extractor if is_shared else FeatureExtractor)(
            backbone.module,
            layers,
            pooling=self.pooling,
            n_axes=len(backbone.input_shape) - 1,
            device=check_device(self.device),
            precision=self.precision,
            compile=self.compile,
            fill=backbone.preprocessing is None,
            input_shape=backbone.input_shape,
        )

    def _layers(self):
        """Return the layers that are asked for."""
        return (self.layer,) if isinstance(self.layer, str) else tuple(self.layer)

    def _make_source(self, X, backbone, extractor):
        """Return where the batches of X come from."""
        device, dtype = extractor.device, extractor.input_dtype
        if isinstance(X, list):
            if backbone.preprocessing is None:
                raise no_preprocessing(backbone.name, X)
            return FileSource(X, backbone.preprocessing, device, dtype, self.on_error)
        check_same_shape(self, X, getattr(self, "_sample_shape", None) or X.shape[1:])
        scaling = backbone.scaling(X, self.image_shape, self.channel_axis)
        check_same_shape(self, X, scaling.layout.sample_shape)
        return ArraySource(X, scaling, device, dtype)

    def _compute(self, source, backbone, extractor):
        """Return the features of each layer, from the cache where there is one."""
        batch_size = self._batch_size(backbone, extractor.device)
        with explain_failure(backbone, extractor, batch_size):
            if not wants_cache(self.memory):
                features = compute_features(source, extractor, batch_size)
            else:
                features = self._look_up(source, backbone, extractor, batch_size)
        if features is None:  # not one file could be read
            widths = feature_widths(backbone, extractor)
            features = [np.full((len(source), width), np.nan) for width in widths]
        return [part.astype(self._output_dtype, copy=False) for part in features]

    def _look_up(self, source, backbone, extractor, batch_size):
        """Return features from the cache, those computed that it does not hold."""
        cached = cached_features(
            source,
            backbone,
            extractor,
            batch_size,
            self.precision,
            self.memory,
            self.memory_bytes_limit,
        )
        features = cached.compute()
        counts = vars(self).setdefault("_counts", Counter())
        counts["misses"] += cached.n_computed
        counts["hits"] += cached.table.n_filled - cached.n_computed
        return features

    def _batch_size(self, backbone, device):
        """Return the number of images of one forward pass."""
        if not isinstance(self.batch_size, str):
            return self.batch_size
        return backbone.batch_size(device)

    @property
    def _output_dtype(self):
        return np.float64 if self.precision == "float64" else np.float32

    @usual_torch()
    def _layer_widths(self):
        """Return the number of features of each layer."""
        layers = self._layers()
        widths = getattr(self, "_widths", {}).get((layers, self.pooling))
        if widths is None:
            backbone = self._find_backbone()
            widths = feature_widths(backbone, self._make_extractor(backbone))
        return dict(zip(layers, widths, strict=True))


@lru_cache(maxsize=N_EXTRACTORS)
def _shared_extractor(module, layers, **options):
    """Return the extractor that earlier calls of this process made, if they did."""
    return FeatureExtractor(module, layers, **options)
