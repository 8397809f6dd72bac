"""A network on its device, tried out, and the net that trains it."""

from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..data import with_channels_last
from ..runtime import DTYPES, PrivateRandomness, explain_large_network, make_generator
from .net import Net
from .optimizers import optimizer_arguments


def build_net(
    make_module,
    *,
    criterion,
    criterion_arguments,
    blank,
    n_outputs,
    optimizer,
    lr,
    weight_decay,
    batch_size,
    callbacks,
    verbose,
    device,
    precision,
    seed,
):
    """Build a network on its device, and the net that trains it.

    Parameters
    ----------
    make_module : callable
        Called without arguments, returns the :class:`torch.nn.Module`.

    criterion : type
        Class of the loss, which has a `reduction`.

    criterion_arguments : dict
        Its arguments.

    blank : torch.Tensor of shape (1, *sample_shape)
        A sample to try the network on, as it takes them.

    n_outputs : int
        Number of values that the network must return for a sample.

    optimizer, lr, weight_decay, batch_size, callbacks, verbose
        As of the estimators.

    device : torch.device
        Where the network computes.

    precision : str
        A key of `skcnn.training.DTYPES`.

    seed : int
        Of the initial weights.

    Returns
    -------
    Net
        Initialised, with ``flops_``, the forward operations of one sample.

    Raises
    ------
    ValueError
        As `probe`, and if the network has no parameters to train.

    NetworkMemoryError
        If its weights do not fit in memory.
    """
    with PrivateRandomness(make_generator(seed)):
        with explain_large_network():
            module = make_module()
        flops = probe(module, blank, n_outputs)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError(
            "The architecture has no parameters to train: it has none, or all of them "
            "are frozen."
        )
    module = module.to(device=device, dtype=DTYPES[precision])
    module = with_channels_last(module, blank.ndim)
    net = Net(
        module,
        criterion=criterion,
        lr=lr,
        batch_size=batch_size,
        callbacks=callbacks,
        verbose=verbose,
        device=str(device),
        precision=precision,
        **_optimization(criterion_arguments, optimizer, weight_decay, device),
    )
    net.flops_ = flops
    return net.initialize()


def renew_net(net, *, criterion_arguments, optimizer, weight_decay, callbacks):
    """Let a network be trained in another way from now on.

    Parameters
    ----------
    net : Net
        From `build_net`. Its optimiser forgets earlier steps.

    criterion_arguments, optimizer, weight_decay, callbacks
        As of `build_net`.
    """
    device = torch.device(net.device)
    net.renew(
        callbacks=callbacks,
        **_optimization(criterion_arguments, optimizer, weight_decay, device),
    )


def _optimization(criterion_arguments, optimizer, weight_decay, device):
    """Return parameters of a net: how the loss is made, and made smaller."""
    optimizer, arguments = optimizer_arguments(optimizer, weight_decay, device)
    return {
        "optimizer": optimizer,
        "optimizer_arguments": arguments,
        **{f"criterion__{name}": v for name, v in criterion_arguments.items()},
    }


class _NoTracker(nullcontext):
    """Stands in for what tells layers apart, by hooks in all networks of the process.

    Fits in other threads would see them.
    """

    parents = {"Global"}


def probe(module, blank, n_outputs):
    """Try `module` on one sample and count its forward operations.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on the CPU. Lazy layers learn their shapes here.

    blank : torch.Tensor of shape (1, *sample_shape)
        The sample.

    n_outputs : int
        Number of values expected for a sample.

    Returns
    -------
    int
        Floating-point operations of one sample.

    Raises
    ------
    ValueError
        If the network cannot take the shape or returns another one.
    """
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoTracker()
    input_shape = tuple(blank.shape[1:])
    module.eval()
    try:
        with torch.no_grad(), counter:
            out = module(blank)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"The architecture cannot take samples of shape {input_shape} "
            f"(channels, *spatial axes): {error}"
        ) from error
    shape = tuple(getattr(out, "shape", ()))
    if shape != (1, n_outputs):
        raise ValueError(
            f"The architecture returned {shape or type(out).__name__} for one sample "
            f"of shape {input_shape}, expected (1, {n_outputs})."
        )
    return max(counter.get_total_flops(), blank.numel())
