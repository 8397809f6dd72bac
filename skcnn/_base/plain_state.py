"""State of an estimator as plain data, for every way of saving it."""

from torch import nn

from ..modules import StoredNetwork


def copy_shallow(estimator):
    """Return another estimator that has the very same attributes."""
    other = type(estimator).__new__(type(estimator))
    vars(other).update(vars(estimator))
    return other


def with_stored_networks(state):
    """Return a state whose networks are plain data, also in the dicts that it holds."""
    stored = {}

    def store(value):
        if isinstance(value, nn.Module):
            if id(value) not in stored:
                stored[id(value)] = StoredNetwork.of(value)
            return stored[id(value)]
        return value

    return _mapped(state, store)


def with_built_networks(state):
    """Return a state whose networks are built again."""
    built = {}

    def build(value):
        if isinstance(value, StoredNetwork):
            if id(value) not in built:
                built[id(value)] = value.build()
            return built[id(value)]
        return value

    return _mapped(state, build)


def _mapped(state, change):
    """Return a state with other values, and so of `_built_with`."""
    changed = {name: change(value) for name, value in state.items()}
    if "_built_with" in state:
        values = state["_built_with"].items()
        changed["_built_with"] = {name: change(value) for name, value in values}
    return changed
