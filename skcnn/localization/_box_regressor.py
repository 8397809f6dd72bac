"""Regressor of one box per image that fine-tunes a pretrained network."""

from functools import partial

import numpy as np
from sklearn.base import _fit_context

from .._base import BaseFineTunedCNN, fitting
from .._base.head_training import PretrainedFeatures
from .._base.parameter_constraints import FINE_TUNING
from ..data import Samples
from . import box_input
from .average_precision import paired_iou
from .box_network import BoxNetwork, make_box_head
from .box_targets import N_SIDES, BoxTargets
from .image_sequence import image_sizes

N_HEAD_SAMPLES = 2000  # feature maps of more samples would fill the memory
FIXED = ("image_shape", "lr_schedule", "optimizer", "scoring", "warm_start")
FIXED += ("weight_averaging",)


class BoxRegressor(BaseFineTunedCNN):
    """Regressor of one box per image that fine-tunes a pretrained network.

    The head takes the last feature map with a stride of at most 16 pixels. Each
    position of the map proposes a box; the predicted box is their weighted mean. If y
    has several labels, the class of the object is predicted as well. The loss is the
    generalised intersection over union [1]_ plus the cross-entropy of the classes.

    Images are resized to the network's input size without cropping; their aspect ratio
    is not kept. Boxes are in pixels of the original images. In training, boxes follow
    geometric augmentations and are clipped to the image.

    X is an array of images, ``(n, H, W)`` or ``(n, H, W, C)``, or a sequence of image
    files, as for :class:`~skcnn.FineTunedRegressor`.

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="efficientnet_lite0"
        Network, as for :class:`~skcnn.FineTunedRegressor`.
    weights : str, path-like or None, default="default"
        Weights of a named backbone, as for :class:`~skcnn.FineTunedRegressor`.
    trainable : str or int, default="all"
        Layers that are trained, as for :class:`~skcnn.FineTunedRegressor`.
    dropout : float, default=0.0
        Probability, in [0, 1), that a value of the feature map is dropped in a training
        step.
    head_epochs : int, default=20
        Number of epochs in which only the head is trained, before the other layers, on
        at most 2,000 images. Ignored if a named backbone has random weights.
    augmentation : str, callable, list or None, default=None
        Random transformations of the training images, as for
        :class:`~skcnn.FineTunedRegressor`, without "mixup".
    lr : float, default=3e-4
        Learning rate of the head, the maximum of a one-cycle schedule.
    lr_decay : float, default=0.8
        Factor, in (0, 1], by which the learning rate falls from the head to the last
        block, and from each block to the previous one.
    weight_decay : float, default=0.01
        Strength of weight decay of AdamW.
    batch_size : int or "auto", default="auto"
        Maximum number of samples in a training step.
    max_epochs : int, default=10
        Maximum number of epochs.
    early_stopping : bool, default=False
        Whether to stop when the mean intersection over union of validation data does
        not improve, and to restore the weights of the best epoch.
    validation_fraction : float, default=0.1
        Fraction of the training data, in (0, 1), that early stopping holds out.
    n_iter_no_change : int, default=10
        Maximum number of epochs without an improvement of at least `tol`.
    tol : float, default=1e-4
        Minimum increase of the validation score that counts as an improvement.
    callbacks : list or tuple or None, default=None
        :class:`skorch.callbacks.Callback` instances.
    verbose : bool or int, default=0
        Whether to print a line for each epoch.
    device : str or torch.device, default="auto"
        Device, as for :class:`~skcnn.FineTunedRegressor`.
    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Precision of the computation.
    memory : str, path-like, bool or None, default=None
        Folder of the cache of feature maps for training the head alone.
    preprocessing : str, default="auto"
        Preprocessing of images, as for :class:`~skcnn.FineTunedRegressor`.
    image_size : int, tuple of int or None, default=None
        Height and width, in pixels, that images are resized to. None is the published
        size.
    channel_axis : int, None or "auto", default="auto"
        Axis of an array X that holds the channels.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of samples, held-out data, augmentation and dropout.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels of the boxes; 0 if y has none.
    module_ : torch.nn.Module
        Trained network, which maps the images of `to_input` to boxes, in fractions of
        width and height, and logits of the classes.
    net_ : skorch.NeuralNet
        skorch net that trained `module_`.
    blocks_ : tuple of str
        Names of the blocks of the network, in order of execution.
    head_loss_curve_ : list of float
        Mean training loss of each epoch in which only the head is trained.
    history_ : skorch.history.History
        One row for each epoch, with `epoch`, `train_loss` and `dur` (seconds); with
        validation data also `valid_loss` and `valid_score`.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    validation_scores_ : list of float or None
        Mean intersection over union of the validation data after each epoch. None
        without validation data.
    best_validation_score_ : float or None
        Maximum of `validation_scores_`.
    n_iter_ : int
        Number of epochs trained.
    preprocessing_ : skcnn.backbones.Preprocessing or None
        Published preprocessing, None if the scale of the pixels was learnt.

    See Also
    --------
    ActivationLocalizer : Localizer that is trained without boxes.
    SlidingWindowDetector : Detector of any number of objects per image.

    References
    ----------
    .. [1] H. Rezatofighi et al., "Generalized intersection over union: a metric and a
       loss for bounding box regression", CVPR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.localization import BoxRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 90, size=(24, 64, 64, 3), dtype=np.uint8)
    >>> low = rng.integers(0, 32, size=(24, 2))
    >>> y = np.hstack([low, low + 32])
    >>> for image, (left, top, right, bottom) in zip(X, y):
    ...     image[top:bottom, left:right] = 255
    >>> reg = BoxRegressor(
    ...     image_size=64, trainable="head", max_epochs=1, random_state=0
    ... )
    >>> reg.set_params(head_epochs=100).fit(X[:16], y[:16]).predict(X[16:]).shape
    (8, 4)
    """

    _parameter_constraints = {k: v for k, v in FINE_TUNING.items() if k not in FIXED}
    _input = box_input
    _Targets = BoxTargets
    _Network = BoxNetwork
    _crops_images = False
    image_shape, lr_schedule, optimizer = None, "one_cycle", "adamw"
    scoring, warm_start, weight_averaging = None, False, None

    def __init__(
        self,
        backbone="efficientnet_lite0",
        *,
        weights="default",
        trainable="all",
        dropout=0.0,
        head_epochs=20,
        augmentation=None,
        lr=3e-4,
        lr_decay=0.8,
        weight_decay=0.01,
        batch_size="auto",
        max_epochs=10,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        callbacks=None,
        verbose=0,
        device="auto",
        precision="float32",
        memory=None,
        preprocessing="auto",
        image_size=None,
        channel_axis="auto",
        random_state=None,
    ):
        self.backbone = backbone
        self.weights = weights
        self.trainable = trainable
        self.dropout = dropout
        self.head_epochs = head_epochs
        self.augmentation = augmentation
        self.lr = lr
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.memory = memory
        self.preprocessing = preprocessing
        self.image_size = image_size
        self.channel_axis = channel_axis
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fine-tune the network on images with one box each.

        Parameters
        ----------
        X : array-like or sequence of image files
            Training images.
        y : array-like of shape (n_samples, 4), list of dict or data frame
            Box of each image, in pixels; dicts, and the data frame of
            :func:`stack_boxes`, may have labels.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None weights all samples equally.
        X_val, y_val, sample_weight_val : array-like or None, default=None
            Validation data, like X, y and `sample_weight`.

        Returns
        -------
        self : object
            The fitted regressor.

        Raises
        ------
        ValueError, TypeError, MemoryError
            If data or parameters are not valid, an image has none or several boxes, the
            loss diverges, or a batch does not fit in memory.
        """
        with fitting(self, X, y, sample_weight, keep=False) as task:
            samples = task.check()
            samples, held_out = task.split(samples, X_val, y_val, sample_weight_val)
            task.prepare(samples)
            task.train(samples, held_out)
        return self

    def _make_features(self):
        """Return None: features of this head are never looked up in predictions."""

    def _prepare_net(self, net, samples=None):
        """Train the head alone on feature maps."""
        self.head_loss_curve_ = []
        if not self._trains_head_first:
            return
        known = PretrainedFeatures(self, net.module_.map_layer, pooling=None)
        rows = np.arange(len(samples)) if samples.rows is None else samples.rows
        rows = rows[:N_HEAD_SAMPLES]
        weights = None if samples.weights is None else samples.weights[: len(rows)]
        few = Samples(samples.X[rows], samples.targets[: len(rows)], weights)
        head = net.module_.head
        make = partial(
            make_box_head, head[-1].map_shape, self._targets.n_outputs, self.dropout
        )
        trained = known.train_alone(self, make, known.of(self, few.X), few)
        head.load_state_dict(trained.module_.state_dict())
        self.head_loss_curve_ = [row["train_loss"] for row in trained.history]

    def predict(self, X):
        """Predict the box of each image.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images. Those in an array must have the shape seen in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, 4)
            Left, top, right and bottom side of each box, in pixels, clipped to the
            image.
        """
        fractions = self._outputs(X)[:, :N_SIDES].clip(0, 1)
        return fractions * np.tile(image_sizes(X, self.channel_axis), 2)

    def predict_labels(self, X):
        """Predict the label of the object in each image.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        outputs = self._outputs(X)[:, N_SIDES:]
        if not outputs.shape[1]:
            return np.repeat(self.classes_, len(outputs))
        return self.classes_[outputs.argmax(axis=1)]

    def score(self, X, y, sample_weight=None):
        """Return the mean intersection over union of boxes.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images.
        y : array-like of shape (n_samples, 4), list of dict or data frame
            Box of each image, as in `fit`.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples.

        Returns
        -------
        float
            Value in [0, 1].
        """
        targets = box_input.one_box_each(y, image_sizes(X, self.channel_axis))
        boxes = np.concatenate([target["boxes"] for target in targets])
        overlap = paired_iou(self.predict(X), boxes)
        return float(np.average(overlap, weights=sample_weight))
