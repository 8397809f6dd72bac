"""Features of a backbone, looked up in a cache if there is one."""

from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch

from ..data import check_same_shape
from ..features import (
    ArraySource,
    CachedFeatures,
    FeatureCache,
    FeatureExtractor,
    FileSource,
    compute_features,
    explain_refused_shape,
    find_cache_folder,
)
from ..runtime import check_device, explain_out_of_memory
from .backbone_parameter import no_preprocessing

N_SHARED = 4


def asked_layers(transformer):
    """Return the names of the requested layers."""
    layer = transformer.layer
    return (layer,) if isinstance(layer, str) else tuple(layer)


def make_asked_extractor(transformer, backbone):
    """Return the extractor of the requested layers."""
    layers, layer = asked_layers(transformer), transformer.layer
    if not layers or not all(isinstance(layer, str) for layer in layers):
        raise ValueError(
            f"layer={layer!r}, expected the name of a layer or a list of names."
        )
    if len(set(layers)) < len(layers):
        raise ValueError(f"layer={layer!r} names a layer twice. Name each layer once.")
    return make_extractor(
        backbone,
        layers,
        is_shared=backbone.digest is not None,  # a module of the user may change
        pooling=transformer.pooling,
        device=transformer.device,
        precision=transformer.precision,
        compile=transformer.compile,
    )


def make_extractor(backbone, layers, *, is_shared=False, device, **options):
    """Return an extractor of some layers, which later calls reuse if it is shared."""
    make = _shared_extractor if is_shared else FeatureExtractor
    return make(
        backbone.module,
        layers,
        n_axes=len(backbone.input_shape) - 1,
        device=check_device(device),
        fill=backbone.preprocessing is None,
        input_shape=backbone.input_shape,
        **options,
    )


@lru_cache(maxsize=N_SHARED)
def _shared_extractor(module, layers, **options):
    """Return an extractor, the same one for the same arguments."""
    return FeatureExtractor(module, layers, **options)


def asked_features(transformer, X, backbone, extractor):
    """Return the features of each requested layer, and count cache hits and misses."""
    features, counts = extract_features(
        find_source(transformer, X, backbone, extractor.device, extractor.input_dtype),
        backbone,
        extractor,
        batch_size=transformer.batch_size,
        precision=transformer.precision,
        memory=transformer.memory,
        memory_bytes_limit=transformer.memory_bytes_limit,
    )
    if counts:
        known = getattr(transformer, "_counts", {})
        transformer._counts = {
            name: known.get(name, 0) + count for name, count in counts.items()
        }
    if features is None:  # no file could be read
        widths = feature_widths(backbone, extractor)
        features = [np.full((len(X), width), np.nan) for width in widths]
    return features


def network_input(transformer, X, backbone):
    """Return the preprocessed images of X, on the CPU."""
    cpu = torch.device("cpu")
    source = find_source(transformer, X, backbone, cpu, torch.float32)
    chunks = np.array_split(np.arange(len(X)), -(-len(X) // backbone.batch_size(cpu)))
    return torch.cat([batch for _, batch in source.batches(chunks)])


def find_source(transformer, X, backbone, device, dtype):
    """Return the source of the batches of X, an array or image files."""
    if isinstance(X, list):
        if backbone.preprocessing is None:
            raise no_preprocessing(backbone.name, X)
        on_error = transformer.on_error
        return FileSource(X, backbone.preprocessing, device, dtype, on_error)
    shape = getattr(transformer, "_sample_shape", None)
    check_same_shape(transformer, X, shape or X.shape[1:])
    scaling = backbone.scaling(X, transformer.image_shape, transformer.channel_axis)
    check_same_shape(transformer, X, scaling.layout.sample_shape)
    return ArraySource(X, scaling, device, dtype)


def extract_features(
    source,
    backbone,
    extractor,
    *,
    batch_size="auto",
    precision,
    memory,
    memory_bytes_limit=10 * 2**30,
):
    """Compute the features of a source, or look them up in the cache.

    Parameters
    ----------
    source : ArraySource or FileSource
        Images.

    backbone : FeatureBackbone
        Network and its preprocessing.

    extractor : FeatureExtractor
        Extractor of features of this network.

    batch_size, precision, memory, memory_bytes_limit
        See :class:`~skcnn.CNNFeatureTransformer`.

    Returns
    -------
    features : list of ndarray of shape (n_samples, n_features) or None
        Features of each layer, None if no file could be read.

    counts : dict
        Numbers of `hits` and `misses`, empty without a cache.
    """
    device, pooling = extractor.device, extractor.pooling
    if isinstance(batch_size, str):
        batch_size = backbone.batch_size(device)
    with _explain_failure(backbone, extractor, batch_size):
        if not wants_cache(memory):
            return compute_features(source, extractor, batch_size), {}
        cache = FeatureCache(find_cache_folder(memory), memory_bytes_limit)
        context = f"{backbone.context()} {pooling} {precision} {device}"
        cached = CachedFeatures(source, extractor, batch_size, cache, context)
        features = cached.compute()
    hits = cached.table.n_filled - cached.n_computed
    return features, {"misses": cached.n_computed, "hits": hits}


def feature_widths(backbone, extractor):
    """Return the number of features of each layer."""
    with _explain_failure(backbone, extractor, 1):
        return extractor.widths(backbone.input_shape)


@contextmanager
def _explain_failure(backbone, extractor, batch_size):
    """Explain errors if memory runs out or the network rejects the image size."""
    shape, side = backbone.input_shape, backbone.trained_side
    with (
        explain_refused_shape(extractor, shape, backbone.name, side),
        explain_out_of_memory(batch_size),
    ):
        yield


def wants_cache(memory):
    """Return whether `memory` is a folder or True."""
    is_truth_value = isinstance(memory, bool | np.bool_)
    return bool(memory) if is_truth_value else memory is not None
