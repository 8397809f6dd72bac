"""Training and inference.

`engine` and `callbacks` are the only modules of the package that import skorch.
"""

from .averaging import WeightAveraging
from .build import build_net, renew_net
from .callbacks import check_callbacks
from .early_stopping import EarlyStopping
from .engine import train_net
from .inference import predict_batches
from .lr_finder import LearningRateCurve, range_test
from .monitor import Monitor
from .muon import Muon
from .optimizers import OPTIMIZERS, choose_weight_decay
from .progress import CallbackSupportMixin, FitProgress
from .schedules import SCHEDULES, Plateau
from .validation import Validation

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "CallbackSupportMixin",
    "EarlyStopping",
    "FitProgress",
    "LearningRateCurve",
    "Monitor",
    "Muon",
    "Plateau",
    "Validation",
    "WeightAveraging",
    "build_net",
    "check_callbacks",
    "choose_weight_decay",
    "predict_batches",
    "range_test",
    "renew_net",
    "train_net",
]
