"""Convolutional neural network classifier of sentences."""

import numpy as np
from sklearn.base import ClassifierMixin, TransformerMixin, _fit_context
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import check_is_fitted

from ._base import BaseCNN, ClassTargets, check_partial_fit, fitting, sentence_input
from ._base.explained_texts import NGramsMixin
from ._base.parameter_constraints import TEXT, TEXT_NETWORK, VOCABULARY
from ._base.sentence_network import described_text_network, given_vectors
from ._base.shared_parameters import clone_sharing
from .data import TOKEN_PATTERN, as_texts


class TextCNNClassifier(NGramsMixin, ClassifierMixin, TransformerMixin, BaseCNN):
    r"""Convolutional neural network classifier of sentences.

    Words are represented by vectors. Filters slide over windows of 3, 4 and 5 words;
    the maximum response of each filter over the sentence is a feature, and a linear
    layer computes probabilities from the features [1]_.

    X is a list, tuple, array or Series of strings, or a frame of one column. The
    vocabulary consists of the words of the training sentences. Unknown words share
    one vector, which is 0 unless `min_df` or `max_features` exclude words.
    Sentences may be empty or shorter than a filter.

    Parameters
    ----------
    embeddings : mapping, KeyedVectors, Series, DataFrame, str or PathLike, default=None
        Pretrained word vectors: a mapping from words to vectors, a KeyedVectors object
        of gensim, a pandas Series or frame with words as its index, or the path of a
        word2vec or GloVe file. Other words get random vectors of the same variance.
        The object is shared by clones, not copied.
    mode : {"rand", "static", "non-static", "multichannel"}, default="rand"
        Word vectors: "rand", random and trained; "static", `embeddings`, not trained;
        "non-static", `embeddings`, trained; "multichannel", a static and a non-static
        copy of `embeddings`, whose filter responses are added.
    filter_sizes : tuple of int, default=(3, 4, 5)
        Sizes of the filter windows, in words, all different.
    n_filters : int, default=100
        Number of filters of each size.
    embedding_dim : int, default=300
        Length of a word vector, unless `embeddings` are given.
    dropout : float, default=0.5
        Probability, in [0, 1), that a feature is dropped in a training step.
    max_norm : float or None, default=3
        Maximum L2 norm of the output weights of a class, None for no limit.
    tokenizer : callable or None, default=None
        Function that splits a sentence into words. None uses `token_pattern`.
    token_pattern : str or None, default=r"\w+(?:'\w+)*|[^\w\s]"
        Regular expression of a word, used if `tokenizer` is None. By default, words
        have any length and may contain apostrophes, and punctuation marks are words.
    lowercase : bool, default=True
        Whether to convert the text to lower case.
    min_df : int or float, default=1
        Minimum number, or fraction, of sentences that contain a word. Rarer words are
        not in the vocabulary.
    max_features : int or None, default=None
        Maximum size of the vocabulary, which keeps the most frequent words.
    max_length : int or None, default=None
        Maximum number of words that are read from a sentence. The longest sentence of a
        batch determines its memory, so set a maximum if some texts are much longer.
    optimizer : str or type, default="adamw"
        Optimiser: "adamw", "adam", "nadam", "radam", "rmsprop", "adagrad", "sgd",
        "muon" or a :class:`torch.optim.Optimizer` class, see :class:`CNNClassifier`.
        Except for custom classes, only the vectors of words in the batch are updated.
    lr : float, default=0.002
        Learning rate, the maximum of the schedule.
    lr_schedule : str, callable or None, default="one_cycle"
        Schedule of the learning rate: "one_cycle", "cosine", "linear", "step",
        "plateau", None or "constant", or a function that maps the progress of
        training, in [0, 1), to a factor of `lr`. See :class:`CNNClassifier`.
    weight_decay : float, default=0.01
        Strength of weight decay.
    weight_averaging : {"swa", "ema"} or None, default=None
        Average that replaces the weights, see :class:`CNNClassifier`.
    batch_size : int or "auto", default="auto"
        Maximum number of sentences in a training step. "auto" is the power of two near
        ``n_samples / 40``, between 8 and 64, and is halved, down to 4, if a batch
        does not fit in memory.
    max_epochs : int or "auto", default="auto"
        Maximum number of epochs. "auto" is the number of epochs in 600 training
        steps, and at least 10.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, see :class:`CNNClassifier`.
    label_smoothing : float, default=0.0
        Fraction of the target, in [0, 1), that is spread over all classes in the
        training loss.
    early_stopping : bool, default=False
        Whether to stop when the validation score does not improve, and to restore the
        weights of the best epoch.
    scoring : str, callable or None, default=None
        Score of the validation data: a scikit-learn scorer or its name, such as
        "balanced_accuracy"; "loss", the negative loss; None, the accuracy.
    validation_fraction : float, default=0.1
        Fraction of the training data, in (0, 1), that early stopping holds out,
        stratified by class if each sample has one class. Ignored if `X_val` is given.
    n_iter_no_change : int, default=10
        Maximum number of epochs without an improvement of at least `tol`.
    tol : float, default=1e-4
        Minimum increase of the validation score that counts as an improvement.
    warm_start : bool, default=False
        Whether `fit` continues with the network, the vocabulary and the validation
        split of the previous call. The optimiser, its schedule and `callbacks` start
        again. Parameters of the vocabulary and the network must not change.
    callbacks : list or tuple or None, default=None
        :class:`skorch.callbacks.Callback` instances, classes, or pairs of name
        and callback. Callbacks that set the learning rate need ``lr_schedule=None``.
    verbose : bool or int, default=0
        Whether to print a line for each epoch.
    device : str or torch.device, default="auto"
        Device of the computation, see :class:`CNNClassifier`.
    precision : {"float32", "bfloat16", "float64"}, default="float32"
        Precision of the computation, see :class:`CNNClassifier`.
    memory : str, path-like, bool or None, default=None
        Folder of finished fits, see :class:`CNNClassifier`.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights and vectors, the order of sentences, held-out data
        and dropout. None takes it from NumPy's global generator.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted class labels; for an indicator matrix, its column indices.
    vocabulary_ : dict of str to int
        Mapping from words to codes, which start at 2; 0 is padding, 1 any unknown word.
    module_ : torch.nn.Module
        Trained network, which maps the word codes of `to_input` to logits.
    net_ : skorch.NeuralNet
        skorch net that trained `module_`.
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

    See Also
    --------
    CNNClassifier : Convolutional neural network classifier of images and signals.

    Notes
    -----
    An integer as `random_state` gives the same model, bit for bit, on the same machine
    with the same library versions and number of threads; otherwise, models are equal
    up to rounding. Small fits run on one thread, so `n_jobs` does not change them.

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
    >>> clf.transform(X).shape
    (4, 300)
    >>> [ngram for ngram, response in clf.top_ngrams("3gram_0", n_top=2)]
    ['who are they', 'who is it']
    """

    _parameter_constraints = TEXT
    _network_parameters = ("embeddings", *TEXT_NETWORK, *VOCABULARY, "precision")
    _input = sentence_input
    _Targets = ClassTargets
    _auto_batch_sizes = (8, 64)  # the paper uses 50
    _fewest_auto_epochs = 10
    _predict_batch_size = 256

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
        max_epochs="auto",
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
        """Fit the network to sentences and labels.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Training sentences.
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
            which is undone.
        """
        with fitting(self, X, y, sample_weight, keep=self.warm_start) as task:
            samples = task.check()
            samples, held_out = task.split(samples, X_val, y_val, sample_weight_val)
            task.prepare(samples)
            task.train(samples, held_out)
            self._sentences = task.images(samples).arrays()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one more epoch, at the constant learning rate `lr`.

        The vocabulary, the optimiser and `callbacks` are those of the first call. If a
        call fails or is interrupted, the network does not change.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Training sentences.
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
        with fitting(self, X, y, sample_weight, keep=True, is_incremental=True) as task:
            _check_partial_fit_first_call(self, classes)
            samples = task.check()
            task.prepare(samples)
            task.train(samples)
            self._sentences = task.images(samples).arrays()
        return self

    def predict(self, X):
        """Predict the label of each sentence.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Sentences.

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
        X : array-like of str of shape (n_samples,)
            Sentences.

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
        X : array-like of str of shape (n_samples,)
            Sentences.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Natural logarithms, finite even if `predict_proba` rounds to 0.
        """
        outputs = self._outputs(X)
        return self._targets.log_probabilities(outputs)

    def transform(self, X):
        """Compute the features of sentences: the maximum response of each filter.

        Parameters
        ----------
        X : array-like of str of shape (n_samples,)
            Sentences.

        Returns
        -------
        ndarray of shape (n_samples, len(filter_sizes) * n_filters), of float32
            Non-negative features, zeros for a sentence without words.
        """
        check_is_fitted(self)
        features = self._compute_outputs(as_texts(X), self.module_.features)
        return features.astype(np.float32)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, default=None
            Ignored.

        Returns
        -------
        ndarray of str objects of shape (n_features,)
            Window size and index of each filter, such as "3gram_0".
        """
        check_is_fitted(self)
        filters = self.module_.features.filters
        n_filters = len(filters.bias) // len(filters.sizes)
        names = [f"{size}gram_{i}" for size in filters.sizes for i in range(n_filters)]
        return np.asarray(names, dtype=object)

    def _make_network(self):
        return described_text_network(self)

    def _read_besides(self):
        """Return the pretrained vectors of the vocabulary, None if there are none."""
        return None if self.embeddings is None else given_vectors(self)

    def __sklearn_clone__(self):
        return clone_sharing(self, "embeddings")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = False
        return tags
