"""Class names of the outputs of a network."""

from functools import cache

from .cutting import layer_names
from .head import find_head, has_weights

N_IMAGENET = 1000


@cache
def imagenet_classes():
    """Return the class names of ImageNet-1k, in the order of the outputs.

    Returns
    -------
    tuple of str
        1000 distinct names.
    """
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def label_features(loaded, layer, n_features):
    """Return the labels of the features of a layer.

    Parameters
    ----------
    loaded : LoadedBackbone
        The network.

    layer : str
        Name of a layer, or "penultimate".

    n_features : int
        Number of its features.

    Returns
    -------
    tuple of str
        Class names, if the network was trained on ImageNet and the layer returns one
        value for each class; otherwise numbers from 0.

    Examples
    --------
    >>> from skcnn.backbones import label_features, load_backbone
    >>> loaded = load_backbone("efficientnet_lite0")
    >>> label_features(loaded, "classifier", 1000)[:2]
    ('tench', 'goldfish')
    >>> label_features(loaded, "penultimate", 1280)[:2]
    ('0', '1')
    """
    classes = loaded.class_names
    if classes and len(classes) == n_features and _ends(loaded.module, layer):
        return classes
    return tuple(map(str, range(n_features)))


def has_imagenet_head(module):
    """Return whether a network has one output for each class of ImageNet-1k.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    bool
    """
    name = _last_layer(module)
    if name is None:
        return False
    head = module.get_submodule(name)
    n_outputs = getattr(head, "out_features", getattr(head, "out_channels", None))
    return n_outputs == N_IMAGENET and not getattr(head, "lacks_weights", False)


def _ends(module, layer):
    """Return whether a layer is the last one with weights, or comes after it."""
    head = _last_layer(module)
    if layer == head or head.startswith(f"{layer}."):
        return True
    names = layer_names(module)
    return layer in names[names.index(head) :]


def _last_layer(module):
    """Return the name of the last layer with weights, None if there is none."""
    names = find_head(module)
    if names is None:
        names = [name for name, part in module.named_modules() if has_weights(part)]
    return names[-1] if names else None
