"""Convolutional neural network regressor."""

from sklearn.base import RegressorMixin, _fit_context

from ._base import (
    BaseCNN,
    ScaledTargetMixin,
    ValueTargets,
    array_input,
    check_partial_fit,
    fitting,
)
from ._base.net_building import NETWORK_PARAMETERS, described_network
from ._base.parameter_constraints import CNN


class CNNRegressor(ScaledTargetMixin, RegressorMixin, BaseCNN):
    """Convolutional neural network regressor.

    The network minimises the mean squared error of the standardised y.

    The default network is a stack of blocks (convolution, normalisation,
    activation, pooling) in one, two or three dimensions, followed by a fully
    connected head. Each hyper-parameter is a separate parameter that
    :class:`~sklearn.model_selection.GridSearchCV` can search over.

    X is an array, or a CPU torch tensor, of any numeric or boolean dtype. Its number
    of axes determines how it is read:

    ==================================  ========================================
    shape of X                          read as
    ==================================  ========================================
    ``(n, L)``                          signals of one channel; with
                                        `image_shape`, flattened images
    ``(n, H, W)``                       grey images
    ``(n, C, L)``, ``(n, L, C)``        signals with channels, by `channel_axis`
    ``(n, H, W, C)``, ``(n, C, H, W)``  images with channels, by `channel_axis`
    ``(n, T, H, W, C)``                 clips or volumes with channels
    ==================================  ========================================

    Each channel is standardised by the mean and the standard deviation of the
    training images, so pixels may have any range.

    Parameters
    ----------
    architecture : str or callable, default="convnet"
        Network: "convnet", described above; "lenet5" [1]_; "resnet20", "resnet32",
        "resnet44" or "resnet56", for small images [2]_; "fcn", for time series [3]_;
        or a :class:`torch.nn.Module` class, or a function that returns a module. It is
        called with `input_shape`, a tuple ``(n_channels, *spatial_shape)``, with
        `n_outputs`, and with the parameters from `n_layers` to `hidden_layer_sizes`
        that are in its signature. The module maps ``(n, *input_shape)`` to
        ``(n, n_outputs)``.
    n_layers : int, default=3
        Number of convolution blocks.
    n_filters : int, default=32
        Number of filters of the first block.
    filter_growth : float, default=2
        Factor by which the number of filters grows from block to block.
    kernel_size : int or tuple of int, default=3
        Size of the filters, in pixels.
    stride : int or tuple of int, default=1
        Stride of the convolutions, in pixels.
    pooling : {"max", "avg", "stride"} or None, default="max"
        Downsampling in each block: maximum or mean of each window, or a convolution
        with a stride of `pool_size`. Axes shorter than `pool_size` are not pooled.
    pool_size : int or tuple of int, default=2
        Size and stride of the pooling window, in pixels.
    activation : str or callable, default="relu"
        Activation function: "relu", "leaky_relu", "elu", "selu", "gelu", "silu",
        "tanh", "sigmoid" ("logistic"), "identity", or a :class:`torch.nn.Module`
        class.
    norm : {"batch", "group"} or None, default="batch"
        Normalisation of feature maps: over the batch [4]_, or over groups of 16
        feature maps of one sample [5]_, which suits very small batches.
    dropout : float, default=0.0
        Probability, in [0, 1), that a feature map, or an input of a fully connected
        layer, is dropped in a training step.
    hidden_layer_sizes : array-like of int or int, default=()
        Sizes of fully connected layers between the last block and the output.
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
    lr : float, default=0.003
        Learning rate, the maximum of the schedule.
    lr_schedule : str, callable or None, default="one_cycle"
        Schedule of the learning rate over `max_epochs`, even if early stopping ends
        training earlier.

        - "one_cycle" rises for a quarter of training, then falls to 0 [6]_.
        - "cosine" and "linear" fall from `lr` to 0.
        - "step" divides the rate by 10 after one half and three quarters of training.
        - "plateau" divides the rate by 5 after three epochs in which the validation
          score, or the training loss without validation data, does not improve by
          `tol`.
        - "constant" or None is `lr` in all epochs.
        - A function maps the progress of training, in [0, 1), to a factor of `lr`.
    weight_decay : float or "auto", default="auto"
        Strength of weight decay. "auto" is 0.01, except in `fit` with AdamW or Muon: it
        is then ``min(1, 50 / n_steps)``, for epochs of `n_steps` steps [7]_, times
        ``min(1, 0.01 / lr)``.
    weight_averaging : {"swa", "ema"} or None, default=None
        Average that replaces the weights at the end of `fit`: "swa", over the last
        quarter of the epochs [8]_; "ema", an exponential moving average over about
        one epoch [9]_.
    batch_size : int or "auto", default="auto"
        Maximum number of samples in a training step. "auto" is the power of two near
        ``n_samples / 40``, between 8 and 128, and is halved, down to 4, if a batch
        does not fit in memory.
    max_epochs : int or "auto", default="auto"
        Maximum number of epochs. "auto" is the number of epochs in 600 training
        steps, and at least 20.
    early_stopping : bool, default=False
        Whether to stop when the validation score does not improve, and to restore the
        weights of the best epoch. Ties are broken by the validation loss. Validation
        data are passed to `fit`, or held out of the training data.
    scoring : str, callable or None, default=None
        Score of the validation data: a scikit-learn scorer or its name, such as
        "neg_mean_absolute_error"; "loss", the negative loss; None, R². A callable
        is called as ``scoring(estimator, X, y)``, with the network's outputs as X.
    validation_fraction : float, default=0.1
        Fraction of the training data, in (0, 1), that early stopping holds out.
        Ignored if `X_val` is given.
    n_iter_no_change : int, default=10
        Maximum number of epochs without an improvement of at least `tol`.
    tol : float, default=1e-4
        Minimum increase of the validation score that counts as an improvement.
    warm_start : bool, default=False
        Whether `fit` continues with the network, the scale of the pixels and the
        validation split of the previous call. The optimiser, its schedule and
        `callbacks` start again. Parameters of the network must not change.
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
        Folder of finished fits; True is the cache folder of the user. If `random_state`
        is an integer, `fit` loads a stored fit of the same class, parameters, data and
        library versions instead of repeating it. A search that was interrupted repeats
        only the fits that were running. Fits with `callbacks`, warm starts and
        `partial_fit` are not stored.
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
        Seed of initial weights, the order of samples, held-out data and random
        layers. None takes it from NumPy's global generator.

    Attributes
    ----------
    y_mean_, y_scale_ : ndarray of shape (n_outputs,)
        Mean and standard deviation of y in `fit`. Predictions are the outputs of
        `module_` times `y_scale_`, plus `y_mean_`.
    module_ : torch.nn.Module
        Trained network, which maps the scaled images of `to_input` to standardised
        values of y.
    net_ : skorch.NeuralNet
        skorch net that trained `module_`.
    history_ : skorch.history.History
        One row for each epoch, with `epoch`, `train_loss` and `dur` (seconds); with
        validation data also `valid_loss` and `valid_score`.
    loss_curve_ : list of float
        Mean squared error of the training data in each epoch, in units of the
        variance of y.
    validation_scores_ : list of float or None
        Score of the validation data after each epoch, None without such data.
    best_validation_score_ : float or None
        Maximum of `validation_scores_`.
    n_iter_ : int
        Number of epochs trained.
    image_shape_ : tuple of int
        Shape of one image seen in `fit`.
    n_features_in_ : int
        Number of values of one image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X is a data frame whose column names are
        all strings.
    scaler_ : skcnn.data.ChannelScaler
        `mean_` and `scale_` of each channel, in the units of X.

    See Also
    --------
    CNNClassifier : Convolutional neural network classifier.
    FineTunedRegressor : Regressor that fine-tunes a pretrained network.

    Notes
    -----
    An integer as `random_state` gives the same model, bit for bit, on the same machine
    with the same library versions and number of threads; otherwise, models are equal
    up to rounding. Small fits run on one thread, so `n_jobs` does not change them.

    References
    ----------
    .. [1] Y. LeCun et al., "Gradient-based learning applied to document
       recognition", Proceedings of the IEEE 86(11), 1998.
    .. [2] K. He et al., "Deep residual learning for image recognition", CVPR 2016.
    .. [3] Z. Wang et al., "Time series classification from scratch with deep neural
       networks: a strong baseline", IJCNN 2017.
    .. [4] S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015.
    .. [5] Y. Wu, K. He, "Group normalization", ECCV 2018.
    .. [6] L. N. Smith, "A disciplined approach to neural network hyper-parameters",
       arXiv 1803.09820, 2018.
    .. [7] X. Wang, L. Aitchison, "How to set AdamW's weight decay as you scale model
       and dataset size", arXiv 2405.13698, 2024.
    .. [8] P. Izmailov et al., "Averaging weights leads to wider optima and better
       generalization", UAI 2018.
    .. [9] B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by
       averaging", SIAM J. Control and Optimization 30(4), 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import CNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> frequency = rng.uniform(1, 5, size=200)
    >>> X = np.sin(frequency[:, None] * np.linspace(0, 6, 32))
    >>> reg = CNNRegressor(random_state=0).fit(X[:150], frequency[:150])
    >>> reg.score(X[150:], frequency[150:]) > 0.9
    True
    """

    _parameter_constraints = CNN
    _network_parameters = NETWORK_PARAMETERS
    _input = array_input
    _Targets = ValueTargets

    def __init__(
        self,
        architecture="convnet",
        *,
        n_layers=3,
        n_filters=32,
        filter_growth=2,
        kernel_size=3,
        stride=1,
        pooling="max",
        pool_size=2,
        activation="relu",
        norm="batch",
        dropout=0.0,
        hidden_layer_sizes=(),
        augmentation=None,
        optimizer="adamw",
        lr=0.003,
        lr_schedule="one_cycle",
        weight_decay="auto",
        weight_averaging=None,
        batch_size="auto",
        max_epochs="auto",
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
        image_shape=None,
        channel_axis="auto",
        random_state=None,
    ):
        self.architecture = architecture
        self.n_layers = n_layers
        self.n_filters = n_filters
        self.filter_growth = filter_growth
        self.kernel_size = kernel_size
        self.stride = stride
        self.pooling = pooling
        self.pool_size = pool_size
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.hidden_layer_sizes = hidden_layer_sizes
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.batch_size = batch_size
        self.max_epochs = max_epochs
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
        """Fit the network to images and values.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Training images, signals or volumes.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values, in any unit and range.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None weights all samples equally.
        X_val, y_val, sample_weight_val : array-like or None, default=None
            Validation data, like X, y and `sample_weight`. Their loss and score are
            recorded after each epoch, and `early_stopping` uses them.

        Returns
        -------
        self : object
            The fitted regressor.

        Raises
        ------
        ValueError, MemoryError
            If data or parameters are not valid, the loss diverges, or a batch does not
            fit in memory.

        KeyboardInterrupt
            If Ctrl-C is pressed. The completed epochs are kept, except in a warm start,
            which is undone.
        """
        with fitting(self, X, y, sample_weight, keep=self.warm_start) as task:
            samples = task.check()
            samples, held_out = task.split(samples, X_val, y_val, sample_weight_val)
            task.prepare(samples)
            task.train(samples, held_out)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one more epoch, at the constant learning rate `lr`.

        The scales of the pixels and of y, the optimiser and `callbacks` are those of
        the first call. If a call fails or is interrupted, the network does not change.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Training images, signals or volumes.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Non-negative weights, not all zero. None gives each sample a weight of 1.

        Returns
        -------
        self : object
            The fitted regressor.

        Raises
        ------
        ValueError
            If `fit` would raise it.
        """
        check_partial_fit(self)
        with fitting(self, X, y, sample_weight, keep=True, is_incremental=True) as task:
            samples = task.check()
            task.prepare(samples)
            task.train(samples)
        return self

    def predict(self, X):
        """Predict the value or values of each sample.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Samples of the shape seen in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Values in the unit and the shape of y.
        """
        outputs = self._outputs(X)
        return self._targets.decode(outputs)

    def _make_network(self):
        return described_network(self)
