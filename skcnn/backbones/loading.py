"""Loading of backbones with their weights, once per process."""

import math
from dataclasses import dataclass
from threading import Lock

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..runtime import usual_torch
from .catalogue import find_backbone
from .checkpoints import restore_checkpoint
from .class_names import N_IMAGENET, has_imagenet_head, imagenet_classes
from .preprocessing import Preprocessing
from .weights import weights_digest
from .weights_files import find_file, is_weights_file, read_state_dict

LOADED = {}
LOCKS = {}
GUARD = Lock()
SAMPLERS = ("uniform_", "normal_", "bernoulli_")


@dataclass(frozen=True)
class LoadedBackbone:
    """Network with its weights.

    Parameters
    ----------
    module : torch.nn.Module
        Network in evaluation mode, in float32, on the CPU. It may be shared: copy it
        before changing or moving it.

    preprocessing : Preprocessing
        Preprocessing that the weights were trained with.

    digest : str
        Digest of the weights, see `weights_digest`.

    is_imagenet : bool, default=False
        Whether the network was trained on ImageNet-1k and still has its head.
    """

    module: nn.Module
    preprocessing: Preprocessing
    digest: str
    is_imagenet: bool = False

    @property
    def class_names(self):
        """Class names of the outputs, a tuple; None if they are unknown."""
        return imagenet_classes() if self.is_imagenet else None


@usual_torch()  # for any caller, the network is the same and can be trained
def load_backbone(name, weights="default", verbose=False):
    """Load a network with its weights, once per process.

    Parameters
    ----------
    name : str
        Name of the network, see `find_backbone`.

    weights : str, PathLike or None, default="default"
        Weights: "default" or the name of a published set, downloaded if needed; the
        path of a safetensors or state-dict file, read without running code; or None,
        random weights from torch's global generator. A file may hold a checkpoint, see
        `read_state_dict` and `restore_checkpoint`.

    verbose : bool, default=False
        Whether to print the progress of a download to stderr.

    Returns
    -------
    LoadedBackbone
        Network, shared by all calls for the same weights, from any thread; random
        weights are new in each call. With a file or None, the preprocessing is that of
        the default weights.

    Raises
    ------
    ValueError
        If the name of the network or of the weights is unknown, or the network depends
        on the shape of the samples.

    WeightsError
        If the weights cannot be loaded, differ from the published ones, or do not fit.

    Examples
    --------
    >>> from skcnn.backbones import load_backbone
    >>> loaded = load_backbone("resnet20", weights=None)
    >>> loaded.module.training
    False
    >>> loaded.preprocessing.crop_size
    (32, 32)
    """
    backbone = find_backbone(name)
    if weights is None:
        module = backbone.make()
        return finish(module, backbone.preprocessing, is_imagenet=False)
    if is_weights_file(weights):
        key, load = (name, *file_identity(weights)), load_file
    else:
        weights = backbone.find_card(weights)
        key, load = (name, weights), load_published
    with GUARD:
        lock = LOCKS.setdefault(key, Lock())
    with lock:
        if key not in LOADED:
            LOADED[key] = load(backbone, weights, verbose)
        return LOADED[key]


def file_identity(path):
    """Return path, modification time and size of a file, which identify its state."""
    path = find_file(path)
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


def load_published(backbone, card, verbose):
    """Return a network with published weights."""
    path = backbone.weights_file(card, verbose)
    with SkipRandom():
        module = backbone.restore(read_state_dict(path), str(path), card=card)
    return finish(module, card.preprocessing, card.n_outputs == N_IMAGENET)


def load_file(backbone, path, verbose):
    """Return a network with the weights and the number of outputs of a file."""
    state_dict = read_state_dict(path)
    with SkipRandom():
        module = restore_checkpoint(backbone, state_dict, str(path))
    return finish(module, backbone.preprocessing, backbone.n_outputs == N_IMAGENET)


def finish(module, preprocessing, is_imagenet):
    """Return the network in evaluation mode, with its description."""
    module.eval()
    is_imagenet = is_imagenet and has_imagenet_head(module)
    return LoadedBackbone(module, preprocessing, weights_digest(module), is_imagenet)


class SkipRandom(TorchFunctionMode):
    """Context that replaces random numbers by NaN, until weights are loaded.

    Random initialisation of large networks would take seconds and change the state of
    torch's global generator. Weights that are missing in a file are found by their NaN.
    Other threads are not affected.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.rand, torch.randn):
            return torch.empty(*args, **kwargs).fill_(math.nan)
        dispatched = getattr(function, "__module__", None) == "torch.nn.init"
        if dispatched or getattr(function, "__name__", None) in SAMPLERS:
            tensor = args[0] if args else kwargs["tensor"]
            tensor.detach().fill_(math.nan)
            return tensor
        return function(*args, **kwargs)
