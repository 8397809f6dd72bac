"""A convolutional network as classifier."""

from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions

from ._classification import ClassificationMixin
from ._parameters import CNNParameters


class CNNClassifier(ClassificationMixin, CNNParameters):
    """Classifier that trains a convolutional network.

    The default network is a stack of blocks (convolution, normalisation,
    activation, pooling) in one, two or three dimensions and a fully connected
    head. Each of its hyper-parameters is one flat parameter, so that
    :class:`~sklearn.model_selection.GridSearchCV` searches them like any other.

    X is an array, or a CPU torch tensor, of any numeric or boolean dtype. It is
    read by its number of axes:

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

    Pixels are standardised, channel by channel, by the mean and standard
    deviation that the training images have; any range of values will do.

    Parameters
    ----------
    architecture : str or callable, default="convnet"
        The network: "convnet", the plain network described above; "lenet5"
        [1]_; "resnet20", "resnet32", "resnet44" or "resnet56", residual
        networks for small images [2]_; "fcn", the fully convolutional network
        for series [9]_, with `activation`, `norm` and `dropout`; or an
        :class:`torch.nn.Module` class or a function that is called with
        `input_shape`, the shape ``(n_channels, *spatial_shape)`` of a sample,
        and `n_outputs`, and returns a network that maps ``(n, *input_shape)``
        to ``(n, n_outputs)``. Parameters of the network listed below that its
        signature names are passed to it as well; the others do not matter.

    n_layers : int, default=3
        Number of convolution blocks.

    n_filters : int, default=32
        Number of feature maps of the first block.

    filter_growth : float, default=2
        Each block has this many times the feature maps of the one before.

    kernel_size : int or tuple of int, default=3
        Side, or sides, of the filters, in pixels.

    stride : int or tuple of int, default=1
        Step of the convolutions, in pixels.

    pooling : {"max", "avg", "stride"} or None, default="max"
        How a block shrinks its maps: by the maximum or the mean of each window,
        or by a convolution with a step of `pool_size`. An axis that is shorter
        than `pool_size` is left as it is.

    pool_size : int or tuple of int, default=2
        Side, or sides, of the pooling window and its step, in pixels.

    activation : str or callable, default="relu"
        "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid"
        ("logistic"), "identity", or a class of :class:`torch.nn.Module`.

    norm : {"batch", "group"} or None, default="batch"
        Normalisation of feature maps: over the batch [3]_, or over groups of 16
        maps of one sample [4]_, which suits batches of a few samples.

    dropout : float, default=0.0
        Probability, in [0, 1), that a feature map, or a unit that enters a
        fully connected layer, is left out of a training step.

    hidden_layer_sizes : array-like of int or int, default=()
        Widths of fully connected layers between the last block and the output.

    augmentation : str, callable, list or None, default=None
        Random changes of the training images, never of those to predict: a
        preset ("light", "standard", "strong"), a name of
        `skcnn.data.augmentation` ("shift", "flip", "rotation", "scale", "cutout",
        "mixup", ...), an instance, a function from ``(batch, generator)`` to a
        batch, or a list of these. "standard" mirrors images, "light" does not.

    optimizer : str or type, default="adamw"
        "adamw", "adam", "nadam", "radam", "rmsprop", "adagrad", "sgd" (with a
        Nesterov momentum of 0.9), "muon" (:class:`skcnn.training.Muon`, which
        often takes fewer epochs), or a :class:`torch.optim.Optimizer` class.

    lr : float, default=0.003
        Learning rate; its highest value where a schedule changes it.

    lr_schedule : str, callable or None, default="one_cycle"
        How the learning rate changes in the course of `fit`: "one_cycle" (rises
        for a quarter of the time, then falls to 0 [5]_), "cosine", "linear",
        "step" (a tenth at a half and again at three quarters), "plateau" (a
        fifth after three epochs without progress by `tol`, in the validation
        score where there is one and in the training loss otherwise), None or
        "constant", or a function from the progress of training, in [0, 1), to a
        factor of `lr`. What falls by plan falls until `max_epochs`, also where
        training is stopped early.

    weight_decay : float or "auto", default="auto"
        Strength of weight decay; decoupled from the gradient in AdamW and Muon.
        For these, "auto" is 1 for epochs of up to 50 steps, and 50 over the number
        of steps for longer ones, so that weights remember as many epochs [10]_;
        where `lr` is above 0.01, it is so much less. For others it is 0.01, and so
        where `partial_fit` is called first.

    weight_averaging : {"swa", "ema"} or None, default=None
        Whether the network that `fit` leaves is an average over training:
        "swa", of the weights at the end of each epoch of the last quarter [6]_;
        "ema", an exponential moving average over the last epoch or so [7]_.
        Batch-norm statistics are taken anew with the averaged weights.
        `partial_fit` does not average.

    batch_size : int or "auto", default="auto"
        Largest number of samples of one training step. "auto" is a power of two
        near a fortieth of the samples, from 8 to 128; where that does not fit in
        memory, half of it, and so on, with a warning each time, down to 4.

    max_epochs : int, default=20
        Number of passes over the training samples.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as a dict from label to weight; "balanced"
        weighs each class by the inverse of its frequency, in sample weights.

    label_smoothing : float, default=0.0
        Part of the target, in [0, 1), that is spread over all classes alike
        [8]_, in the training loss only.

    early_stopping : bool, default=False
        Whether to hold out validation data, or take those that `fit` is given,
        stop when their score, the accuracy, does not rise any more, and go back to
        the best epoch; of epochs with the same score, the one of the lowest
        validation loss.

    validation_fraction : float, default=0.1
        Part of the training data that is held out, in (0, 1), of each class
        alike. Only used with `early_stopping` and without `X_val`.

    n_iter_no_change : int, default=10
        Number of epochs without an improvement that early stopping bears.

    tol : float, default=1e-4
        Smallest rise of the best score that is an improvement.

    warm_start : bool, default=False
        Whether `fit` goes on from the network of the last call. The scale of
        the pixels stays as well, and so does the split of `early_stopping`; the
        optimiser, its schedule and `callbacks` start again, as the parameters say
        by then. Those that describe the network must be what they were.

    callbacks : list or tuple or None, default=None
        :class:`skorch.callbacks.Callback` instances, classes, or pairs of name
        and callback. One that sets the learning rate needs ``lr_schedule=None``.

    verbose : bool or int, default=0
        Whether to print a line for each epoch.

    device : str or torch.device, default="auto"
        Where the network computes: "cpu", "cuda", "cuda:1", "mps"; "auto" is
        the CUDA device with the fewest other fits, the first of equal ones, and
        the CPU where there is none.

    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Of the computation. "bfloat16" computes in it where that is safe
        (autocast), with weights in float32: in less time on devices that multiply
        in it, in far more on a CPU that does not.

    image_shape : tuple of int or None, default=None
        Shape of one image where X holds flattened images: ``(H, W)``,
        ``(H, W, C)``, ``(C, H, W)`` and so on, read like an array of that shape.

    channel_axis : int, None or "auto", default="auto"
        Axis of X (of the reshaped X where `image_shape` is given) that holds
        the channels, -1 for channels last and 1 for channels first; None where
        X has none. "auto" finds the channels of arrays of four or five axes where
        just one of the first and the last axis of a sample has a length of 1 to
        4. It reads ``(n, H, W)`` as images without channels, ``(n, 1, L)`` and
        ``(n, L, 1)`` as signals, and raises an error that names the choices
        where images may be signals: where the shorter axis has a length of 2 to
        16 and the other at least twice that.

    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of the samples, what is held out
        and the random layers. None takes a seed from NumPy's global generator, as
        everywhere in scikit-learn; otherwise no global generator is used or
        changed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.

    module_ : torch.nn.Module
        The trained network.

    net_ : skorch.NeuralNet
        The net that trained it.

    history_ : skorch.history.History
        One row for each epoch, with `epoch`, `train_loss` and `dur`, the
        seconds it took; with validation data also `valid_loss` and
        `valid_score`.

    loss_curve_ : list of float
        Mean training loss of each epoch, cross-entropy in nats.

    validation_scores_ : list of float or None
        Accuracy of the validation data after each epoch, weighted by
        `class_weight`, too; None where there are none.

    best_validation_score_ : float or None
        Largest of `validation_scores_`.

    n_iter_ : int
        Number of epochs trained.

    image_shape_ : tuple of int
        Shape of one image in `fit`.

    n_features_in_ : int
        Number of values of one image.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Defined where X is a data frame with columns that
        are all strings.

    scaler_ : skcnn.data.ChannelScaler
        `mean_` and `scale_` of each channel, in the units of X.

    See Also
    --------
    CNNRegressor : The same network for values.

    Notes
    -----
    The same `random_state` gives the same model, bit for bit: again, in threads,
    in another process and, on a CPU, at another number of threads. Where a forward
    pass of a batch takes less than 160 million operations (64 million of the plain
    network on images in float32), one thread trains the network. For larger ones,
    what torch would split by the number of threads is computed in fixed parts. On a
    GPU, networks with overlapping windows of max pooling agree to rounding only.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning
       applied to document recognition", Proceedings of the IEEE 86(11), 1998.
    .. [2] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image
       recognition", CVPR 2016.
    .. [3] S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015.
    .. [4] Y. Wu, K. He, "Group normalization", ECCV 2018.
    .. [5] L. N. Smith, "A disciplined approach to neural network
       hyper-parameters", arXiv 1803.09820, 2018.
    .. [6] P. Izmailov et al., "Averaging weights leads to wider optima and
       better generalization", UAI 2018.
    .. [7] B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by
       averaging", SIAM J. Control and Optimization 30(4), 1992.
    .. [8] C. Szegedy et al., "Rethinking the Inception architecture for computer
       vision", CVPR 2016.
    .. [9] Z. Wang, W. Yan, T. Oates, "Time series classification from scratch
       with deep neural networks: a strong baseline", IJCNN 2017.
    .. [10] X. Wang, L. Aitchison, "How to set AdamW's weight decay as you scale
       model and dataset size", 2024, arXiv 2405.13698.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skcnn import CNNClassifier
    >>> digits = load_digits()
    >>> X_train, X_test, y_train, y_test = train_test_split(
    ...     digits.images, digits.target, random_state=0
    ... )
    >>> clf = CNNClassifier(max_epochs=3, random_state=0).fit(X_train, y_train)
    >>> clf.score(X_test, y_test) > 0.9
    True

    Rows of flattened images need their shape:

    >>> clf = CNNClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> clf.fit(digits.data, digits.target).predict_proba(digits.data[:2]).shape
    (2, 10)
    """

    _parameter_constraints = {
        **CNNParameters._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

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
        max_epochs=20,
        class_weight=None,
        label_smoothing=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        callbacks=None,
        verbose=0,
        device="auto",
        precision="float32",
        image_shape=None,
        channel_axis="auto",
        random_state=None,
    ):
        super().__init__(
            architecture,
            n_layers=n_layers,
            n_filters=n_filters,
            filter_growth=filter_growth,
            kernel_size=kernel_size,
            stride=stride,
            pooling=pooling,
            pool_size=pool_size,
            activation=activation,
            norm=norm,
            dropout=dropout,
            hidden_layer_sizes=hidden_layer_sizes,
            augmentation=augmentation,
            optimizer=optimizer,
            lr=lr,
            lr_schedule=lr_schedule,
            weight_decay=weight_decay,
            weight_averaging=weight_averaging,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            callbacks=callbacks,
            verbose=verbose,
            device=device,
            precision=precision,
            image_shape=image_shape,
            channel_axis=channel_axis,
            random_state=random_state,
        )
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
