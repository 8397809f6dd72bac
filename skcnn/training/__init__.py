"""Training and inference: devices, precision, randomness, the loop.

`engine` and `callbacks` are the only modules of the package that import skorch.
"""

from .averaging import WeightAveraging
from .build import build_net, renew_net
from .callbacks import check_callbacks
from .devices import DTYPES, check_device, leased_gpu
from .early_stopping import EarlyStopping
from .engine import train_net
from .inference import predict_batches
from .lr_finder import LearningRateCurve, range_test
from .memory import explain_out_of_memory, halve_until_it_fits
from .monitor import Monitor
from .muon import Muon
from .optimizers import OPTIMIZERS, choose_weight_decay
from .progress import CallbackSupportMixin, FitProgress
from .randomness import PrivateRandomness, draw_privately, make_generator
from .schedules import SCHEDULES, Plateau
from .validation import Validation

__all__ = [
    "DTYPES",
    "OPTIMIZERS",
    "SCHEDULES",
    "CallbackSupportMixin",
    "EarlyStopping",
    "FitProgress",
    "LearningRateCurve",
    "Monitor",
    "Muon",
    "Plateau",
    "PrivateRandomness",
    "Validation",
    "WeightAveraging",
    "build_net",
    "check_callbacks",
    "check_device",
    "choose_weight_decay",
    "draw_privately",
    "explain_out_of_memory",
    "halve_until_it_fits",
    "leased_gpu",
    "make_generator",
    "predict_batches",
    "range_test",
    "renew_net",
    "train_net",
]
