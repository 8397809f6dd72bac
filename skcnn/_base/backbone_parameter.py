"""Validation and loading of `backbone` and related parameters."""

import torch
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import process_routing
from torch import nn

from ..backbones import (
    WeightsError,
    find_backbone,
    find_referred,
    load_backbone,
    usual_folders,
)
from ..data import ChannelScaler, check_one_shape, find_layout
from ..modules import build_module
from ..runtime import PrivateRandomness, make_generator, usual_torch
from .base_cnn import MAX_SEED, BaseCNN
from .feature_backbone import FeatureBackbone, pretrained_backbone
from .shared_parameters import is_fitted_estimator

N_UNUSED_OUTPUTS = 10


def needs_fit(estimator):
    """Return whether the backbone needs fitting before it computes features."""
    if isinstance(estimator.backbone, str):
        return estimator.weights is None
    if isinstance(estimator.backbone, nn.Module):
        return estimator.preprocessing == "auto"
    return not is_fitted_estimator(estimator.backbone)


def is_own(name):
    """Return whether a named network is one of the package's own."""
    return find_backbone(name).library == "skcnn"


def backbone_name(backbone):
    """Return the name of a backbone for messages and feature names."""
    if isinstance(backbone, str):
        return backbone.rpartition("/")[2]
    if isinstance(backbone, FrozenEstimator):
        backbone = backbone.estimator
    return type(backbone).__name__.lower()


def check_uses(estimator):
    """Raise an error if the backbone is unsuitable or a parameter would be ignored."""
    backbone = estimator.backbone
    if isinstance(backbone, torch.jit.ScriptModule):
        raise TypeError(
            "backbone is a TorchScript module, whose layers cannot be run one by one. "
            "Pass the original torch.nn.Module."
        )
    inner = getattr(backbone, "estimator", backbone)  # of a FrozenEstimator
    if isinstance(inner, BaseCNN) and not get_tags(inner).input_tags.three_d_array:
        raise TypeError(
            f"backbone is a {type(inner).__name__}, which takes sentences, expected "
            "an estimator of images. Use its own method `transform`."
        )
    name, is_named = backbone_name(backbone), isinstance(backbone, str)
    if estimator.weights not in (None, "default") and not is_named:
        raise ValueError(
            f"weights={estimator.weights!r} is for a named backbone, but {name} has "
            "its own weights. Leave weights out."
        )
    if estimator.preprocessing != "auto" and not isinstance(backbone, nn.Module):
        raise ValueError(
            f"preprocessing={estimator.preprocessing!r} is for a torch.nn.Module, but "
            f"the preprocessing of {name} is known. Leave preprocessing out."
        )
    is_scaled = not is_named or (estimator.weights is None and is_own(backbone))
    if (
        estimator.image_size is not None
        and is_scaled
        and estimator.preprocessing == ("auto")
    ):
        raise ValueError(
            f"image_size={estimator.image_size} is given, but {name} does not resize "
            "images. Leave image_size out."
        )


def ready_backbone(estimator, weights="default"):
    """Return a backbone that needs no fitting, a named one with `weights`."""
    backbone, name = estimator.backbone, backbone_name(estimator.backbone)
    if isinstance(backbone, nn.Module):
        published = find_backbone(estimator.preprocessing).preprocessing
        if published is None:
            raise ValueError(
                f"preprocessing={estimator.preprocessing!r} is a network without "
                "published preprocessing. Set another one, such as 'resnet18'."
            )
        return pretrained_backbone(name, backbone, published, estimator.image_size)
    if isinstance(backbone, str):
        loaded = load_backbone(backbone, weights)
        return pretrained_backbone(
            name,
            loaded.module,
            loaded.preprocessing,
            estimator.image_size,
            digest=loaded.digest,
            class_names=loaded.class_names,
        )
    return trained_backbone(getattr(backbone, "estimator", backbone))


def trained_backbone(estimator):
    """Return the network of a fitted estimator."""
    return FeatureBackbone(
        backbone_name(estimator),
        estimator.module_,
        getattr(estimator, "preprocessing_", None),
        getattr(estimator, "scaler_", None),
    )


def trains_backbone(estimator):
    """Return whether the backbone is an estimator that `fit` trains."""
    is_fitted = is_fitted_estimator(estimator.backbone)
    return isinstance(estimator.backbone, BaseCNN) and not is_fitted


