"""Networks of the package's estimators, also inside pipelines and searches."""

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from .._base import BaseCNN
from .._base.backbone_features import find_source, make_asked_extractor
from .._base.backbone_parameter import known_backbone
from .._feature_transformer import CNNFeatureTransformer
from ..backbones import layer_table
from ..backbones.running_order import close_names

# Attributes in which fitted searches and other meta-estimators keep their estimator.
INNER = ("best_estimator_", "estimator_", "regressor_")
BATCH_SIZE = 32


@dataclass(frozen=True)
class FoundNetwork:
    """Fitted estimator of the package, and the pipeline steps around it.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator or transformer of the package.

    before, after : list of estimators, default=()
        Pipeline steps that run before and after the estimator.

    Attributes
    ----------
    module : torch.nn.Module
        Network, which must not be modified.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of a sample as the network takes it.

    preprocessing : skcnn.backbones.Preprocessing or None
        Published preprocessing; None if the pixel scale was learnt from data.
    """

    estimator: BaseEstimator
    before: tuple = ()
    after: tuple = ()

    @property
    def is_transformer(self):
        """Whether the estimator is a `CNNFeatureTransformer`."""
        return isinstance(self.estimator, CNNFeatureTransformer)

    @property
    def module(self):  # noqa: D102
        return self.estimator.module_

    @property
    def input_shape(self):  # noqa: D102
        if self.is_transformer:
            return known_backbone(self.estimator).input_shape
        return self.estimator._input.input_shape(self.estimator)

    @property
    def preprocessing(self):  # noqa: D102
        if self.is_transformer:
            return known_backbone(self.estimator).preprocessing
        return getattr(self.estimator, "preprocessing_", None)

    @property
    def scale(self):
        """Mean and scale by which each channel is standardised."""
        if self.preprocessing is not None:
            return np.array(self.preprocessing.mean), np.array(self.preprocessing.std)
        holder = self.estimator
        if self.is_transformer:
            scaler = known_backbone(holder).scaler
        else:
            scaler = holder.scaler_
        return scaler.mean_, scaler.scale_

    def prepared(self, X):
        """Transform X by the steps before the estimator.

        Parameters
        ----------
        X : array-like or sequence of image files
            Input of the outermost estimator.

        Returns
        -------
        array-like or sequence of image files
            Input of the estimator.
        """
        for step in self.before:
            X = step.transform(X)
        return X

    def batches(self, X, batch_size=BATCH_SIZE):
        """Yield the input of the network, batch by batch.

        Parameters
        ----------
        X : array-like or sequence of image files
            Input of the outermost estimator.

        batch_size : int, default=32
            Number of samples of a batch.

        Yields
        ------
        torch.Tensor of shape (n, *input_shape)
            Scaled samples in the order of X, on the device of the network.
        """
        X = self.prepared(X)
        read = _read_of_transformer if self.is_transformer else _read_of_estimator
        yield from read(self.estimator, X, batch_size)

    @cached_property
    def layers_with_maps(self):
        """Layers that return feature maps in order of execution, blocks first."""
        n_axes = len(self.input_shape) - 1
        table = layer_table(self.module, self.input_shape)
        return [row for row in table if len(row.output_shape or ()) == 1 + n_axes]


def find_network(est):
    """Find the estimator of the package in a pipeline or meta-estimator.

    Parameters
    ----------
    est : BaseEstimator
        Fitted estimator or transformer of the package, or a pipeline, a search or
        another meta-estimator with one.

    Returns
    -------
    FoundNetwork
        The estimator and the steps around it.

    Raises
    ------
    TypeError
        If `est` contains no estimator of the package, or one that takes sentences.

    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skcnn import CNNClassifier
    >>> from skcnn.inspection.networks import find_network
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = CNNClassifier(image_shape=(8, 8), max_epochs=1)
    >>> pipeline = make_pipeline(MinMaxScaler(), clf).fit(X[:100], y[:100])
    >>> find_network(pipeline).input_shape
    (1, 8, 8)
    """
    found = find_estimator(est)
    if found is None:
        raise TypeError(
            f"{type(est).__name__} has no network, expected a fitted CNNClassifier, "
            "CNNRegressor, FineTunedClassifier, FineTunedRegressor or "
            "CNNFeatureTransformer, or a Pipeline or search with one."
        )
    if not get_tags(found.estimator).input_tags.three_d_array:
        raise TypeError(
            f"{type(found.estimator).__name__} takes sentences, expected an estimator "
            "of images. Use its own methods `explain` and `top_ngrams`."
        )
    check_is_fitted(found.estimator)
    return found


