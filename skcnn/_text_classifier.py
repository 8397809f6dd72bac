"""A convolutional network as classifier of sentences."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from ._classification import ClassificationMixin
from ._parameters import TRAINING_CONSTRAINTS
from ._text_input import SentenceCNN
from .data import TOKEN_PATTERN
from .modules import CHANNELS


class TextCNNClassifier(ClassificationMixin, SentenceCNN):
    r"""Classifier of sentences that trains a convolutional network.

    Each word has a vector. Filters respond to windows of 3, 4 and 5 words, whatever
    stands around them; the largest response of each filter in the sentence is a
    feature, and a linear layer turns the features into probabilities [1]_.

    X is a list, tuple, array or Series of strings, or a frame of one column. A
    :class:`~sklearn.compose.ColumnTransformer` may give it as well, by the name of a
    column or a list of one.

    The words are those of the sentences that the network is trained on. Others are
    all alike to it: they have the vector 0, unless some are left out in training, by
    `min_df` or `max_features`, in which case it is learnt. A sentence of such words,
    an empty one and one that is shorter than a filter are sentences like any other.
    What the network makes of a sentence depends on no other one.

    Parameters
    ----------
    embeddings : mapping, KeyedVectors, Series, DataFrame, str or PathLike, default=None
        Word vectors that were learnt elsewhere: a mapping from words to vectors, an
        object like gensim's, a pandas Series or frame with words as its index, or
        the path of a word2vec or GloVe file, as text or binary. Words without one
        get a random vector whose values have the same variance. Copies of the
        estimator share the object.

    mode : {"rand", "static", "non-static", "multichannel"}, default="rand"
        "rand" learns all vectors, random at first. "static" keeps those of
        `embeddings`, "non-static" learns them further, and "multichannel" has both:
        a filter is applied to the vector that is kept and to the one that is
        learnt, and its responses are added.

    filter_sizes : tuple of int, default=(3, 4, 5)
        How many words a filter responds to, all different.

    n_filters : int, default=100
        Number of filters of each size.

    embedding_dim : int, default=300
        Length of a word vector. That of `embeddings` goes before.

    dropout : float, default=0.5
        Probability, in [0, 1), that a feature is left out of a training step.

    max_norm : float or None, default=3
        Largest L2 norm of the weights of a class. What a training step makes
        longer is brought back to it; None sets no limit.

    tokenizer : callable or None, default=None
        Function from a sentence to a list of its words. None finds them by
        `token_pattern`.

    token_pattern : str or None, default=r"\w+(?:'\w+)*|[^\w\s]"
        Regular expression of a word, not used with a `tokenizer`. By default,
        these are words of any length, with the apostrophes in them, and
        punctuation marks: unlike
        :class:`~sklearn.feature_extraction.text.CountVectorizer`, which drops "I"
        and "?", of which windows of words make something.

    lowercase : bool, default=True
        Whether to turn capital letters into small ones.

    min_df : int or float, default=1
        Number of sentences, or part of them, that a word has to occur in to be
        known.

    max_features : int or None, default=None
        Largest number of words that are known, the most frequent ones; None for
        all.

    max_length : int or None, default=None
        Number of words of a sentence that are read, None for all. The longest
        sentence of a batch decides how much memory all of them take: documents
        of thousands of words among short ones want a limit.

    optimizer : str or type, default="adamw"
        "adamw", "adam", "nadam", "radam", "rmsprop", "adagrad", "sgd" (with a
        Nesterov momentum of 0.9), "muon" (:class:`skcnn.training.Muon`, which
        often takes fewer epochs), or a :class:`torch.optim.Optimizer` class.
        Those with a name update the vectors of the words of a batch only; decay
        and momentum leave those of other words as they are.

    lr : float, default=0.002
        Learning rate; its highest value where a schedule changes it.

    lr_schedule : str, callable or None, default="one_cycle"
        How the learning rate changes in the course of `fit`: "one_cycle" (rises
        for a quarter of the time, then falls to 0), "cosine", "linear", "step" (a
        tenth at a half and again at three quarters), "plateau" (a fifth after three
        epochs without progress by `tol`, in the validation score where there is one
        and in the training loss otherwise), None or "constant", or a function from
        the progress of training, in [0, 1), to a factor of `lr`.

    weight_decay : float, default=0.01
        Strength of weight decay; decoupled from the gradient in "adamw".

    weight_averaging : {"swa", "ema"} or None, default=None
        Whether the network that `fit` leaves is an average over training: "swa", of
        the weights at the end of each epoch of the last quarter; "ema", an
        exponential moving average over the last epoch or so, which takes time for
        the whole vocabulary in each step. `partial_fit` does not average.

    batch_size : int or "auto", default="auto"
        Largest number of sentences of one training step. "auto" is a power of two
        near a fortieth of the sentences, from 8 to 64; where that does not fit in
        memory, half of it, and so on, with a warning each time, down to 4.

    max_epochs : int, default=10
        Number of passes over the training sentences. Batches have sentences of
        about the same length.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as a dict from label to weight; "balanced"
        weighs each class by the inverse of its frequency, in sample weights.

    label_smoothing : float, default=0.0
        Part of the target, in [0, 1), that is spread over all classes alike, in
        the training loss only.

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
        Whether `fit` goes on from the network of the last call. The vocabulary
        stays as well, and so does the split of `early_stopping`; the optimiser,
        its schedule and `callbacks` start again, as the parameters say by then.
        Those that describe words and network must be what they were.

    callbacks : list or tuple or None, default=None
        :class:`skorch.callbacks.Callback` instances, classes, or pairs of name
        and callback. One that sets the learning rate needs ``lr_schedule=None``.

    verbose : bool or int, default=0
        Whether to print a line for each epoch.

    device : str or torch.device, default="auto"
        Where the network computes: "cpu", "cuda", "cuda:1", "mps"; "auto" is
        the CUDA device with the fewest other fits where there is one, and the CPU
        otherwise.

    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Of the computation. "bfloat16" computes in it where that is safe
        (autocast), with weights in float32: in less time on devices that multiply
        in it, in far more on a CPU that does not.

    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights and vectors, the order of the sentences, what is
        held out and dropout. None takes a seed from NumPy's global generator, as
        everywhere in scikit-learn; otherwise no global generator is used or
        changed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.

    vocabulary_ : dict of str to int
        The words that are known, with the rows of their vectors; rows 0 and 1 are
        those of no word and of all unknown words.

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

    See Also
    --------
    CNNClassifier : The classifier of images and signals.

    Notes
    -----
    The same `random_state` gives the same model, as with :class:`CNNClassifier`.

    Filters are linear, so "multichannel" amounts to one channel with the sum of the two
    vectors of each word.

    References
    ----------
    .. [1] Y. Kim, "Convolutional neural networks for sentence classification",
       EMNLP 2014.

    Examples
    --------
    >>> from skcnn import TextCNNClassifier
    >>> X = ["who is it ?", "where is it ?", "who are they ?", "where are they ?"]
    >>> y = ["person", "place", "person", "place"]
    >>> clf = TextCNNClassifier(max_epochs=20, random_state=0).fit(X, y)
    >>> clf.predict(["who was it ?", "where ?"])
    array(['person', 'place'], dtype='<U6')

    Each feature of a sentence belongs to a filter, which responds to some words:

    >>> clf.transform(X).shape
    (4, 300)
    >>> clf.get_feature_names_out()[[0, 299]]
    array(['3gram_0', '5gram_99'], dtype=object)
    >>> [ngram for ngram, response in clf.top_ngrams("3gram_0", n_top=2)]
    ['who are they', 'who is it']
    """

    _parameter_constraints = {
        "embeddings": "no_validation",
        "mode": [StrOptions(set(CHANNELS))],
        "filter_sizes": [tuple, list],
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "tokenizer": [callable, None],
        "token_pattern": [str, None],
        "lowercase": ["boolean"],
        "min_df": [
            Interval(Real, 0, 1, closed="both"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        **TRAINING_CONSTRAINTS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        embeddings=None,
        *,
        mode="rand",
        filter_sizes=(3, 4, 5),
        n_filters=100,
        embedding_dim=300,
        dropout=0.5,
        max_norm=3,
        tokenizer=None,
        token_pattern=TOKEN_PATTERN,
        lowercase=True,
        min_df=1,
        max_features=None,
        max_length=None,
        optimizer="adamw",
        lr=0.002,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        weight_averaging=None,
        batch_size="auto",
        max_epochs=10,
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
        random_state=None,
    ):
        self.embeddings = embeddings
        self.mode = mode
        self.filter_sizes = filter_sizes
        self.n_filters = n_filters
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.max_norm = max_norm
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.lowercase = lowercase
        self.min_df = min_df
        self.max_features = max_features
        self.max_length = max_length
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.random_state = random_state
