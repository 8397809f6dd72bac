"""Checkpoints with prefixed names or with other heads."""

import math
from collections import OrderedDict
from dataclasses import dataclass, replace

from ..modules import find_recipe
from .weights import WeightsError, differing_shapes, load_weights, required


@dataclass(frozen=True)
class NameFit:
    """Comparison of a network with the tensors of a checkpoint behind a prefix.

    Parameters
    ----------
    prefix : str
        The prefix.

    state_dict : dict of str to torch.Tensor
        Tensors, by their names without the prefix.

    missing, unexpected : list of str
        Names that only the network has, and that only the checkpoint has.

    differing : dict of str to tuple
        Differing shapes in the checkpoint and in the network, by name.
    """

    prefix: str
    state_dict: dict
    missing: list
    unexpected: list
    differing: dict

    @property
    def gaps(self):
        """Names that do not fit."""
        return [*self.missing, *self.unexpected, *self.differing]

    @property
    def n_lacking(self):
        """Number of tensors that the network lacks."""
        return len(self.missing) + len(self.differing)


def restore_checkpoint(backbone, state_dict, source):
    """Return the network of a backbone with the weights of a checkpoint.

    Names may have an additional prefix, and the head may be missing or that of another
    task.

    Parameters
    ----------
    backbone : Backbone
        The network.

    state_dict : dict of str to torch.Tensor
        The weights.

    source : str
        Origin of the weights, for messages.

    Returns
    -------
    torch.nn.Module
        Network in training mode, with the number of outputs of the checkpoint. Layers
        of the head that lack weights have the attribute `lacks_weights`.

    Raises
    ------
    WeightsError
        If the weights do not fit.
    """
    network = backbone.make()
    wanted = network.state_dict()
    fit = find_fit(state_dict, wanted, backbone.rename, source)
    if not fit.gaps:
        load_weights(network, fit.state_dict, source)
        return network
    n_outputs = count_outputs(fit.differing, backbone.n_outputs)
    if n_outputs is None or fit.missing:
        heads = find_heads(backbone, wanted)
        if fits_but_for(heads, fit, wanted):
            load_without_heads(network, fit, heads, source)
            return network
    return backbone.restore(fit.state_dict, source, n_outputs)


def find_fit(state_dict, wanted, rename, source):
    """Compare a checkpoint with a network, for the prefix that fits best.

    Parameters
    ----------
    state_dict, wanted : dict of str to torch.Tensor
        Tensors of the checkpoint and of the network.

    rename : callable
        `Backbone.rename`.

    source : str
        Origin of the weights, for messages.

    Returns
    -------
    NameFit
        Best comparison.

    Raises
    ------
    WeightsError
        If several prefixes fit equally well.
    """
    first = next(iter(wanted))
    prefixes = [
        name.removesuffix(first) for name in state_dict if name.endswith(f".{first}")
    ]
    fits = [
        compare_names(prefix, rename(behind(prefix, state_dict)), wanted)
        for prefix in ["", *prefixes]
    ]
    best, *others = sorted(fits, key=lambda fit: fit.n_lacking)
    if best.n_lacking >= len(required(wanted)) / 2:  # the weights of another network
        return fits[0]
    equal = [fit.prefix for fit in others if fit.n_lacking == best.n_lacking]
    if equal:
        raise WeightsError(
            f"{source} holds several matching networks, with parameter names beginning "
            f"with {' and '.join(map(repr, [best.prefix, *equal]))}. Save only one."
        )
    return best


def behind(prefix, state_dict):
    """Return the tensors whose names begin with a prefix, without it."""
    if not prefix:
        return state_dict
    return OrderedDict(
        (name.removeprefix(prefix), tensor)
        for name, tensor in state_dict.items()
        if name.startswith(prefix)
    )


def compare_names(prefix, state_dict, wanted):
    """Compare the tensors behind a prefix with those of a network."""
    return NameFit(
        prefix,
        state_dict,
        required(name for name in wanted if name not in state_dict),
        [name for name in state_dict if name not in wanted],
        differing_shapes(state_dict, wanted),
    )


def count_outputs(differing, published):
    """Return the number of outputs of a checkpoint.

    It is None, the published number, unless shapes differ only in that number.
    """
    found = set()
    for got, expected in differing.values():
        if got[1:] != expected[1:] or expected[0] != published:
            return None
        found.add(got[0])
    return found.pop() if len(found) == 1 else None


def find_heads(backbone, wanted):
    """Return the prefixes of the names of the layers that compute the outputs."""
    other = backbone.build(backbone.n_outputs + 1).state_dict()
    changed = {name for name in wanted if wanted[name].shape != other[name].shape}
    return tuple({widest_part(name, wanted, changed) for name in changed})


def widest_part(name, wanted, changed):
    """Return the shortest prefix of a name that only names in `changed` have."""
    parts = name.split(".")
    prefixes = [".".join(parts[:end]) + "." for end in range(1, len(parts))]
    alone = (
        prefix
        for prefix in prefixes
        if changed.issuperset(other for other in wanted if other.startswith(prefix))
    )
    return next(alone, name)


def fits_but_for(heads, fit, wanted):
    """Return whether the whole head of a network, and nothing else, does not fit."""
    of_heads = [name for name in required(wanted) if name.startswith(heads)]
    lacking = {*fit.missing, *fit.differing}
    return lacking.issuperset(of_heads) and all(
        name.startswith(heads) for name in fit.gaps
    )


def load_without_heads(network, fit, heads, source):
    """Load all weights of a network except for those of its head."""
    own = network.state_dict()
    of_heads = [name for name in own if name.startswith(heads)]
    rest = {
        name: tensor
        for name, tensor in fit.state_dict.items()
        if not name.startswith(heads)
    }
    load_weights(network, rest, source, optional=of_heads)
    for name in of_heads:
        own[name].fill_(math.nan)
    lacking = tuple(dict.fromkeys(name.rpartition(".")[0] for name in of_heads))
    replace(find_recipe(network), lacking=lacking).note_lacking(network)


def check_complete(network, layers):
    """Raise an error if a network needs a layer without weights in its checkpoint.

    Parameters
    ----------
    network : torch.nn.Module
        The network, cut at `layers`.

    layers : sequence of str
        Names of the layers, for the message.

    Raises
    ------
    WeightsError
        If there is such a layer.
    """
    for name, part in network.named_modules():
        if getattr(part, "lacks_weights", False):
            raise WeightsError(
                f"layer={list(layers)!r} needs the network's head {name!r}, for which "
                "the weights file has no weights. Choose a layer before it: "
                "layer='penultimate'."
            )
