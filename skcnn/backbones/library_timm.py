"""Networks of timm."""

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from ..modules import note_recipe
from . import library_torchvision
from .backbone import Backbone, BackboneInfo, NamedNetwork
from .families import find_timm_family
from .preprocessing import Preprocessing
from .weights import WeightsCard, check_values, misfit

PREFIX = "timm/"
HASH = re.compile(r"-([0-9a-f]{8,64})\.")
ARXIV = "https://arxiv.org/abs/"


@dataclass(frozen=True)
class TimmBackbone(Backbone):
    """A network of timm, see `Backbone`."""

    library: ClassVar[str] = "timm"

    @property
    def architecture(self):
        """Name in timm, without the tag of a set of weights."""
        return self.name.removeprefix(PREFIX).partition(".")[0]

    def build(self, n_outputs=None, card=None):
        """Return the network with random weights, see `Backbone.build`."""
        return self._create(n_outputs, card, pretrained=False)

    def restore(self, state_dict, source, n_outputs=None, card=None):
        """Return the network with weights from a file, see `Backbone.restore`."""
        check_values(state_dict, source)
        overlay = {"state_dict": dict(state_dict)}
        if n_outputs is not None:
            overlay["num_classes"] = n_outputs
        try:  # timm renames weights of its files
            module = self._create(
                n_outputs, card, pretrained=True, pretrained_cfg_overlay=overlay
            )
            check_values(module.state_dict(), source)  # timm accepts some gaps
        except Exception as error:  # what timm's converters raise is not documented
            wanted = self.build(n_outputs, card).state_dict()
            raise misfit(state_dict, wanted, source) from error
        module.pretrained_cfg.pop("state_dict", None)  # timm keeps the weights
        recipe = NamedNetwork(self.name, n_outputs, card and card.name)
        return note_recipe(module, recipe)

    def _create(self, n_outputs, card, **arguments):
        import timm

        card = card or (self.cards[0] if self.cards else None)
        return timm.create_model(
            self.architecture,
            pretrained_cfg=card.name if card else None,
            num_classes=n_outputs,
            **arguments,
        )


def find(name):
    """Return the backbone of a name that begins with "timm/", or None if unknown."""
    import timm

    architecture, _, tag = name.removeprefix(PREFIX).partition(".")
    if not timm.is_model(architecture):
        return None
    configs = dict(published_configs(architecture))
    if tag and tag not in configs:
        return None
    if tag:
        configs = {tag: configs[tag]} | configs
    default = configs.get(tag) or timm.get_pretrained_cfg(architecture)
    cards = tuple(make_card(tag, config) for tag, config in configs.items())
    preprocessing = make_preprocessing(default)
    return TimmBackbone(name, preprocessing, cards, default.num_classes)


def published_configs(architecture):
    """Yield tag and configuration of each published set, the default first."""
    import timm

    default = timm.get_pretrained_cfg(architecture)
    every = timm.models.get_arch_pretrained_cfgs(architecture).values()
    for config in sorted(every, key=lambda config: config.tag != default.tag):
        if config.hf_hub_id or (config.url and not config.custom_load):
            yield config.tag or "", config


def names():
    """Return the names of the networks, without tags."""
    import timm

    return [PREFIX + name for name in timm.list_models()]


def make_card(tag, config):
    """Return the card of a set of weights of timm."""
    hub_id = config.hf_hub_id
    url = f"https://huggingface.co/{hub_id}" if hub_id else config.url
    file_name = PurePosixPath(url).name
    published_hash = HASH.search(file_name)
    paper = config.paper_ids
    return WeightsCard(
        name=tag,
        file_name=config.hf_hub_filename or "model.safetensors"
        if hub_id
        else file_name,
        url=url,
        sha256=published_hash[1] if published_hash and not hub_id else "",
        preprocessing=make_preprocessing(config),
        n_outputs=config.num_classes,
        licence=config.license,
        paper=paper.replace("arXiv:", ARXIV) if isinstance(paper, str) else None,
        hub_id=hub_id,
    )


def make_preprocessing(config):
    """Return timm's preprocessing for evaluation as Preprocessing."""
    from timm.data import resolve_data_config

    data = resolve_data_config(pretrained_cfg=config.to_dict())
    crop = tuple(data["input_size"][1:])
    resize = tuple(math.floor(side / data["crop_pct"]) for side in crop)
    mode = data["crop_mode"]
    if mode not in ("center", "squash") or (mode == "center" and crop[0] != crop[1]):
        raise ValueError(
            f"{PREFIX}{config.architecture} takes images of {crop[0]} x {crop[1]} "
            f"pixels in timm's crop mode {mode!r}, which is not supported. Choose "
            "another network."
        )
    return Preprocessing(
        crop_size=crop,
        resize_size=resize if mode == "squash" else resize[0],
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )


def rows():
    """Return the rows of `list_backbones`, by name."""
    torchvision_names = set(library_torchvision.names())
    return [make_row(name, torchvision_names) for name in names()]


def make_row(name, torchvision_names):
    """Return the row of `list_backbones` for a network."""
    architecture = name.removeprefix(PREFIX)
    family = find_timm_family(architecture, torchvision_names)
    return BackboneInfo(
        name,
        TimmBackbone.library,
        family.year if family else None,
        family.ilsvrc if family else None,
        tuple(tag for tag, _ in published_configs(architecture)),
    )
