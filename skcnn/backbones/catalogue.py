"""The catalogue of backbones: names to networks."""

from difflib import get_close_matches

from . import library_skcnn, library_timm, library_torchvision

LIBRARIES = {
    "skcnn": library_skcnn,
    "torchvision": library_torchvision,
    "timm": library_timm,
}


def list_backbones(library=None):
    """List the networks that can be had by name.

    Parameters
    ----------
    library : {"skcnn", "torchvision", "timm"} or None, default=None
        Whose networks. None is all but those of timm, which are more than a
        thousand.

    Returns
    -------
    list of BackboneInfo
        Each with the attributes `name`, `library`, `year` (of the paper),
        `ilsvrc` (place in the ImageNet challenge of that year) and `weights`
        (names of the published sets, the default first).

    Raises
    ------
    ValueError
        If there is no such library.

    ImportError
        If timm is asked for and not installed.

    Examples
    --------
    >>> from skcnn.backbones import list_backbones
    >>> [row.name for row in list_backbones() if row.ilsvrc == 1]
    ['alexnet', 'googlenet', 'resnet18', 'resnet34', 'resnet50', 'resnet101',
    'resnet152']
    """
    if library is None:
        return [*library_torchvision.rows(), *library_skcnn.rows()]
    if library not in LIBRARIES:
        raise ValueError(
            f"library={library!r} is not known. Choose one of {list(LIBRARIES)}, or "
            "None."
        )
    return LIBRARIES[library].rows()


def find_backbone(name):
    """Find a network by name.

    Parameters
    ----------
    name : str
        A name of torchvision, of :data:`skcnn.modules.ARCHITECTURES`, or "timm/"
        and a name of timm.

    Returns
    -------
    Backbone
        How to build the network, and its weights. Nothing is built yet.

    Raises
    ------
    ValueError
        If there is no such network; the message names close ones.

    ImportError
        If the name begins with "timm/" and timm is not installed.
    """
    if name.startswith(library_timm.PREFIX):
        library = library_timm
    elif name in library_skcnn.names():
        library = library_skcnn
    else:
        library = library_torchvision
    known = library is library_timm or name in library.names()
    backbone = library.find(name) if known else None
    if backbone is None:
        raise ValueError(unknown(name, library))
    return backbone


def unknown(name, library):
    """Return the message that a name is not known, with those that are close."""
    names = library.names()
    if library is not library_timm:
        names = [*names, *library_skcnn.names()]
    close = get_close_matches(name.partition(".")[0], names, n=5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return (
        f"backbone={name!r} is not known.{hint} list_backbones() names all; the "
        "networks of timm are 'timm/<name>'."
    )
