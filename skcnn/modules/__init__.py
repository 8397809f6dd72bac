"""Convolutional networks in plain torch: building blocks and whole architectures.

An architecture is a class or function of ``input_shape``, the shape
``(n_channels, *spatial_shape)`` of one sample, and ``n_outputs``. It returns a
:class:`torch.nn.Module` that maps ``(n_samples, *input_shape)`` to
``(n_samples, n_outputs)``. Its other arguments are hyper-parameters, which the
estimators pass on.
"""

from .architectures import ARCHITECTURES, build_module
from .building_blocks import ACTIVATIONS, Dropout
from .convnet import ConvBlock, ConvNet
from .fcn import FCN
from .lenet import LeNet5
from .losses import BinaryCrossEntropy
from .resnet import CIFARResNet
from .stored_network import StoredNetwork, find_recipe, note_recipe
from .textcnn import CHANNELS, TextCNN

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "CHANNELS",
    "FCN",
    "BinaryCrossEntropy",
    "CIFARResNet",
    "ConvBlock",
    "ConvNet",
    "Dropout",
    "LeNet5",
    "StoredNetwork",
    "TextCNN",
    "build_module",
    "find_recipe",
    "note_recipe",
]
