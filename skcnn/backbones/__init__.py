"""Pretrained networks by name, with their weights and preprocessing."""

from .backbone import Backbone, BackboneInfo
from .catalogue import find_backbone, list_backbones
from .class_names import label_features
from .copies import copy_network, weightless_copy
from .cutting import canonical_layer, cut_network, layer_names
from .download import download_weights
from .fine_tuned import FineTunedNetwork, make_head
from .identity import find_digest, module_identity
from .layer_table import LayerInfo, layer_table
from .loading import LoadedBackbone, load_backbone
from .preprocessing import Preprocessing, check_channels, check_pixel_range
from .references import find_referred, refer_to, usual_folders
from .weights import WeightsCard, WeightsError, load_weights, weights_digest
from .weights_files import is_weights_file, read_state_dict

__all__ = [
    "Backbone",
    "BackboneInfo",
    "FineTunedNetwork",
    "LayerInfo",
    "LoadedBackbone",
    "Preprocessing",
    "WeightsCard",
    "WeightsError",
    "canonical_layer",
    "check_channels",
    "check_pixel_range",
    "copy_network",
    "cut_network",
    "download_weights",
    "find_backbone",
    "find_digest",
    "find_referred",
    "is_weights_file",
    "label_features",
    "layer_names",
    "layer_table",
    "list_backbones",
    "load_backbone",
    "load_weights",
    "make_head",
    "module_identity",
    "read_state_dict",
    "refer_to",
    "usual_folders",
    "weightless_copy",
    "weights_digest",
]
