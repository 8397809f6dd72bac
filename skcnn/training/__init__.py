"""Training and inference: devices, precision, randomness, the loop.

`engine` is the only module of the package that imports skorch.
"""

from .build import build_net
from .devices import DTYPES, check_device
from .engine import train_net
from .inference import predict_batches
from .memory import explain_out_of_memory
from .optimizers import OPTIMIZERS
from .randomness import PrivateRandomness, make_generator
from .schedules import SCHEDULES

__all__ = [
    "DTYPES",
    "OPTIMIZERS",
    "SCHEDULES",
    "PrivateRandomness",
    "build_net",
    "check_device",
    "explain_out_of_memory",
    "make_generator",
    "predict_batches",
    "train_net",
]
