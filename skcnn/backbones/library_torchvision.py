"""Classification networks of torchvision."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from .backbone import Backbone, BackboneInfo
from .families import find_family
from .preprocessing import Preprocessing
from .weights import WeightsCard

HASH = re.compile(r"-([0-9a-f]{8,64})\.")
# Auxiliary heads of GoogLeNet and Inception, which only training uses.
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
# Names in DenseNet's published files, from a time when dots were allowed.
DOTTED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


@dataclass(frozen=True)
class TorchvisionBackbone(Backbone):
    """A classification network of torchvision, see `Backbone`."""

    library: ClassVar[str] = "torchvision"

    def build(self, n_outputs=None, card=None):
        """Return the network with random weights, see `Backbone.build`."""
        from torchvision.models import get_model

        crop = (card or self.cards[0]).preprocessing.crop_size
        arguments = fixed_arguments(self.name, crop)
        n_outputs = n_outputs or (card or self.cards[0]).n_outputs
        return get_model(self.name, weights=None, num_classes=n_outputs, **arguments)

    def rename(self, state_dict):
        """Return the weights under the network's current names."""
        renamed = OrderedDict(
            (DOTTED.sub(r"\1\2", name), tensor)
            for name, tensor in state_dict.items()
            if not name.startswith(AUXILIARY_HEADS)
        )
        renamed._metadata = getattr(state_dict, "_metadata", None)
        return renamed


def fixed_arguments(name, crop_size):
    """Return the arguments that torchvision passes for published weights."""
    if name.startswith("vit_"):
        return {"image_size": crop_size[0]}
    if name.startswith("maxvit_"):
        return {"input_size": crop_size}
    if name in ("googlenet", "inception_v3"):
        # Their weights expect another normalisation: transform_input converts to it.
        return {"aux_logits": False, "transform_input": True, "init_weights": True}
    return {}


def names():
    """Return the names of the networks."""
    from torchvision import models

    return models.list_models(module=models)


def weight_sets(name):
    """Return torchvision's sets of weights for a network, its default one first."""
    from torchvision.models import get_model_weights

    sets = get_model_weights(name)
    # A set without categories has no head: the weights of its last layers are NaN.
    whole = [weights for weights in sets if weights.meta["categories"]]
    return sorted(whole, key=lambda weights: weights is not sets.DEFAULT)


def find(name):
    """Return the backbone of a name in `names`."""
    cards = tuple(make_card(weights, name) for weights in weight_sets(name))
    return TorchvisionBackbone(name, cards[0].preprocessing, cards, cards[0].n_outputs)


def make_card(weights, name):
    """Return the card of a set of weights of torchvision."""
    file_name = PurePosixPath(weights.url).name
    family = find_family(name)
    published_hash = HASH.search(file_name)
    return WeightsCard(
        name=weights.name,
        file_name=file_name,
        url=weights.url,
        sha256=published_hash[1] if published_hash else "",
        preprocessing=make_preprocessing(weights.transforms()),
        n_outputs=len(weights.meta["categories"]),
        licence=weights.meta.get("license"),
        paper=family.paper if family else None,
    )


def make_preprocessing(transforms):
    """Return torchvision's preset for classification as Preprocessing."""
    return Preprocessing(
        crop_size=tuple(transforms.crop_size) * 2,
        resize_size=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def rows():
    """Return the rows of `list_backbones`, by family."""
    return [make_row(name) for name in sorted(names(), key=reading_order)]


def make_row(name):
    """Return the row of `list_backbones` for a network."""
    family = find_family(name)
    return BackboneInfo(
        name,
        TorchvisionBackbone.library,
        family.year if family else None,
        family.ilsvrc if family else None,
        tuple(weights.name for weights in weight_sets(name)),
    )


def reading_order(name):
    """Return a key that sorts by year and family, small networks first."""
    family = find_family(name)
    n_parameters = weight_sets(name)[0].meta["num_params"]
    return (family.year, family.prefix, n_parameters) if family else (9999, "", 0)
