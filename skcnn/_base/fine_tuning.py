"""Base class of the estimators that train a pretrained network further."""

from dataclasses import replace
from functools import partial

from sklearn.utils.validation import check_is_fitted

from ..backbones import FineTunedNetwork
from . import backbone_input
from .backbone_features import wants_cache
from .base_cnn import BaseCNN
from .head_training import PretrainedFeatures
from .shared_parameters import check_backbone_stays, clone_with_backbone

HEAD = ("head", 0)  # values of `trainable`


class BaseFineTunedCNN(BaseCNN):
    """Estimator that trains a pretrained network further.

    Warning: this class should not be used directly. Use its subclasses instead.

    A subclass has `fit`, `partial_fit` and `predict`, and provides `_Targets`. It may
    override `_Network`, the class of the network, and `_make_features()`, which returns
    the features that its head takes, or None if it takes no vectors.
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
    _auto_batch_sizes = (16, 128)  # smaller ones are too noisy for pretrained weights
    _crops_images = True  # or they are resized as a whole, whatever their proportions
    _features = None  # of the pretrained network, while they are needed

    @property
    def blocks_(self):
        """Names of the blocks of the network in the order in which they run."""
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
        """Whether features are all that training needs, and they are at hand."""
        is_plain = self.trainable in HEAD and self.augmentation is None
        return is_plain and self._features is not None

    @property
    def _predicts_from_features(self):
        """Whether only the head was trained, and features are looked up in a cache."""
        is_frozen = self.module_.layer_options["trainable"] in HEAD
        return is_frozen and self._features is not None

    def __getstate__(self):
        """Leave out the second network, without which images go through the first."""
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
        """Whether the head of a new network is trained alone before the others."""
        is_random = isinstance(self.backbone, str) and self.weights is None
        return bool(self.head_epochs) and not is_random

    @property
    def _layer_options(self):
        """Which layers are trained, and how."""
        names = "trainable", "lr_decay", "dropout"
        return {name: getattr(self, name) for name in names}

    def _prepare_net(self, net, samples=None):
        """Train the head of a new network alone; choose the layers of another one."""
        if samples is None:
            net.module_.choose_layers(**self._layer_options)
            return
        self._features.check_same(net.module_)
        self.head_loss_curve_ = []
        if self._trains_head_first:
            head = net.module_.head
            self.head_loss_curve_ = self._features.train_head(self, head, samples)

    def _finish_training(self):
        """Keep no second network, unless it looks up features in predictions."""
        features = vars(self).pop("_features", None)
        if features and self.trainable in HEAD and wants_cache(self.memory):
            features.release()
            self._features = features
        self._backbone = replace(self._backbone, module=None)

    def _resume_after_training(self):
        """Have what looks up features in predictions."""
        self._features = self._make_features()

    def _check_layer_options(self):
        """Raise an error if `partial_fit` would have to train other layers."""
        if not self.__sklearn_is_fitted__():
            return
        for name, before in self.module_.layer_options.items():
            now = getattr(self, name)
            if now != before:
                raise ValueError(
                    f"{name} is {now!r}, but partial_fit goes on with {before!r}. Set "
                    "it back, or call fit with warm_start=True, which starts the "
                    "optimiser again."
                )

    @property
    def _predict_batch_size(self):
        return self._backbone.batch_size(next(self.module_.parameters()).device)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = self.weights is not None
        return tags
