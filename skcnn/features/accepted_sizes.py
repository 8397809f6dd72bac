"""Image sizes that a network accepts, for error messages."""

from contextlib import contextmanager

LARGEST_SIDE = 1024
# Networks that accept a single size check it by an assertion.
REFUSALS = (RuntimeError, AssertionError)


@contextmanager
def explain_refused_shape(extractor, input_shape, name, published_side=None):
    """Raise a ValueError with the accepted size if a network rejects a shape.

    Parameters
    ----------
    extractor : FeatureExtractor
        Network.

    input_shape : tuple of int
        ``(n_channels, *spatial_shape)`` of its samples.

    name : str
        Name of the network in the message.

    published_side : int or None, default=None
        Height and width, in pixels, that the network was trained on.

    Raises
    ------
    ValueError
        If the network rejects samples of that shape.
    """
    try:
        yield
    except REFUSALS as error:
        run = extractor.dry_run()
        if _takes(run, input_shape):
            raise
        message = _explain(run, input_shape, name, published_side, error)
        raise ValueError(message) from error


def _takes(run, shape):
    try:
        run(shape)
    except REFUSALS:
        return False
    return True


def _explain(run, input_shape, name, published_side, error):
    """Return a message with the accepted size, if one is found."""
    n_channels, *sides = input_shape
    images = "images" if len(sides) == 2 else "samples"

    def takes(side):
        return _takes(run, (n_channels, *(side for _ in sides)))

    def size(side):
        return " x ".join(str(side) for _ in sides)

    given = " x ".join(map(str, sides))
    side = _smallest_side(takes, min(sides), published_side)
    if side is not None and not takes(side + 1):
        return (
            f"{name} takes {images} of {size(side)} only, got {given}. Resize the "
            f"{images}."
        )
    if side is not None and side > min(sides):
        return (
            f"{name} takes {images} of at least {size(side)}, got {given}. Use larger "
            f"{images}, or choose an earlier layer."
        )
    return (
        f"{name} cannot take samples of shape {tuple(input_shape)}, channels first: "
        f"{str(error).partition(chr(10))[0]}"
    )


def _smallest_side(takes, given, published):
    """Return the smallest accepted side, or None if none is found."""
    low, high = 0, published
    if high is None:
        low, high = given, 2 * given
        while not takes(high):
            low, high = high, 2 * high
            if high > LARGEST_SIDE:
                return None
    elif not takes(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high
