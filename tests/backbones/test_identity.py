"""The digest that tells networks apart."""

import copy
import math
import os
import pickle
import subprocess
import sys
import weakref
from functools import lru_cache, partial
from threading import Lock
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skcnn.backbones import module_identity
from skcnn.modules import ConvNet

SOURCE = """
from functools import wraps
import torch
from torch import nn

FACTOR = 2


class Scale:
    def apply(self, x):
        return x * 5


def is_last(n):
    return n == 0 or is_first(n - 1)


def is_first(n):
    return n != 0 and is_last(n - 1)


def finish(x):
    return Scale().apply(x) * FACTOR if is_last(2) else x


class Base(nn.Module):
    steps = 2

    def __init__(self, power=2, act=torch.relu):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        nn.init.constant_(self.conv.weight, 0.5)
        nn.init.constant_(self.conv.bias, 0.1)
        self.power = power
        self.act = act

    @staticmethod
    def shift(x, by=1.0):
        return x + by

    @property
    def is_wide(self):
        return self.conv.out_channels > 1

    def forward(self, x):
        if "none" in {"a", "b", "c", "d", "e"}:
            return x
        return self.shift(self.act(self.conv(x)) ** self.power)


class Net(Base):
    '''A network.'''

    def forward(self, x):
        return finish([y * 2 for y in super().forward(x)])
"""
PRINT = """
import sys
from skcnn.backbones import module_identity
scope = {"__name__": "__main__"}
exec(sys.stdin.read(), scope)
print(module_identity(scope["Net"]()))
"""


def make(source=SOURCE, **parameters):
    scope = {"__name__": "somewhere"}
    exec(source, scope)
    return scope["Net"](**parameters)


def test_a_copy_has_the_same_identity():
    for module in (make(), ConvNet((1, 8, 8), 3)):
        identity = module_identity(module)
        assert module_identity(copy.deepcopy(module)) == identity
        assert module_identity(module.train()) == module_identity(module.eval())


@pytest.mark.slow
def test_the_identity_is_the_same_in_every_process_and_wherever_it_is_defined():
    expected = module_identity(make())
    assert module_identity(make("# a line more\n\n" + SOURCE)) == expected
    for seed in ("1", "2"):  # the order of sets depends on it
        run = subprocess.run(
            [sys.executable, "-c", PRINT],
            input=SOURCE,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y * 2", "y * 3"),
        ("y * 2", "y + 2"),
        ("x * 5", "x + 5"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("if is_last(2)", "if is_last(3)"),
        ("n != 0 and", "n != 1 and"),
        ("x + by", "x - by"),
        ("by=1.0", "by=2.0"),
        ("steps = 2", "steps = 3"),
        ("** self.power", "* self.power"),
        ("out_channels > 1", "out_channels > 2"),
        ('"none" in', '"some" in'),
        ('"a", "b"', '"a", "x"'),
        ("super().forward(x)", "super().forward(-x)"),
        ("self.act(self.conv(x))", "self.act(self.conv(x)).sqrt()"),
    ],
)
def test_other_code_is_another_identity(old, new):
    assert SOURCE.count(old) == 1
    changed = module_identity(make(SOURCE.replace(old, new)))
    assert changed != module_identity(make())


def wrapped(how):
    decorator = f"""
def decorated(function):
    @wraps(function)
    def wrapper(*args):
        return {how}
    return wrapper


class Net(Base):
    @decorated
"""
    return SOURCE.replace("class Net(Base):\n    '''A network.'''\n", decorator)


def test_what_a_decorator_does_counts():
    plain, same, other = "function(*args)", "function(*args)", "-function(*args)"
    identities = [module_identity(make(wrapped(how))) for how in (plain, same, other)]
    assert identities[0] == identities[1] != identities[2]
    assert module_identity(make()) not in identities


@pytest.mark.parametrize(
    "parameters",
    [{"power": 3}, {"act": torch.tanh}, {"act": F.relu6}, {"act": nn.ReLU}],
    ids=["number", "function-in-c", "function", "class"],
)
def test_another_attribute_is_another_identity(parameters):
    assert module_identity(make(**parameters)) != module_identity(make())


def test_a_function_as_attribute_counts():
    identities = {
        module_identity(make(act=act))
        for act in (lambda x: x + 1, lambda x: x + 2, lambda x: x * 2)
    }
    assert len(identities) == 3
    assert module_identity(make(act=lambda x: x + 1)) in identities


@pytest.mark.parametrize("name", ["conv.weight", "conv.bias"])
def test_any_bit_of_a_weight_counts(name):
    module = make()
    before = module_identity(module)
    tensor = module.get_parameter(name)
    tensor.data.view(torch.int32).flatten()[0] ^= 1
    assert module_identity(module) != before
    tensor.data.view(torch.int32).flatten()[0] ^= 1
    assert module_identity(module) == before


def test_buffers_names_and_dtypes_count():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    identities = [module_identity(module)]
    module[1].running_mean[0] = 1
    identities.append(module_identity(module))
    identities.append(module_identity(nn.Sequential(*module[:1], module[1], nn.ReLU())))
    identities.append(module_identity(copy.deepcopy(module).double()))
    assert len(set(identities)) == 4