def find_estimator(est):
    """Return the estimator of the package inside another, None if there is none.

    Parameters
    ----------
    est : BaseEstimator
        Any estimator, fitted or not.

    Returns
    -------
    FoundNetwork or None
        The estimator, which may take sentences, and the steps around it.
    """
    if isinstance(est, (BaseCNN, CNNFeatureTransformer)):
        return FoundNetwork(est)
    inner = innermost(est)
    if isinstance(inner, Pipeline):
        return _find_step([step for _, step in inner.steps])
    return None if inner is est else find_estimator(inner)


def innermost(est):
    """Unwrap frozen estimators, fitted searches and other meta-estimators.

    Parameters
    ----------
    est : BaseEstimator
        Any estimator.

    Returns
    -------
    BaseEstimator
        The inner estimator, or `est` itself if there is none.
    """
    if isinstance(est, FrozenEstimator):
        return innermost(est.estimator)
    held = [getattr(est, name) for name in INNER if hasattr(est, name)]
    is_own = isinstance(est, (BaseCNN, CNNFeatureTransformer))
    return innermost(held[0]) if held and not is_own else est


def _find_step(steps):
    """Return the first estimator of the package among steps of a pipeline."""
    steps = [step for step in steps if step not in (None, "passthrough")]
    for index, step in enumerate(steps):
        found = find_estimator(step)
        if found is not None:
            before = (*steps[:index], *found.before)
            return FoundNetwork(
                found.estimator, before, (*found.after, *steps[index + 1 :])
            )
    return None


def _read_of_estimator(estimator, X, batch_size):
    """Yield the batches of an estimator that trains a network."""
    device = next(estimator.module_.parameters()).device
    for part in estimator._input.check_parts(estimator, X):
        images = estimator._input.network_input(estimator, part, device)
        for start in range(0, len(part), batch_size):
            yield images.take(slice(start, min(start + batch_size, len(part))))


def _read_of_transformer(transformer, X, batch_size):
    """Yield the batches of a transformer; raise an error for unreadable files."""
    transformer = copy.copy(transformer)
    transformer.on_error = "raise"
    X = transformer._check_images(X, reset=False)
    backbone = known_backbone(transformer)
    extractor = make_asked_extractor(transformer, backbone)
    device, dtype = extractor.device, extractor.input_dtype
    source = find_source(transformer, X, backbone, device, dtype)
    starts = range(0, len(X), batch_size)
    chunks = (np.arange(i, min(i + batch_size, len(X))) for i in starts)
    for _, batch in source.batches(chunks):
        yield batch


def find_part(module, name):
    """Return the part of a network with the given name.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    name : str
        Name from ``module.named_modules()``.

    Returns
    -------
    torch.nn.Module
        The part.

    Raises
    ------
    ValueError
        If there is no such part; the message suggests similar names.
    """
    parts = dict(module.named_modules())
    if name and name in parts:
        return parts[name]
    raise ValueError(
        f"layer={name!r} is not a part of the network. Similar names are "
        f"{close_names(str(name), [part for part in parts if part])}; "
        "module_.named_modules() lists all."
    )


def is_convolution(part):
    """Return whether a part of a network is a convolution with filters."""
    return isinstance(part, torch.nn.modules.conv._ConvNd)
