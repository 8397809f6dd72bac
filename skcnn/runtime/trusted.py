"""Code whose behaviour is known: this package and its libraries."""

LIBRARIES = ("skcnn", "torch", "torchvision", "timm", "skorch", "sklearn", "numpy")


def is_of(kind, *packages):
    """Return whether a class or function is defined in one of the given packages.

    Parameters
    ----------
    kind : type or callable
        The class or function.

    *packages : str
        Dotted names of packages or modules; `LIBRARIES` if none is given.

    Returns
    -------
    bool
        False if its module is not known.

    Examples
    --------
    >>> from torch import nn
    >>> from skcnn.runtime import is_of
    >>> is_of(nn.Linear), is_of(nn.Linear, "torchvision", "skcnn")
    (True, False)
    """
    module = getattr(kind, "__module__", None) or ""
    return any(f"{module}.".startswith(f"{p}.") for p in packages or LIBRARIES)
