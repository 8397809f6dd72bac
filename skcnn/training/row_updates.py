"""Optimiser steps on the rows of a weight that occur in a batch.

A batch of sentences has a few hundred words of a vocabulary of many thousands, so a
step on all word vectors would take longer than the network.
"""

from contextlib import contextmanager

import torch

from .optimizers import OPTIMIZERS


@contextmanager
def row_updates(optimizer):
    """Restrict steps to the rows of sparse gradients, within the context.

    Other rows keep their values and their state, such as moments, without weight
    decay; the step count is the same for all rows. An optimiser that is not in
    `OPTIMIZERS` may not treat each value independently, and gets a dense gradient.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Optimiser. A row must not occur twice in a sparse gradient.
    """
    updates = _RowUpdates()
    by_rows = type(optimizer) in OPTIMIZERS.values()
    hooks = [
        optimizer.register_step_pre_hook(updates.narrow if by_rows else fill_up),
        optimizer.register_step_post_hook(updates.widen),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def fill_up(optimizer, args, kwargs):
    """Make sparse gradients dense."""
    for weight in _with_sparse_gradients(optimizer):
        weight.grad = weight.grad.to_dense()


def _with_sparse_gradients(optimizer):
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None and weight.grad.is_sparse:
                yield weight


class _RowUpdates:
    """Rows that replace whole weights and their state during a step."""

    def __init__(self):
        self.narrowed = []

    def narrow(self, optimizer, args, kwargs):
        """Replace weights and their state by the rows of the gradient."""
        for weight in _with_sparse_gradients(optimizer):
            rows, gradient = weight.grad._indices()[0], weight.grad._values()
            whole, state = weight.data, optimizer.state[weight]
            moments = {k: v for k, v in state.items() if _is_like(v, whole)}
            state.update((k, v.index_select(0, rows)) for k, v in moments.items())
            weight.grad = None  # of another shape than the rows
            weight.data = whole.index_select(0, rows)
            weight.grad = gradient
            self.narrowed.append((weight, rows, whole, moments))

    def widen(self, optimizer, args, kwargs):
        """Put the rows back into the whole weights and their state."""
        for weight, rows, whole, moments in self.narrowed:
            state = optimizer.state[weight]
            for name in [k for k, v in state.items() if _is_like(v, weight)]:
                if name not in moments:  # the first step
                    moments[name] = torch.zeros_like(whole)
                moments[name].index_copy_(0, rows, state[name])
            state.update(moments)
            weight.grad = None
            weight.data = whole.index_copy_(0, rows, weight.data)
        self.narrowed.clear()


def _is_like(value, weight):
    return isinstance(value, torch.Tensor) and value.shape == weight.shape
