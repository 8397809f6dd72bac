"""Nets: built, renewed and trained."""

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

# Minimum number of steps for which freed memory is kept for the next step: a step on
# new memory takes a third longer, but the kept memory has to be released at the end.
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
    """Build a network on its device and the net that trains it.

    Parameters
    ----------
    make_module : callable
        Function without arguments that returns a :class:`torch.nn.Module`.

    criterion : type
        Class of the loss, with an attribute `reduction`.

    criterion_arguments : dict
        Arguments of the loss.

    blank : torch.Tensor of shape (1, *sample_shape)
        Sample on which the network is tried out.

    n_outputs : int
        Expected number of outputs for a sample.

    optimizer, lr, weight_decay, batch_size, callbacks, verbose
        See the estimators.

    device : torch.device
        Device of the network.

    precision : str
        Key of `skcnn.runtime.DTYPES`.

    seed : int
        Seed of the initial weights.

    Returns
    -------
    Net
        Initialised net, with ``flops_``, the forward operations of one sample.

    Raises
    ------
    ValueError
        If the network has no trainable parameters, and as `probe`.

    NetworkMemoryError
        If the weights do not fit in memory.
    """
    with PrivateRandomness(make_generator(seed)):
        with explain_large_network():
            module = make_module()
        flops = probe(module, blank, n_outputs)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError(
            "The architecture has no trainable parameters, expected at least one. Add "
            "a layer with weights, or unfreeze one with requires_grad_(True)."
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
    """Build the net that trains a network.

    Parameters
    ----------
    module : torch.nn.Module
        Network, tried out by `probe`; it is moved to the device.

    n_axes : int
        Number of axes of a batch.

    flops : float
        Forward operations of one sample.

    criterion, device, precision
        See `build_net`.

    optimization : dict
        `criterion_arguments`, `optimizer` and `weight_decay` of `build_net`.

    **options : dict
        Other parameters of the net.

    Returns
    -------
    Net
        Initialised net, with `n_axes_`, `flops_` and `optimization_`.
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
    """Change the loss, optimiser and callbacks of a net.

    Parameters
    ----------
    net : Net
        Result of `build_net`. The state of its optimiser is reset.

    criterion_arguments, optimizer, weight_decay, callbacks
        See `build_net`.
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
    """Train a net for some epochs, with a suitable number of threads.

    Parameters
    ----------
    net : Net
        Result of `build_net`.

    dataset : TrainingSet
        Samples and targets.

    epochs : int
        Number of passes over the samples.

    lr_schedule : str or callable or None
        Key of `SCHEDULES`, a function of progress, or None for a constant
        learning rate.

    generator : torch.Generator
        Random numbers of layers such as dropout, on the device of the network.

    monitors : sequence of Monitor, default=()
        Monitors, called between epochs.

    keeps_epochs : bool, default=False
        Whether Ctrl-C keeps the epochs that were completed.

    Returns
    -------
    KeyboardInterrupt or None
        Interrupt that ended the training; the caller raises it.

    Raises
    ------
    ValueError
        If a callback and `lr_schedule` both set the learning rate, a callback has
        frozen all parameters, or the loss is not finite.

    TypeError
        If `lr_schedule` is a class, such as a scheduler of torch.
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
            f"An LRScheduler in callbacks and lr_schedule={lr_schedule!r} both set the "
            "learning rate. Pass lr_schedule=None, or remove the callback."
        )
    is_long = epochs * len(Batches(dataset, net.batch_size)) >= MIN_STEPS
    keeps_memory = is_long and net.device == "cpu"
    with (
        net.computing(len(dataset)),
        memory_keeper.keep() if keeps_memory else nullcontext(),
    ):
        return net.train(dataset, epochs, schedule, generator, monitors, keeps_epochs)


def _optimization(criterion_arguments, optimizer, weight_decay, device):
    """Return the parameters of a net that set its loss and optimiser."""
    optimizer, arguments = optimizer_arguments(optimizer, weight_decay, device)
    return {
        "optimizer": optimizer,
        "optimizer_arguments": arguments,
        **{f"criterion__{name}": v for name, v in criterion_arguments.items()},
    }


class _NoTracker(nullcontext):
    """Replacement of the counter's tracker, whose hooks would affect other threads."""

    parents = {"Global"}


def probe(module, blank, n_outputs):
    """Try a network on one sample and count its forward operations.

    Parameters
    ----------
    module : torch.nn.Module
        Network, on the CPU. Its lazy layers are initialised here.

    blank : torch.Tensor of shape (1, *sample_shape)
        Sample.

    n_outputs : int
        Expected number of outputs for a sample.

    Returns
    -------
    int
        Floating-point operations of one sample.

    Raises
    ------
    ValueError
        If the network raises an error for the sample, or returns another shape.
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
