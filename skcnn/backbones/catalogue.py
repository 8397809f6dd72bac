"""Catalogue of backbones."""

from difflib import get_close_matches

from . import (
    library_installed,
    library_skcnn,
    library_timm,
    library_torchvision,
)

LIBRARIES = {
    "installed": library_installed,
    "skcnn": library_skcnn,
    "torchvision": library_torchvision,
    "timm": library_timm,
}


def list_backbones(library=None):
    """List the backbones that are available by name.

    Parameters
    ----------
    library : {"installed", "skcnn", "torchvision", "timm"} or None, default=None
        Library of the networks. "installed" lists those whose weights are installed
        with this package. None lists all except timm, which has more than a thousand.

    Returns
    -------
    list of BackboneInfo
        Rows with the attributes `name`, `library`, `year` (of the paper),
        `ilsvrc` (place in the ImageNet challenge of that year) and `weights`
        (names of the published sets, the default first).

    Raises
    ------
    ValueError
        If there is no such library.

    ImportError
        If `library` is "timm", and timm is not installed.

    Examples
    --------
    >>> from skcnn.backbones import list_backbones
    >>> list_backbones()[0].name
    'efficientnet_lite0'
    >>> [row.name for row in list_backbones() if row.ilsvrc == 1]
    ['alexnet', 'googlenet', 'resnet18', 'resnet34', 'resnet50', 'resnet101',
    'resnet152']
    """
    if library is None:
        libraries = library_installed, library_torchvision, library_skcnn
        return [row for library in libraries for row in library.rows()]
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
        "efficientnet_lite0", a name of torchvision, of
        :data:`skcnn.modules.ARCHITECTURES`, or "timm/" and a name of timm.

    Returns
    -------
    Backbone
        Backbone, which can build the network.

    Raises
    ------
    ValueError
        If there is no such network; the message suggests the closest name.
    """
    if name.startswith(library_timm.PREFIX):
        backbone = library_timm.find(name)
        if backbone is None:
            raise ValueError(unknown(name, library_timm.names()))
        return backbone
    known = []
    for library in (library_installed, library_skcnn, library_torchvision):
        if name in library.names():
            return library.find(name)
        known += library.names()
    raise ValueError(unknown(name, known))


def unknown(name, names):
    """Return the message for an unknown name, with the closest one."""
    close = get_close_matches(name.partition(".")[0], names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"backbone={name!r} is not known.{hint} list_backbones() lists all; the "
        "networks of timm are 'timm/<name>'."
    )
