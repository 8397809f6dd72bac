"""Private random numbers of a fit.

Seeding torch's global generator is not enough if several fits share a process, because
their threads draw from it in turns. Every random operation of a network, including its
initialisation, draws from a generator that belongs to the fit.
"""

from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# In-place draws that replace operations without a generator.
LIKE = {
    aten.rand_like.default: aten.uniform_.default,
    aten.randn_like.default: aten.normal_.default,
}


def make_generator(seed, device="cpu"):
    """Return a new generator with a seed.

    Parameters
    ----------
    seed : int
        Seed, from 0 to 2 ** 63 - 1.

    device : str or torch.device, default="cpu"
        Device of the random numbers.

    Returns
    -------
    torch.Generator
        The generator.
    """
    return torch.Generator(device=device).manual_seed(int(seed))


class PrivateRandomness(TorchDispatchMode):
    """Context in which torch draws random numbers from one generator.

    The context holds for the thread that enters it and does not change torch's global
    generators.

    Parameters
    ----------
    generator : torch.Generator
        Source of the random numbers.

    Attributes
    ----------
    n_draws : int
        Number of random operations so far that were called without a generator.

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
        """Return the generator for a device, created for each new type of device."""
        if device.type not in self._generators:
            seed = self.generator.initial_seed()
            self._generators[device.type] = make_generator(seed, device)
        return self._generators[device.type]

    def _run_parts(self, func, args, kwargs):
        """Run an operation that inference mode has not decomposed."""
        with self:
            out = func.decompose(*args, **kwargs)
        return func(*args, **kwargs) if out is NotImplemented else out


def draw_privately(randomness, function, *args, **kwargs):
    """Call a function with private random numbers.

    Parameters
    ----------
    randomness : PrivateRandomness
        Context of the random numbers, which can be used repeatedly.

    function : callable
        Function to call.

    *args, **kwargs : objects
        Arguments of the function.

    Returns
    -------
    object
        Result of the function.

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
    """Replace the fused dropout kernel, which takes no generator."""
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
