"""Base class of the estimators that fine-tune a pretrained network."""

from dataclasses import replace
from functools import partial

from sklearn.utils.validation import check_is_fitted

from ..backbones import FineTunedNetwork
from . import backbone_input
from .backbone_features import wants_cache
from .base_cnn import BaseCNN
from .head_training import PretrainedFeatures
from .shared_parameters import check_backbone_stays, clone_with_backbone

HEAD = ("head", 0)  # values of `trainable` that train only the head


class BaseFineTunedCNN(BaseCNN):
    """Base class of the estimators that fine-tune a pretrained network.

    Warning: this class should not be used directly. Use its subclasses instead.

    A subclass implements `fit`, `partial_fit` and `predict`, and provides `_Targets`.
    It may override `_Network`, the class of the network, and `_make_features()`, which
    returns the features for the head, or None if the head does not take vectors.
    """

    _Network = FineTunedNetwork

    _input = backbone_input
    _network_parameters = (
        "backbone",
        "weights",
        "preprocessing",
        "image_size",
        "image_shape",
        "channel_axis",
        "precision",
    )
    _auto_batch_sizes = (16, 128)  # smaller batches are too noisy for fine-tuning
    _crops_images = True  # otherwise, images are resized without cropping
    _features = None  # of the pretrained network, while they are needed

    @property
    def blocks_(self):
        """Names of the blocks of the network, in order of execution."""
        return self.module_.blocks

    @property
    def preprocessing_(self):
        """Published preprocessing, None if the scale of the pixels was learnt."""
        check_is_fitted(self)
        return self._backbone.preprocessing

    def set_params(self, **params):
        """Set the parameters of this estimator.

        Parameters
        ----------
        **params : dict
            Estimator parameters. Those of a fitted backbone cannot be set.

        Returns
        -------
        self : object
            The estimator.
        """
        check_backbone_stays(self, params)
        return super().set_params(**params)

    def __sklearn_clone__(self):
        return clone_with_backbone(self)

    @property
    def _trains_on_features(self):
        """Whether training needs only features, and they are available."""
        is_plain = self.trainable in HEAD and self.augmentation is None
        return is_plain and self._features is not None

    @property
    def _predicts_from_features(self):
        """Whether only the head was trained, and features are looked up in a cache."""
        is_frozen = self.module_.layer_options["trainable"] in HEAD
        return is_frozen and self._features is not None

    def __getstate__(self):
        """Return the state without `_features`, which hold a second network."""
        return {k: v for k, v in super().__getstate__().items() if k != "_features"}

    def _make_network(self):
        self._features = self._make_features()
        return partial(
            self._Network,
            self._backbone.module,
            self._backbone.input_shape,
            self._targets.n_outputs,
            **self._layer_options,
        )

    def _make_features(self):
        return PretrainedFeatures(self)

    @property
    def _trains_head_first(self):
        """Whether the head of a new network is trained alone first."""
        is_random = isinstance(self.backbone, str) and self.weights is None
        return bool(self.head_epochs) and not is_random

    @property
    def _layer_options(self):
        """Arguments of `choose_layers` of the network."""
        names = "trainable", "lr_decay", "dropout"
        return {name: getattr(self, name) for name in names}

    def _prepare_net(self, net, samples=None):
        """Train the head of a new network alone; set the layers of a fitted one."""
        if samples is None:
            net.module_.choose_layers(**self._layer_options)
            return
        self._features.check_same(net.module_)
        self.head_loss_curve_ = []
        if self._trains_head_first:
            head = net.module_.head
            self.head_loss_curve_ = self._features.train_head(self, head, samples)

    def _finish_training(self):
        """Remove the pretrained network, unless predictions look up its features."""
        features = vars(self).pop("_features", None)
        if features and self.trainable in HEAD and wants_cache(self.memory):
            features.release()
            self._features = features
        self._backbone = replace(self._backbone, module=None)

    def _resume_after_training(self):
        """Set the features that predictions look up."""
        self._features = self._make_features()

    def _check_layer_options(self):
        """Raise an error if `partial_fit` would need other layer options."""
        if not self.__sklearn_is_fitted__():
            return
        for name, before in self.module_.layer_options.items():
            now = getattr(self, name)
            if now != before:
                raise ValueError(
                    f"{name} is {now!r}, but partial_fit continues with {before!r}. "
                    "Set it back, or call fit with warm_start=True."
                )

    @property
    def _predict_batch_size(self):
        return self._backbone.batch_size(next(self.module_.parameters()).device)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = self.weights is not None
        return tags
