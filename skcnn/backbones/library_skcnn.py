"""The package's own networks for small images."""

from dataclasses import dataclass
from typing import ClassVar

from ..modules import ARCHITECTURES, build_module
from .backbone import Backbone, BackboneInfo
from .preprocessing import Preprocessing
from .weights import WeightsCard

INPUT_SHAPE = (3, 32, 32)
PREPROCESSING = Preprocessing(
    crop_size=INPUT_SHAPE[1:],
    resize_size=None,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
N_OUTPUTS = 10
NEEDS_SHAPE = ("convnet", "fcn")
YEARS = {"fcn": 2017, "lenet5": 1998} | dict.fromkeys(
    ("resnet20", "resnet32", "resnet44", "resnet56"), 2015
)
URL = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
# For resnet44, only the first digits are known.
CIFAR10_FILES = {
    "resnet20": (
        "resnet20-12fca82f.th",
        "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
    ),
    "resnet32": (
        "resnet32-d509ac18.th",
        "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850",
    ),
    "resnet44": ("resnet44-014dd654.th", "014dd654"),
    "resnet56": (
        "resnet56-4bfd9763.th",
        "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
    ),
}


@dataclass(frozen=True)
class SmallImageBackbone(Backbone):
    """A network of :mod:`skcnn.modules`, see `Backbone`."""

    library: ClassVar[str] = "skcnn"

    def build(self, n_outputs=None, card=None):
        """Return the network with random weights, see `Backbone.build`."""
        if self.needs_shape:
            raise ValueError(
                f"{self.name} cannot be built without the shape of X. Use "
                f"skcnn.modules.build_module({self.name!r}, input_shape, n_outputs)."
            )
        return build_module(self.name, INPUT_SHAPE, n_outputs or self.n_outputs)


def find(name):
    """Return the backbone of a name in `ARCHITECTURES`."""
    if name in NEEDS_SHAPE:
        return SmallImageBackbone(name, None, (), None, needs_shape=True)
    return SmallImageBackbone(name, PREPROCESSING, cards(name), N_OUTPUTS)


def cards(name):
    """Return the cards of the published weights of a network."""
    if name not in CIFAR10_FILES:
        return ()
    file_name, sha256 = CIFAR10_FILES[name]
    card = WeightsCard(
        name="CIFAR10",
        file_name=file_name,
        url=f"{URL}/{file_name}",
        sha256=sha256,
        preprocessing=PREPROCESSING,
        n_outputs=N_OUTPUTS,
        licence="BSD-2-Clause",
        paper="https://arxiv.org/abs/1512.03385",
    )
    return (card,)


def names():
    """Return the names of the networks."""
    return list(ARCHITECTURES)


def rows():
    """Return the rows of `list_backbones`, the oldest first."""
    found = [
        BackboneInfo(
            name,
            SmallImageBackbone.library,
            YEARS.get(name),
            None,
            tuple(card.name for card in cards(name)),
        )
        for name in names()
    ]
    return sorted(found, key=lambda row: (row.year is None, row.year or 0, row.name))
