"""Classifier that fine-tunes a pretrained network."""

from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils.multiclass import _check_partial_fit_first_call

from ._base import BaseFineTunedCNN, ClassTargets, check_partial_fit, fitting
from ._base.parameter_constraints import CLASSIFICATION, FINE_TUNING


class FineTunedClassifier(ClassifierMixin, BaseFineTunedCNN):
    """Classifier that fine-tunes a pretrained convolutional neural network.

    The last layer of the network is replaced by a new head. The head is trained
    alone first, then together with the trainable layers, at smaller learning rates
    for earlier layers.

    X is an array, or a CPU torch tensor, of images; or a sequence of image files: a
    list, array, Series or one-column data frame of paths, :class:`os.PathLike`, PIL
    images or encoded bytes. Files are decoded once.

    ==================================  ========================================
    shape of an array X                 read as
    ==================================  ========================================
    ``(n, H, W)``                       grey images
    ``(n, H, W, C)``, ``(n, C, H, W)``  images with channels, by `channel_axis`
    ``(n, L)``                          with `image_shape`, flattened images
    ==================================  ========================================

    Networks without published preprocessing also take signals, ``(n, L)``, and
    volumes, if their layers accept them.

    Pixels of arrays must be in the range of their dtype: 0–255 for uint8, 0–65535 for
    uint16, 0–1 for floats and booleans, 0–255 for other integers. They may have any
    range if the scale is learnt (see `preprocessing`).

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="efficientnet_lite0"
        Network: "efficientnet_lite0", whose weights are installed with the package;
        another name of :func:`skcnn.list_backbones` (torchvision's classification
        networks, ``"timm/<name>"``, the package's own); a :class:`torch.nn.Module`;
        or a fitted estimator of this package, which is not changed.
    weights : str, path-like or None, default="default"
        Weights of a named backbone: "default", the best published set; the name of
        a set, such as "IMAGENET1K_V1"; a safetensors or state-dict file, read
        without running code; or None, random weights.
    trainable : str or int, default="head"
        Trainable layers: "head", the new last layer; "all"; the name of a layer of
        ``module_.backbone``, for this and all later layers; or the number of the last
        `blocks_` that are trained with the head. Frozen layers are not modified.
        Batch-norm statistics of a pretrained network are never updated.
    dropout : float, default=0.0
        Probability, in [0, 1), that an input of the head is dropped in a training
        step. It replaces the last dropout of the backbone.
    head_epochs : int, default=20
        Number of epochs in which only the head is trained, before the other layers
        [1]_, on features that are computed once. Ignored if a named backbone has
        random weights.
    augmentation : str, callable, list or None, default=None
        Random transformations of the training images: a preset ("light", "standard"
        or "strong"; "light" does not mirror images), the name of an augmentation of
        `skcnn.data.augmentation` ("shift", "flip", "rotation", "cutout", "mixup",
        ...), an instance, a function that maps ``(batch, generator)`` to a batch, or
        a list of these.
    optimizer : str or type, default="adamw"
        Optimiser: "adamw", "adam", "nadam", "radam", "rmsprop", "adagrad", "sgd"
        (with a Nesterov momentum of 0.9), "muon" (:class:`skcnn.training.Muon`), or
        a :class:`torch.optim.Optimizer` class.
    lr : float, default=1e-4
        Learning rate of the head, the maximum of the schedule.
    lr_decay : float, default=0.8
        Factor, in (0, 1], by which the learning rate falls from the head to the last
        block, and from each block to the previous one [2]_.
    lr_schedule : str, callable or None, default="one_cycle"
        Schedule of the learning rate over `max_epochs`, even if early stopping ends
        training earlier.

        - "one_cycle" rises for a quarter of training, then falls to 0 [3]_.
        - "cosine" and "linear" fall from `lr` to 0.
        - "step" divides the rate by 10 after one half and three quarters of training.
        - "plateau" divides the rate by 5 after three epochs in which the validation
          score, or the training loss without validation data, does not improve by
          `tol`.
        - "constant" or None is `lr` in all epochs.
        - A function maps the progress of training, in [0, 1), to a factor of `lr`.
    weight_decay : float, default=0.01
        Strength of weight decay.
    weight_averaging : {"swa", "ema"} or None, default=None
        Average that replaces the weights at the end of `fit`: "swa", over the last
        quarter of the epochs [4]_; "ema", an exponential moving average over about
        one epoch [5]_.
    batch_size : int or "auto", default="auto"
        Maximum number of samples in a training step. "auto" is the power of two near
        ``n_samples / 40``, between 16 and 128, and is halved, down to 4, if a batch
        does not fit in memory.
    max_epochs : int, default=10
        Maximum number of epochs.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, by label. "balanced" weights are inversely proportional
        to the class frequencies, weighted by the sample weights. For an indicator
        matrix, a dict has the weights of 0 and 1, and a list has one such dict for
        each column; the weights of the columns are multiplied.
    label_smoothing : float, default=0.0
        Fraction of the target, in [0, 1), that is spread over all classes in the
        training loss.
    early_stopping : bool, default=False
        Whether to stop when the validation score does not improve, and to restore the
        weights of the best epoch. Ties are broken by the validation loss. Validation
        data are passed to `fit`, or held out of the training data.
    scoring : str, callable or None, default=None
        Score of the validation data: a scikit-learn scorer or its name, such as
        "balanced_accuracy"; "loss", the negative loss; None, the accuracy. A callable
        is called as ``scoring(estimator, X, y)``, with the network's outputs as X.
    validation_fraction : float, default=0.1
        Fraction of the training data, in (0, 1), that early stopping holds out,
        stratified by class if each sample has one class. Ignored if `X_val` is given.
    n_iter_no_change : int, default=10
        Maximum number of epochs without an improvement of at least `tol`.
    tol : float, default=1e-4
        Minimum increase of the validation score that counts as an improvement.
    warm_start : bool, default=False
        Whether `fit` continues with the network and the validation split of the
        previous call. The optimiser, its schedule and `callbacks` start again;
        `trainable`, `lr_decay` and `dropout` may change. `backbone` and the parameters
        that determine how images are read must not change.
    callbacks : list or tuple or None, default=None
        :class:`skorch.callbacks.Callback` instances, classes, or pairs of name
        and callback. Callbacks that set the learning rate need ``lr_schedule=None``.
    verbose : bool or int, default=0
        Whether to print a line for each epoch.
    device : str or torch.device, default="auto"
        Device: "cpu", "cuda", "cuda:1", "mps"; "auto" is the CUDA device that
        runs the fewest other fits, or the CPU if there is no CUDA device.
    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Precision of the computation. "bfloat16" is autocast with weights in
        float32, and is slow on CPUs without bfloat16 arithmetic.
    memory : str, path-like, bool or None, default=None
        Folder of the feature cache and of finished fits. Features are cached for the
        training of the head and, with ``trainable="head"``, for predictions. Fits are
        loaded instead of repeated, see :class:`CNNClassifier`. True is the cache folder
        of the user.
    preprocessing : str, default="auto"
        Preprocessing of images. "auto" is the one published with the weights; for a
        :class:`torch.nn.Module`, or a network of the package with random weights, it is
        a scale of each channel, learnt in `fit`. For a :class:`torch.nn.Module`, the
        name of a backbone selects the preprocessing of that backbone.
    image_size : int, tuple of int or None, default=None
        Height and width, in pixels, that images are resized and centre-cropped to.
        None is the published size.
    image_shape : tuple of int or None, default=None
        Shape of one image, ``(H, W)``, ``(H, W, C)``, ``(C, H, W)`` and so on, if X
        holds flattened images.
    channel_axis : int, None or "auto", default="auto"
        Axis of X that holds the channels: -1 for channels last, 1 for channels
        first, None if there is none. "auto" is the first or last axis of a sample if
        only one of them has a length of 1 to 4. Arrays ``(n, H, W)`` are read as grey
        images; if one axis has a length of 2 to 16 and the other is at least twice as
        long, they may be signals with channels, and an error is raised.
    random_state : int, RandomState instance or None, default=None
        Seed of random weights, the order of samples, held-out data and random
        layers. None takes it from NumPy's global generator.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted class labels; for an indicator matrix, its column indices.
    module_ : torch.nn.Module
        Trained network, which maps the scaled images of `to_input` to logits.
    net_ : skorch.NeuralNet
        skorch net that trained `module_`.
    blocks_ : tuple of str
        Names of the blocks of the network, in order of execution: its child modules
        with weights, except the last layer. While there are fewer than four blocks, or
        one has nine tenths of the layers, the largest is replaced by its child modules.
    head_loss_curve_ : list of float
        Mean training loss of each epoch in which only the head is trained.
    history_ : skorch.history.History
        One row for each epoch, with `epoch`, `train_loss` and `dur` (seconds); with
        validation data also `valid_loss` and `valid_score`.
    loss_curve_ : list of float
        Mean cross-entropy of the training data in each epoch.
    validation_scores_ : list of float or None
        Score of the validation data after each epoch, weighted by sample weights and
        `class_weight`. None without validation data.
    best_validation_score_ : float or None
        Maximum of `validation_scores_`.
    n_iter_ : int
        Number of epochs trained.
    image_shape_ : tuple of int
        Shape of one image seen in `fit`, if X was an array.
    n_features_in_ : int
        Number of values of one image, if X was an array.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X is a data frame whose column names are
        all strings.
    preprocessing_ : skcnn.backbones.Preprocessing or None
        Published preprocessing, None if the scale of the pixels was learnt.
    scaler_ : skcnn.data.ChannelScaler
        `mean_` and `scale_` of each channel, in the units of X, if no preprocessing
        is published.

    See Also
    --------
    CNNClassifier : Convolutional neural network classifier.
    CNNFeatureTransformer : Features of a pretrained network.
    list_backbones : Names of backbones.

    Notes
    -----
    An integer as `random_state` gives the same model, bit for bit, on the same machine
    with the same library versions and number of threads; otherwise, models are equal
    up to rounding. Small fits run on one thread, so `n_jobs` does not change them.

    References
    ----------
    .. [1] A. Kumar et al., "Fine-tuning can distort pretrained features and
       underperform out-of-distribution", ICLR 2022.
    .. [2] J. Howard, S. Ruder, "Universal language model fine-tuning for text
       classification", ACL 2018; H. Bao et al., "BEiT: BERT pre-training of image
       transformers", ICLR 2022, for images.
    .. [3] L. N. Smith, "A disciplined approach to neural network hyper-parameters",
       arXiv 1803.09820, 2018.
    .. [4] P. Izmailov et al., "Averaging weights leads to wider optima and better
       generalization", UAI 2018.
    .. [5] B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by
       averaging", SIAM J. Control and Optimization 30(4), 1992.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import CNNClassifier, FineTunedClassifier
    >>> digits = load_digits()
    >>> X, y = digits.images, digits.target
    >>> network = CNNClassifier(max_epochs=5, random_state=0)
    >>> network = network.fit(X[y < 8][:800], y[y < 8][:800])

    The network is trained on the digits 0 to 7. Its last block and a new head are
    fine-tuned on 8 and 9:

    >>> X, y = X[y > 7], y[y > 7]
    >>> clf = FineTunedClassifier(network, trainable=1, random_state=0)
    >>> clf.fit(X[:100], y[:100]).score(X[100:], y[100:]) > 0.9
    True

    Most backbones are pretrained on photographs. Random weights need no download:

    >>> clf = FineTunedClassifier("resnet20", weights=None, max_epochs=1)
    >>> clf.fit(X[:50], y[:50]).blocks_
    ('conv1', 'bn1', 'layer1', 'layer2', 'layer3')
    """

    _parameter_constraints = {**FINE_TUNING, **CLASSIFICATION}
    _Targets = ClassTargets

    def __init__(
        self,
        backbone="efficientnet_lite0",
        *,
        weights="default",
        trainable="head",
        dropout=0.0,
        head_epochs=20,
        augmentation=None,
        optimizer="adamw",
        lr=1e-4,
        lr_decay=0.8,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        weight_averaging=None,
        batch_size="auto",
        max_epochs=10,
        class_weight=None,
        label_smoothing=0.0,
        early_stopping=False,
        scoring=None,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        callbacks=None,
        verbose=0,
        device="auto",
        precision="float32",
        memory=None,
        preprocessing="auto",
        image_size=None,
        image_shape=None,
        channel_axis="auto",
        random_state=None,
    ):
        self.backbone = backbone
        self.weights = weights
        self.trainable = trainable
        self.dropout = dropout
        self.head_epochs = head_epochs
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.lr = lr
        self.lr_decay = lr_decay
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.memory = memory
        self.preprocessing = preprocessing
        self.image_size = image_size
        self.image_shape = image_shape
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
        """Fine-tune the network on images and labels.

        Parameters
        ----------
        X : array-like or sequence of image files
            Training images.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, or an indicator matrix of several labels.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None weights all samples equally.
        X_val, y_val, sample_weight_val : array-like or None, default=None
            Validation data, like X, y and `sample_weight`. Their loss and score are
            recorded after each epoch, and `early_stopping` uses them.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError, MemoryError
            If data or parameters are not valid, the loss diverges, or a batch does not
            fit in memory.

        KeyboardInterrupt
            If Ctrl-C is pressed. The completed epochs are kept, except in a warm start,
            which is undone. If only the head was being trained, the estimator is not
            fitted.
        """
        with fitting(self, X, y, sample_weight, keep=self.warm_start) as task:
            samples = task.check()
            samples, held_out = task.split(samples, X_val, y_val, sample_weight_val)
            task.prepare(samples)
            task.train(samples, held_out)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one more epoch, at the constant learning rate `lr`.

        The scale of the pixels, the optimiser and `callbacks` are those of the first
        call. If a call fails or is interrupted, the network does not change.

        Parameters
        ----------
        X : array-like or sequence of image files
            Training images.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, or an indicator matrix of several labels.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels, or all column indices if y is an indicator matrix. Required in
            the first call only.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None gives each sample a weight of 1.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If `fit` would raise it, if `classes` is missing in the first call or has
            changed, or if `class_weight` is "balanced".
        """
        check_partial_fit(self)
        self._check_layer_options()
        with fitting(self, X, y, sample_weight, keep=True, is_incremental=True) as task:
            _check_partial_fit_first_call(self, classes)
            samples = task.check()
            task.prepare(samples)
            task.train(samples)
        return self

    def predict(self, X):
        """Predict the label of each sample.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images. Those in an array must have the shape seen in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Most probable labels, or an indicator matrix of those with a probability
            above 0.5.
        """
        outputs = self._outputs(X)
        return self._targets.decode(outputs)

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images. Those in an array must have the shape seen in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        outputs = self._outputs(X)
        return self._targets.probabilities(outputs)

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like or sequence of image files
            Images. Those in an array must have the shape seen in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Natural logarithms, finite even if `predict_proba` rounds to 0.
        """
        outputs = self._outputs(X)
        return self._targets.log_probabilities(outputs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
