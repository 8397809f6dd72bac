"""Random numbers of one estimator, out of reach of everything else.

Seeding torch's global generator is not enough if several fits share a
process: threads draw from it in turns. Every random operation of a network,
its initialisation included, draws from a generator that belongs to the fit.
"""

from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Operations that take no generator, as the in-place draw that does the same.
LIKE = {
    aten.rand_like.default: aten.uniform_.default,
    aten.randn_like.default: aten.normal_.default,
}


def make_generator(seed, device="cpu"):
    """Return a generator of its own, seeded.

    Parameters
    ----------
    seed : int
        From 0 to 2 ** 63 - 1.

    device : str or torch.device, default="cpu"
        Where its numbers are wanted.

    Returns
    -------
    torch.Generator
        The generator.
    """
    return torch.Generator(device=device).manual_seed(int(seed))


class PrivateRandomness(TorchDispatchMode):
    """Within this context, torch draws random numbers from one generator.

    The context holds for the thread that entered it and leaves torch's global
    generators as they are.

    Parameters
    ----------
    generator : torch.Generator
        Where random numbers come from.

    Attributes
    ----------
    n_draws : int
        How many random operations without a generator ran so far.

    Examples
    --------
    >>> import torch
    >>> from skcnn.runtime import PrivateRandomness, make_generator
    >>> with PrivateRandomness(make_generator(0)):
    ...     first = torch.nn.Linear(2, 2)
    >>> with PrivateRandomness(make_generator(0)):
    ...     second = torch.nn.Linear(2, 2)
    >>> torch.equal(first.weight, second.weight)
    True
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator
        self.n_draws = 0
        self._generators = {generator.device.type: generator}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not _draws(func) or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        self.n_draws += 1
        generator = self._generator_on(_device_of(args, kwargs))
        if func in LIKE:
            out = torch.empty_like(*args, **kwargs)
            return LIKE[func](out, generator=generator)
        if func is aten.native_dropout.default:
            return _drop_out(*args, generator)
        overload = _overload_with_generator(func)
        if overload is None:
            return self._run_parts(func, args, kwargs)
        kwargs = {**kwargs, "generator": generator}
        return overload(*args, **kwargs)

    def _generator_on(self, device):
        """Return the generator for a device: another one, elsewhere than its own."""
        if device.type not in self._generators:
            seed = self.generator.initial_seed()
            self._generators[device.type] = make_generator(seed, device)
        return self._generators[device.type]

    def _run_parts(self, func, args, kwargs):
        """Run an operation that inference mode has not taken apart."""
        with self:
            out = func.decompose(*args, **kwargs)
        return func(*args, **kwargs) if out is NotImplemented else out


def draw_privately(randomness, function, *args, **kwargs):
    """Call a function that draws random numbers within a context of its own.

    Parameters
    ----------
    randomness : PrivateRandomness
        The context, which may be entered again and again.

    function : callable
        What is called.

    *args, **kwargs : objects
        What it is called with.

    Returns
    -------
    object
        What it returns.

    Examples
    --------
    >>> import torch
    >>> from skcnn.runtime import PrivateRandomness, draw_privately, make_generator
    >>> draw_privately(PrivateRandomness(make_generator(0)), torch.rand, 2)
    tensor([0.4963, 0.7682])
    """
    with randomness:
        return function(*args, **kwargs)


@cache
def _draws(func):
    """Return whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


def _drop_out(x, p, train, generator):
    """Do what the fused kernel does, which cannot be given a generator."""
    if not train or p == 0:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    keep = torch.empty_like(x).bernoulli_(1 - p, generator=generator)
    return x * keep / (1 - p), keep.bool()


def _device_of(args, kwargs):
    """Return the device on which an operation draws."""
    tensor = next((arg for arg in args if isinstance(arg, torch.Tensor)), None)
    device = kwargs.get("device") or (tensor.device if tensor is not None else "cpu")
    return torch.device(device)


def _overload_with_generator(func):
    """Return the overload of `func` that takes a generator, None if none does."""
    names = _argument_names(func)
    if "generator" in names:
        return func
    packet = func.overloadpacket
    for overload in (getattr(packet, name) for name in packet.overloads()):
        if _argument_names(overload) == names | {"generator"}:
            return overload
    return None


def _argument_names(func):
    return {argument.name for argument in func._schema.arguments}
