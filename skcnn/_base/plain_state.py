"""State of an estimator as plain data, for saving."""

from torch import nn

from ..modules import StoredNetwork


def copy_shallow(estimator):
    """Return a shallow copy of an estimator."""
    other = type(estimator).__new__(type(estimator))
    vars(other).update(vars(estimator))
    return other


def with_stored_networks(state):
    """Return a state with its networks as plain data."""
    stored = {}

    def store(value):
        if isinstance(value, nn.Module):
            if id(value) not in stored:
                stored[id(value)] = StoredNetwork.of(value)
            return stored[id(value)]
        return value

    return _mapped(state, store)


def with_built_networks(state):
    """Return a state with its networks rebuilt."""
    built = {}

    def build(value):
        if isinstance(value, StoredNetwork):
            if id(value) not in built:
                built[id(value)] = value.build()
            return built[id(value)]
        return value

    return _mapped(state, build)


def _mapped(state, change):
    """Apply a function to the values of a state, and to those of `_built_with`."""
    changed = {name: change(value) for name, value in state.items()}
    if "_built_with" in state:
        values = state["_built_with"].items()
        changed["_built_with"] = {name: change(value) for name, value in values}
    return changed
