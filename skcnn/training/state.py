"""Copies of what training changes."""

import torch


def copy_state(state):
    """Return a copy of the state of a network or an optimiser.

    Parameters
    ----------
    state : object
        From `state_dict`: tensors in dictionaries and lists, and other values.

    Returns
    -------
    object
        The same, none of whose tensors shares memory with those of `state`.
    """
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {name: copy_state(value) for name, value in state.items()}
    if isinstance(state, list):
        return [copy_state(value) for value in state]
    return state
