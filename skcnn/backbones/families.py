"""Families of networks: the year, the paper and the place in the ImageNet challenge."""

import re
from typing import NamedTuple


class Family(NamedTuple):
    """Family of networks whose names begin with `prefix`."""

    prefix: str
    year: int
    ilsvrc: int | None
    paper: str


# ILSVRC: place in the classification task of the same year.
FAMILIES = (
    # Year and place are those of the network in two halves (NeurIPS 2012). The paper
    # is that of the network in one piece, whose weights are published.
    Family("alexnet", 2012, 1, "https://arxiv.org/abs/1404.5997"),
    Family("googlenet", 2014, 1, "https://arxiv.org/abs/1409.4842"),
    Family("vgg", 2014, 2, "https://arxiv.org/abs/1409.1556"),
    Family("inception_v3", 2015, None, "https://arxiv.org/abs/1512.00567"),
    Family("resnet", 2015, 1, "https://arxiv.org/abs/1512.03385"),
    Family("squeezenet", 2016, None, "https://arxiv.org/abs/1602.07360"),
    Family("wide_resnet", 2016, None, "https://arxiv.org/abs/1605.07146"),
    Family("densenet", 2016, None, "https://arxiv.org/abs/1608.06993"),
    Family("resnext", 2016, None, "https://arxiv.org/abs/1611.05431"),
    Family("senet", 2017, 1, "https://arxiv.org/abs/1709.01507"),
    Family("mobilenet_v2", 2018, None, "https://arxiv.org/abs/1801.04381"),
    Family("mnasnet", 2018, None, "https://arxiv.org/abs/1807.11626"),
    Family("shufflenet_v2", 2018, None, "https://arxiv.org/abs/1807.11164"),
    Family("efficientnet", 2019, None, "https://arxiv.org/abs/1905.11946"),
    Family("mobilenet_v3", 2019, None, "https://arxiv.org/abs/1905.02244"),
    Family("regnet", 2020, None, "https://arxiv.org/abs/2003.13678"),
    Family("vit", 2020, None, "https://arxiv.org/abs/2010.11929"),
    Family("efficientnet_v2", 2021, None, "https://arxiv.org/abs/2104.00298"),
    Family("swin", 2021, None, "https://arxiv.org/abs/2103.14030"),
    Family("swin_v2", 2021, None, "https://arxiv.org/abs/2111.09883"),
    Family("convnext", 2022, None, "https://arxiv.org/abs/2201.03545"),
    Family("maxvit", 2022, None, "https://arxiv.org/abs/2204.01697"),
)
# timm's names for the networks of the squeeze-and-excitation paper.
SENET = re.compile(r"(legacy_)?se(net|resnet|resnext)\d+(_32x4d)?$")


def find_family(name):
    """Return the family of a network of torchvision, None if it is not known."""
    found = [family for family in FAMILIES if name.startswith(family.prefix)]
    return max(found, key=lambda family: len(family.prefix), default=None)


def find_timm_family(name, torchvision_names):
    """Return the family of a network of timm, None if it is not known.

    Parameters
    ----------
    name : str
        Name in timm, without a tag.

    torchvision_names : collection of str
        Names in torchvision. Equal names have the same family; the beginning of a name
        does not identify the family of timm's many other networks.

    Returns
    -------
    Family or None
        The family.
    """
    if SENET.match(name):
        return find_family("senet")
    return find_family(name) if name in torchvision_names else None