def _train_backbone(transformer, X, y, fit_params):
    """Return a clone of the backbone, fitted to X and y."""
    backbone = transformer.backbone
    if isinstance(X, list) and not get_tags(backbone).input_tags.string:
        raise no_preprocessing(backbone_name(backbone), X)
    estimator = clone(backbone)
    if transformer.random_state is not None:
        estimator.set_params(random_state=draw_seed(transformer))
    return estimator.fit(X, y, **fit_params)


def draw_seed(estimator):
    """Draw a seed from `random_state`."""
    return check_random_state(estimator.random_state).randint(MAX_SEED)


def backbone_to_learn(estimator, X, seed):
    """Return a network with random weights, or with a scale learnt from X.

    X is a validated array, or a list of image files.
    """
    backbone = module = estimator.backbone
    name = backbone_name(backbone)
    if isinstance(backbone, str) and not is_own(backbone):
        with PrivateRandomness(make_generator(seed)):
            loaded = load_backbone(backbone, None)
        published = loaded.preprocessing
        return pretrained_backbone(name, loaded.module, published, estimator.image_size)
    if isinstance(X, list):
        raise no_preprocessing(name, X)
    layout = find_layout(X.shape[1:], estimator.image_shape, estimator.channel_axis)
    if isinstance(backbone, str):
        with PrivateRandomness(make_generator(seed)):
            module = build_module(backbone, layout.input_shape, N_UNUSED_OUTPUTS)
    return FeatureBackbone(name, module, scaler=ChannelScaler(layout).fit(X))


def learn_backbone(transformer, X, y, fit_params):
    """Return the backbone of a transformer, fitted to X and y."""
    check_uses(transformer)
    backbone = transformer.backbone
    if trains_backbone(transformer):
        transformer.estimator_ = _train_backbone(transformer, X, y, fit_params)
        return trained_backbone(transformer.estimator_)
    if isinstance(backbone, BaseEstimator):
        raise TypeError(
            f"backbone is a {type(backbone).__name__}, expected the name of a network, "
            "a torch.nn.Module, or an estimator of skcnn."
        )
    seed = draw_seed(transformer) if isinstance(backbone, str) else None
    return backbone_to_learn(transformer, X, seed)


@usual_torch()
def known_backbone(transformer):
    """Return the backbone of a transformer, fitted or loaded."""
    if hasattr(transformer, "_backbone"):
        return transformer._backbone
    check_uses(transformer)
    weights, seen = transformer.weights, getattr(transformer, "_seen", None)
    if seen is None or (seen["backbone"], seen["weights"]) != _names(transformer):
        return ready_backbone(transformer, weights)
    found = find_referred(seen["reference"], transformer.backbone)
    if found is not None:
        return ready_backbone(transformer, found)
    return _saved_anew(transformer, seen)


def _names(transformer):
    """Return the names of the backbone and its weights."""
    return transformer.backbone, str(transformer.weights)


def _saved_anew(transformer, seen):
    """Load the backbone, and check that the weights are those of fit."""
    weights, reference = transformer.weights, seen["reference"]
    folders = ", ".join(map(str, usual_folders()))
    where = f"SHA-256 {reference.sha256}, neither at {reference.name} nor in {folders}"
    try:
        backbone = ready_backbone(transformer, weights)
    except WeightsError as error:
        raise WeightsError(
            f"There is no weights file {weights} with the {where}. Put it in one of "
            "these folders, or fit with store_weights=True."
        ) from error
    if backbone.digest != seen["digest"]:
        raise WeightsError(
            f"The weights file {weights} has changed since fit, and no file has the "
            f"{where}. Restore it, or fit again."
        )
    return backbone


def route_fit_params(transformer, fit_params):
    """Return the parameters that are passed to `fit` of the backbone."""
    trains = trains_backbone(transformer)
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(transformer, "fit", **fit_params)
        return routed.backbone.fit if trains else {}
    if fit_params and not trains:
        raise TypeError(
            f"fit got {', '.join(fit_params)}, which only an unfitted estimator uses, "
            f"but {backbone_name(transformer.backbone)} is not trained. Leave it out."
        )
    return fit_params


def no_preprocessing(name, sources):
    """Return an error about image files for a network without preprocessing."""
    check_one_shape(sources)
    return ValueError(
        f"X holds image files, but {name} has no published preprocessing. Pass an "
        "array. For a torch.nn.Module, you can also set preprocessing, for example to "
        "'resnet18'."
    )
