"""Convolutional networks in plain torch: building blocks and whole architectures.

An architecture is a class or function that is called with ``input_shape``, the
shape ``(n_channels, *spatial_shape)`` of one sample, and ``n_outputs``, and
returns an :class:`torch.nn.Module` that maps ``(n_samples, *input_shape)`` to
``(n_samples, n_outputs)``. Whatever other arguments it names are
hyper-parameters that the estimators fill in.
"""

from .activations import ACTIVATIONS
from .build import build_module
from .convnet import ConvBlock, ConvNet
from .dropout import Dropout
from .fcn import FCN
from .lenet import LeNet5
from .registry import ARCHITECTURES
from .resnet import CIFARResNet
from .textcnn import CHANNELS, TextCNN

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "CHANNELS",
    "FCN",
    "CIFARResNet",
    "ConvBlock",
    "ConvNet",
    "Dropout",
    "LeNet5",
    "TextCNN",
    "build_module",
]
