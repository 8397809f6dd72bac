"""Training and inference.

`net` and `callbacks` are the only modules of the package that import skorch.
"""

from .averaging import WeightAveraging
from .batch_norm import EvaluationCheck
from .callbacks import check_callbacks
from .inference import predict_batches
from .lr_finder import LearningRateCurve, range_test
from .monitors import EarlyStopping, Monitor, Validation
from .muon import Muon
from .net_state import net_from_state, net_state
from .nets import build_net, renew_net, train_net
from .optimizers import OPTIMIZERS, choose_weight_decay
from .progress import CallbackSupportMixin, FitProgress
from .schedules import SCHEDULES, Plateau

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "CallbackSupportMixin",
    "EarlyStopping",
    "EvaluationCheck",
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
    "net_from_state",
    "net_state",
    "predict_batches",
    "range_test",
    "renew_net",
    "train_net",
]
