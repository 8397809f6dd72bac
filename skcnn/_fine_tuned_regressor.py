"""A pretrained network as regressor."""

from ._fine_tuning import FineTunedCNN
from ._regression import RegressionMixin


class FineTunedRegressor(RegressionMixin, FineTunedCNN):
    """Regressor that trains a pretrained convolutional network further.

    It minimises the mean squared error; y is standardised inside.

    The last layer of a pretrained network is replaced by a new one, the head. It
    is trained alone first, on the features of the images, and then together with
    the layers that are to be trained, at smaller learning rates for earlier
    layers.

    X is an array, or a CPU torch tensor, of images; or a sequence of image
    files: a list, array, Series or one-column data frame of paths,
    :class:`os.PathLike`, images of PIL or encoded bytes. Files are decoded once,
    into memory up to a gigabyte and into a temporary file beyond.

    ==================================  ========================================
    shape of an array X                 read as
    ==================================  ========================================
    ``(n, H, W)``                       grey images
    ``(n, H, W, C)``, ``(n, C, H, W)``  images with channels, by `channel_axis`
    ``(n, L)``                          with `image_shape`, flattened images
    ==================================  ========================================

    Networks without published preprocessing also take signals, ``(n, L)``, and
    volumes, where their layers do.

    Pixels of arrays have the range of their dtype: 0–255 for uint8, 0–65535 for
    uint16, 0–1 for floats and booleans; other integers hold 0–255. With learnt
    scaling (see `preprocessing`) any range will do.

    Parameters
    ----------
    backbone : str, torch.nn.Module or estimator, default="resnet18"
        The network: a name of :func:`skcnn.list_backbones`, which are
        torchvision's classification networks, ``"timm/<name>"`` (needs timm)
        and the package's own; any :class:`torch.nn.Module`; or a fitted
        estimator of this package, which stays as it is.

    weights : str, path-like or None, default="default"
        Of a backbone that is named: "default", the best published set; the name
        of a set, for example "IMAGENET1K_V1"; a safetensors or state-dict file,
        read without running code; or None, random weights.

    trainable : str or int, default="all"
        What is trained besides the head: "all" layers; none of them, "head"; a
        layer by name, and those that run after it, all named as in
        ``module_.backbone``; or a number of last blocks, see `blocks_`. Frozen
        layers keep each bit, and stay in evaluation mode: their batch
        normalisation keeps its statistics, their dropout is off.

    dropout : float, default=0.0
        Probability, in [0, 1), that a feature which enters the head is left out
        of a training step; in the place of the network's own last dropout.

    head_epochs : int, default=20
        Number of passes over the features of the training images, before the
        first epoch, in which the head alone is trained [1]_, at a rate of its
        own. It takes one pass over the images. 0 leaves it out, and so do random
        weights.

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

    lr : float, default=1e-4
        Learning rate of the head; its highest value where a schedule changes it.

    lr_decay : float, default=0.8
        Factor of the learning rate from the head to the last block and from
        each block to the one before [2]_, in (0, 1].

    lr_schedule : str, callable or None, default="one_cycle"
        How the learning rate changes in the course of `fit`: "one_cycle" (rises
        for a quarter of the time, then falls to 0 [3]_), "cosine", "linear",
        "step" (a tenth at a half and again at three quarters), "plateau" (a
        fifth after three epochs without progress by `tol`, in the validation
        score where there is one and in the training loss otherwise), None or
        "constant", or a function from the progress of training, in [0, 1), to a
        factor of `lr`. What falls by plan falls until `max_epochs`, also where
        training is stopped early.

    weight_decay : float, default=0.01
        Strength of weight decay; decoupled from the gradient in "adamw".

    weight_averaging : {"swa", "ema"} or None, default=None
        Whether the network that `fit` leaves is an average over training:
        "swa", of the weights at the end of each epoch of the last quarter [4]_;
        "ema", an exponential moving average over the last epoch or so [5]_.
        Batch-norm statistics are taken anew with the averaged weights.
        `partial_fit` does not average.

    batch_size : int or "auto", default="auto"
        Largest number of samples of one training step. "auto" is a power of two
        near a fortieth of the samples, from 16 to 128; where that does not fit in
        memory, half of it, and so on, with a warning each time, down to 4.

    max_epochs : int, default=10
        Number of passes over the training samples.

    early_stopping : bool, default=False
        Whether to hold out validation data, or take those that `fit` is given,
        stop when their score, R², does not rise any more, and go back to
        the best epoch; of epochs with the same score, the one of the lowest
        validation loss.

    validation_fraction : float, default=0.1
        Part of the training data that is held out, in (0, 1). Only
        used with `early_stopping` and without `X_val`.

    n_iter_no_change : int, default=10
        Number of epochs without an improvement that early stopping bears.

    tol : float, default=1e-4
        Smallest rise of the best score that is an improvement.

    warm_start : bool, default=False
        Whether `fit` goes on from the network of the last call, its head
        included. `trainable`, `lr_decay`, `dropout`, the optimiser, its schedule
        and `callbacks` start again, as the parameters say by then. `backbone` and
        what says how images are read must be what they were.

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

    memory : str, path-like, bool or None, default=None
        Folder of the feature cache, True for the user's cache folder, from which
        the features of images are taken that were computed before.

    preprocessing : str, default="auto"
        "auto" is what was published with the weights: size, crop,
        interpolation, mean and standard deviation. For networks without any,
        which are a :class:`torch.nn.Module` and the package's own ones with
        random weights, it is the scale of each channel, learnt in `fit`. The
        name of a backbone is that backbone's, for a :class:`torch.nn.Module`.

    image_size : int, tuple of int or None, default=None
        Height and width, in pixels, of what the network sees, instead of the
        published size. Images are resized to cover it and their centre is cut
        out; images that have this size are not touched.

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
        Seed of random weights, the order of the samples and the random layers.
        None takes a seed from NumPy's global generator, as everywhere in
        scikit-learn; otherwise no global generator is used or changed.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network.

    net_ : skorch.NeuralNet
        The net that trained it.

    blocks_ : tuple of str
        Names of the blocks of the network, in the order in which they run: its
        children that have weights, where, while these are fewer than four, the
        one with the most layers is replaced by its own children. The last layer
        of the network, which the head replaces, is none.

    head_loss_curve_ : list of float
        Mean training loss of each epoch of the head alone.

    history_ : skorch.history.History
        One row for each epoch, with `epoch`, `train_loss` and `dur`, the
        seconds it took; with validation data also `valid_loss` and
        `valid_score`.

    loss_curve_ : list of float
        Mean training loss of each epoch, squared error in units of the
        variance of y.

    validation_scores_ : list of float or None
        R² of the validation data after each epoch, None where there are
        none.

    best_validation_score_ : float or None
        Largest of `validation_scores_`.

    n_iter_ : int
        Number of epochs trained.

    image_shape_ : tuple of int
        Shape of one image in `fit`, where X was an array.

    n_features_in_ : int
        Number of values of one image in `fit`, where X was an array.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Defined where X is a data frame with columns that
        are all strings.

    preprocessing_ : skcnn.backbones.Preprocessing or None
        What was published with the weights.

    scaler_ : skcnn.data.ChannelScaler
        `mean_` and `scale_` of each channel, in the units of X, where nothing
        was published.

    See Also
    --------
    CNNRegressor : A network that is trained from scratch.
    CNNFeatureTransformer : Features of the network as it is.
    list_backbones : Names of backbones.

    References
    ----------
    .. [1] A. Kumar et al., "Fine-tuning can distort pretrained features and
       underperform out-of-distribution", ICLR 2022.
    .. [2] J. Howard, S. Ruder, "Universal language model fine-tuning for text
       classification", ACL 2018; H. Bao et al., "BEiT: BERT pre-training of
       image transformers", ICLR 2022, for images.
    .. [3] L. N. Smith, "A disciplined approach to neural network
       hyper-parameters", arXiv 1803.09820, 2018.
    .. [4] P. Izmailov et al., "Averaging weights leads to wider optima and
       better generalization", UAI 2018.
    .. [5] B. Polyak, A. Juditsky, "Acceleration of stochastic approximation by
       averaging", SIAM J. Control and Optimization 30(4), 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import CNNRegressor, FineTunedRegressor
    >>> rng = np.random.default_rng(0)
    >>> frequency = rng.uniform(1, 5, size=200)
    >>> X = np.sin(frequency[:, None] * np.linspace(0, 6, 32))
    >>> network = CNNRegressor(random_state=0).fit(X[:150], frequency[:150])

    What the network has learnt of frequencies serves for periods as well:

    >>> reg = FineTunedRegressor(network, random_state=0)
    >>> reg.fit(X[:50], 1 / frequency[:50]).score(X[150:], 1 / frequency[150:]) > 0.9
    True
    """
