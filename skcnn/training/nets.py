"""Nets: built for a network that was tried out, renewed and trained."""

from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..data import Batches, with_channels_last
from ..runtime import (
    DTYPES,
    PrivateRandomness,
    explain_large_network,
    make_generator,
    memory_keeper,
)
from .net import Net
from .optimizers import optimizer_arguments
from .schedules import SCHEDULES

# Number of steps from which on it pays to keep the memory of one for the next: what
# was kept is given back, and a step on new memory takes a third longer.
MIN_STEPS = 10


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
    optimization = {
        "criterion_arguments": criterion_arguments,
        "optimizer": optimizer,
        "weight_decay": weight_decay,
    }
    return make_net(
        module,
        n_axes=blank.ndim,
        flops=flops,
        criterion=criterion,
        optimization=optimization,
        device=device,
        lr=lr,
        batch_size=batch_size,
        callbacks=callbacks,
        verbose=verbose,
        precision=precision,
    )


def make_net(
    module, *, n_axes, flops, criterion, optimization, device, precision, **options
):
    """Return the net that trains a network which was tried out.

    Parameters
    ----------
    module : torch.nn.Module
        Network, which is moved to the device.

    n_axes : int
        Number of axes of its batches.

    flops : float
        Forward operations of one sample.

    criterion, device, precision
        As of `build_net`.

    optimization : dict
        `criterion_arguments`, `optimizer` and `weight_decay`, as of `build_net`.

    **options : dict
        Other parameters of the net.

    Returns
    -------
    Net
        Initialised, with `n_axes_`, `flops_` and `optimization_`.
    """
    module = module.to(device=device, dtype=DTYPES[precision])
    net = Net(
        with_channels_last(module, n_axes),
        criterion=criterion,
        device=str(device),
        precision=precision,
        **options,
        **_optimization(device=device, **optimization),
    )
    net.n_axes_, net.flops_, net.optimization_ = n_axes, flops, optimization
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
    net.optimization_ = {
        "criterion_arguments": criterion_arguments,
        "optimizer": optimizer,
        "weight_decay": weight_decay,
    }
    options = _optimization(device=torch.device(net.device), **net.optimization_)
    net.renew(callbacks=callbacks, **options)


def train_net(
    net, dataset, epochs, *, lr_schedule, generator, monitors=(), keeps_epochs=False
):
    """Train `net` for some epochs, with as many threads as pay.

    Parameters
    ----------
    net : Net
        From `build_net`.

    dataset : TrainingSet
        Samples and targets.

    epochs : int
        Number of passes over the samples.

    lr_schedule : str or callable or None
        A key of `SCHEDULES`, a function of progress, or None for a constant
        learning rate.

    generator : torch.Generator
        For random layers, on the device of the network.

    monitors : sequence of Monitor, default=()
        What looks at the network between epochs.

    keeps_epochs : bool, default=False
        Whether Ctrl-C after an epoch ends the training with what that epoch left.

    Returns
    -------
    KeyboardInterrupt or None
        The interrupt that ended the training; it is to be raised.

    Raises
    ------
    ValueError
        If a callback and `lr_schedule` both set the learning rate, a callback has
        frozen all parameters, or the loss is not finite.

    TypeError
        If `lr_schedule` is a class, such as torch's.
    """
    schedule = lr_schedule
    if isinstance(schedule, type):
        raise TypeError(
            f"lr_schedule is the class {schedule.__name__}, expected a name or a "
            "function of progress. For a schedule of torch, pass lr_schedule=None and "
            f"callbacks=[skorch.callbacks.LRScheduler({schedule.__name__!r}, ...)]."
        )
    if not callable(schedule):
        schedule = SCHEDULES[schedule or "constant"]
    if net.has_scheduler() and schedule is not SCHEDULES["constant"]:
        raise ValueError(
            f"callbacks holds an LRScheduler, and lr_schedule={lr_schedule!r} sets the "
            "learning rate of each step, too. Pass lr_schedule=None, or leave the "
            "callback out."
        )
    is_long = epochs * len(Batches(dataset, net.batch_size)) >= MIN_STEPS
    keeps_memory = is_long and net.device == "cpu"
    with (
        net.computing(len(dataset)),
        memory_keeper.keep() if keeps_memory else nullcontext(),
    ):
        return net.train(dataset, epochs, schedule, generator, monitors, keeps_epochs)


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
