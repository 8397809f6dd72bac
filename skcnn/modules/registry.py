"""Architectures by name."""

from functools import partial

from .convnet import ConvNet
from .fcn import FCN
from .lenet import LeNet5
from .resnet import CIFARResNet

ARCHITECTURES = {
    "convnet": ConvNet,
    "fcn": FCN,
    "lenet5": LeNet5,
    "resnet20": partial(CIFARResNet, depth=20),
    "resnet32": partial(CIFARResNet, depth=32),
    "resnet44": partial(CIFARResNet, depth=44),
    "resnet56": partial(CIFARResNet, depth=56),
}
