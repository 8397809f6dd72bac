"""Base class of the estimators that train a pretrained network further."""

from dataclasses import replace
from functools import partial

from sklearn.utils.validation import check_is_fitted

from ..backbones import FineTunedNetwork
from . import backbone_input
from .base_cnn import BaseCNN
from .head_training import PretrainedFeatures
from .shared_parameters import check_backbone_stays, clone_with_backbone


class BaseFineTunedCNN(BaseCNN):
    """Estimator that trains a pretrained network further.

    Warning: this class should not be used directly. Use its subclasses instead.

    A subclass has `fit`, `partial_fit` and `predict`, and provides `_Targets`.
    """

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
    _features = None  # of the pretrained network, during the first training

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
        is_head = self.trainable in ("head", 0) and self.augmentation is None
        return is_head and self._features is not None

    def _make_network(self):
        self._features = PretrainedFeatures(self)
        return partial(
            FineTunedNetwork,
            self._backbone.module,
            self._backbone.input_shape,
            self._targets.n_outputs,
            **self._layer_options,
        )

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
        is_random = isinstance(self.backbone, str) and self.weights is None
        if self.head_epochs and not is_random:
            head = net.module_.head
            self.head_loss_curve_ = self._features.train_head(head, samples)

    def _finish_training(self):
        """Keep no second network: `net_` has one."""
        vars(self).pop("_features", None)
        self._backbone = replace(self._backbone, module=None)

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
