"""A convolutional network as classifier of sentences."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from ._classification import ClassificationMixin
from ._parameters import TRAINING_CONSTRAINTS
from ._text_input import SentenceCNN
from .data import TOKEN_PATTERN
from .modules import CHANNELS


class TextCNNClassifier(ClassificationMixin, SentenceCNN):
    """Classifier."""

    _parameter_constraints = {
        "embeddings": "no_validation",
        "mode": [StrOptions(set(CHANNELS))],
        "filter_sizes": [tuple, list],
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "tokenizer": [callable, None],
        "token_pattern": [str],
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
        lr=0.001,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        weight_averaging=None,
        batch_size=50,
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
