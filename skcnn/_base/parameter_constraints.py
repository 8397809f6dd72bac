"""Parameter constraints of the estimators."""

from numbers import Integral, Real
from os import PathLike

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from ..features import POOLINGS
from ..modules import ACTIVATIONS, CHANNELS
from ..runtime import DTYPES
from ..training import OPTIMIZERS, SCHEDULES

COUNT = Interval(Integral, 1, None, closed="left")
COUNT_OR_NONE = Interval(Integral, 0, None, closed="left")  # 0 for none
POSITIVE = Interval(Real, 0, None, closed="neither")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
FRACTION = Interval(Real, 0, 1, closed="neither")
PROBABILITY = Interval(Real, 0, 1, closed="left")
FACTOR = Interval(Real, 0, 1, closed="right")
AUTO = StrOptions({"auto"})

COMPUTATION = {
    "batch_size": [AUTO, COUNT],
    "device": [str, torch.device],
    "precision": [StrOptions(set(DTYPES))],
    "random_state": ["random_state"],
}
TRAINING = {
    "optimizer": [StrOptions(set(OPTIMIZERS)), type],
    "lr": [POSITIVE],
    "lr_schedule": [StrOptions(set(SCHEDULES)), callable, None],
    "weight_decay": [NON_NEGATIVE],
    "weight_averaging": [StrOptions({"swa", "ema"}), None],
    "max_epochs": [COUNT],
    "early_stopping": ["boolean"],
    "scoring": [str, callable, None],
    "validation_fraction": [FRACTION],
    "n_iter_no_change": [COUNT],
    "tol": [NON_NEGATIVE],
    "warm_start": ["boolean"],
    "callbacks": [list, tuple, None],
    "verbose": ["verbose"],
    **COMPUTATION,
}
CLASSIFICATION = {
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
    "label_smoothing": [PROBABILITY],
}
IMAGES = {
    "image_shape": [tuple, list, None],
    "channel_axis": [AUTO, Integral, None],
}
MEMORY = {"memory": ["boolean", str, PathLike, None]}
AUGMENTATION = {"augmentation": [str, callable, list, tuple, None]}
ARCHITECTURE = {
    "architecture": [str, callable],
    "n_layers": [COUNT],
    "n_filters": [COUNT],
    "filter_growth": [POSITIVE],
    "kernel_size": [COUNT, tuple, list],
    "stride": [COUNT, tuple, list],
    "pooling": [StrOptions({"max", "avg", "stride"}), None],
    "pool_size": [COUNT, tuple, list],
    "activation": [StrOptions(set(ACTIVATIONS)), callable],
    "norm": [StrOptions({"batch", "group"}), None],
    "dropout": [PROBABILITY],
    "hidden_layer_sizes": [tuple, list, np.ndarray, COUNT],
}
CNN = {
    **ARCHITECTURE,
    **AUGMENTATION,
    **IMAGES,
    **TRAINING,
    **MEMORY,
    "max_epochs": [AUTO, COUNT],
    "weight_decay": [AUTO, NON_NEGATIVE],
}
BACKBONE = {
    "backbone": [str, torch.nn.Module, BaseEstimator],
    "weights": [str, PathLike, None],
    "preprocessing": [str],
    "image_size": [COUNT, tuple, list, None],
    **MEMORY,
    **IMAGES,
}
FINE_TUNING = {
    "trainable": [str, COUNT_OR_NONE],
    "dropout": [PROBABILITY],
    "head_epochs": [COUNT_OR_NONE],
    "lr_decay": [FACTOR],
    **BACKBONE,
    **AUGMENTATION,
    **TRAINING,
}
VOCABULARY = {
    "tokenizer": [callable, None],
    "token_pattern": [str, None],
    "lowercase": ["boolean"],
    "min_df": [Interval(Real, 0, 1, closed="both"), COUNT],
    "max_features": [COUNT, None],
    "max_length": [COUNT, None],
}
TEXT_NETWORK = {
    "embedding_dim": [COUNT],
    "mode": [StrOptions(set(CHANNELS))],
    "filter_sizes": [tuple, list],
    "n_filters": [COUNT],
    "dropout": [PROBABILITY],
    "max_norm": [POSITIVE, None],
}
TEXT = {
    "embeddings": "no_validation",
    **VOCABULARY,
    **TEXT_NETWORK,
    **TRAINING,
    **MEMORY,
    "max_epochs": [AUTO, COUNT],
    **CLASSIFICATION,
}
FEATURES = {
    **BACKBONE,
    **COMPUTATION,
    "layer": [str, list, tuple],
    "pooling": [StrOptions(set(POOLINGS)), None],
    "compile": ["boolean"],
    "memory_bytes_limit": [COUNT],
    "on_error": [StrOptions({"raise", "skip"})],
    "store_weights": ["boolean"],
}