def test_settings_that_a_library_does_not_print_count():
    layers = [
        nn.TransformerEncoderLayer(8, nhead, 16, batch_first=True) for nhead in (2, 4)
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    assert repr(layers[0]) == repr(layers[1])
    assert module_identity(layers[0]) != module_identity(layers[1])


# -- what a network holds besides weights and plain values --------------------


class Holder(nn.Module):
    def __init__(self, value=None, buffer=0.0):
        super().__init__()
        self.value = value
        self.register_buffer("mean", torch.tensor(buffer), persistent=False)


class Point:
    def __init__(self, x):
        self.x = x

    def __call__(self, x):
        return x + self.x


def config(slope):
    """Return a class of the same name with another value."""

    class Config:
        def __call__(self, x):
            return x * self.slope

    Config.slope = slope
    return Config


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


def add(x):
    return lambda value: value + x


def recursive_list():
    values = []
    values.append(values)
    return values


HOLD = {
    "list": lambda x: [x, "a"],
    "dict": lambda x: {"a": [x]},
    "order of a dict": lambda x: {x: "a", 3 - x: "a"},
    "class": config,
    "wrapped function": lambda x: lru_cache(add(x)),
    "set": lambda x: {x, "a"},
    "tuple of arrays": lambda x: (np.full(3, x),),
    "tensor": lambda x: torch.full((3,), float(x)),
    "sparse tensor": lambda x: (x * torch.eye(3)).to_sparse(),
    "shape of a tensor": lambda x: torch.zeros(x, 6 // x),
    "shape of an array": lambda x: np.zeros((x, 6 // x)),
    "object": Point,
    "object with slots": Slotted,
    "closure": add,
    "partial": lambda x: partial(add, x),
    "method": lambda x: Point(x).__call__,
    "list of networks": lambda x: [nn.Linear(2, x)],
    "reference": lambda x: weakref.ref(KEPT[x]),
    "generator": lambda x: torch.Generator().manual_seed(x),
}
KEPT = {x: Holder(x) for x in (1, 2)}


@pytest.mark.parametrize("name", HOLD)
def test_whatever_it_holds_counts(name):
    torch.manual_seed(0)
    first, second = (module_identity(Holder(HOLD[name](x))) for x in (1, 2))
    torch.manual_seed(0)
    assert module_identity(Holder(HOLD[name](1))) == first != second


def test_a_buffer_that_is_not_saved_counts():
    assert module_identity(Holder(buffer=1.0)) != module_identity(Holder(buffer=2.0))
    assert module_identity(Holder(buffer=1.0)) == module_identity(Holder(buffer=1.0))


@pytest.mark.parametrize("register", ["forward_hook", "forward_pre_hook"])
def test_hooks_count(register):
    module = make()
    before = module_identity(module)
    for _ in range(2):  # which numbers its hooks anew
        handle = getattr(module.conv, f"register_{register}")(lambda *args: None)
        hooked = module_identity(module)
        handle.remove()
        assert module_identity(module) == before != hooked
    assert module_identity(module) == before


@pytest.mark.parametrize("make_value", [Lock, lambda: (x for x in "a"), recursive_list])
def test_what_cannot_be_told_apart_is_another_each_time(make_value):
    module = Holder(make_value())
    assert module_identity(module) != module_identity(module)


def test_functions_of_an_own_module_count(monkeypatch):
    """Also those that are named as its attributes."""
    helpers = ModuleType("helpers")
    exec("def block(x):\n    return x + 1", vars(helpers))
    scope = {"__name__": "somewhere", "helpers": helpers}
    exec("def forward(self, x):\n    return helpers.block(x)", scope)
    monkeypatch.setattr(Holder, "forward", scope["forward"])
    before = module_identity(Holder())
    assert module_identity(Holder()) == before
    exec("def block(x):\n    return x + 2", vars(helpers))
    assert module_identity(Holder()) != before


def test_parts_may_know_each_other():
    module = Holder(nn.Linear(2, 2))
    module.value.owner = [module]
    assert module_identity(module) == module_identity(copy.deepcopy(module))


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.LSTM(2, 3),
        lambda: nn.TransformerEncoderLayer(4, 2, 8),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    ],
    ids=["recurrent", "transformer", "parametrized"],
)
def test_networks_of_torch_have_one_identity(build):
    module = build()
    assert module_identity(module) == module_identity(copy.deepcopy(module))


def test_a_pickle_has_the_same_identity():
    module = nn.Sequential(nn.LSTM(2, 3), nn.TransformerEncoderLayer(4, 2, 8))
    again = pickle.loads(pickle.dumps(module))
    assert module_identity(again) == module_identity(module)


@pytest.mark.parametrize("function", [torch.relu, F.linear, math.sqrt, str.upper, len])
def test_functions_of_libraries_are_the_same_each_time(function):
    assert module_identity(Holder(function)) == module_identity(Holder(function))


def test_another_name_of_a_part_counts():
    class Aliased(nn.Module):
        def __init__(self, last):
            super().__init__()
            self.relu, self.tanh = nn.ReLU(), nn.Tanh()
            self.last = getattr(self, last)

        def __repr__(self):
            return "Aliased()"

    assert module_identity(Aliased("relu")) == module_identity(Aliased("relu"))
    assert module_identity(Aliased("relu")) != module_identity(Aliased("tanh"))


def test_buffers_that_are_sparse_or_conjugate_count():
    identities = set()
    for value in (1.0, 2.0):
        for change in (torch.Tensor.to_sparse, lambda x: x, lambda x: (1j * x).conj()):
            module = nn.Module()
            module.register_buffer("values", change(value * torch.eye(3)))
            identities.add(module_identity(module))
    assert len(identities) == 6
