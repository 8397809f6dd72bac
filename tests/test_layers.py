"""Imports go downwards only, and `import skcnn` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skcnn

PACKAGE = Path(skcnn.__file__).parent
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
# What the files of a folder may import besides their own folder; "" is the top
# of the package, where the estimators are, and "_base" is what these share.
BELOW = {
    "runtime": set(),
    "modules": {"runtime"},
    "data": {"runtime"},
    "backbones": {"modules", "runtime"},
    "training": {"data", "modules", "runtime"},
    "features": {"backbones", "data", "modules", "runtime"},
    "_base": {"training", "features", "backbones", "data", "modules", "runtime"},
    "export": {"_base", "features", "backbones", "data", "modules", "runtime"},
    "": {"_base", "training", "features", "backbones", "data", "modules", "runtime"},
}
BELOW["inspection"] = set(BELOW)
BELOW["localization"] = set(BELOW)
BELOW[""].add("export")
SKORCH_DOORS = {Path("training/net.py"), Path("training/callbacks.py")}
# Imported in the function that uses them.
HEAVY = {"torchvision", "timm", "matplotlib", "dask", "onnx", "onnxruntime"}
HEAVY |= {"onnxscript", "skl2onnx"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def folder(path):
    return path.parts[0] if len(path.parts) > 1 else ""


def outside_functions(node):
    """Yield the nodes that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield child
            yield from outside_functions(child)


def imported_names(nodes, path):
    """Return the dotted name of every import, relative ones made absolute."""
    names = set()
    package = ("skcnn", *path.parts[:-1])
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def imported_folders(nodes, path):
    """Return the folders of the package that are imported, without the file's own."""
    found = set()
    for name in imported_names(nodes, path):
        first, *rest = name.split(".")
        if first == "skcnn":
            found.add(rest[0] if rest and rest[0] in BELOW else "")
    return found - {folder(path)}


def third_parties(nodes, path):
    first_parts = {name.partition(".")[0] for name in imported_names(nodes, path)}
    return first_parts - sys.stdlib_module_names - {"skcnn"}


def complaints(source, path):
    """Return what is wrong with the imports of a file, in words."""
    tree = ast.parse(source)
    everywhere = list(ast.walk(tree))
    is_front = path == Path("__init__.py")  # which gathers the public names
    below = set(BELOW) if is_front else BELOW[folder(path)]
    upwards = imported_folders(everywhere, path) - below
    found = [f"{path} imports {name or 'the estimators'}" for name in sorted(upwards)]
    others = third_parties(everywhere, path)
    if folder(path) in {"modules", "runtime"} and others - {"torch"}:
        found.append(f"{path} imports {sorted(others - {'torch'})} besides torch")
    if "skorch" in others and path not in SKORCH_DOORS:
        doors = sorted(map(str, SKORCH_DOORS))
        found.append(f"{path} imports skorch, which is for {doors}")
    heavy = third_parties(outside_functions(tree), path) & HEAVY
    if heavy:
        found.append(f"{path} imports {sorted(heavy)} at module level")
    return found


def test_every_folder_has_its_place():
    assert {folder(path) for path in FILES} <= set(BELOW)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_downwards(path):
    assert complaints((PACKAGE / path).read_text(), path) == []


@pytest.mark.parametrize("door", sorted(SKORCH_DOORS), ids=str)
def test_the_doors_to_skorch_are_in_use(door):
    nodes = ast.walk(ast.parse((PACKAGE / door).read_text()))
    assert "skorch" in third_parties(nodes, door)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("modules/convnet.py", "from ..data import Images"),
        ("modules/convnet.py", "import numpy as np"),
        ("modules/convnet.py", "def f():\n    import scipy"),
        ("data/images.py", "from ..modules import ConvNet"),
        ("data/images.py", "from skcnn.training.engine import Net"),
        ("data/images.py", "import skcnn.training"),
        ("data/images.py", "def f():\n    from .. import training"),
        ("data/images.py", "from .. import CNNClassifier"),
        ("data/images.py", "import skcnn"),
        ("data/images.py", "from skorch.helper import SliceDataset"),
        ("training/inference.py", "from .._base import BaseCNN"),
        ("training/inference.py", "from ..features import pool"),
        ("training/inference.py", "import skorch"),
        ("_base/fitting.py", "from .._classifier import CNNClassifier"),
        ("_base/fitting.py", "from skorch import NeuralNet"),
        ("_classifier.py", "import torchvision.transforms as T"),
        ("_classifier.py", "try:\n    import timm\nexcept ImportError:\n    pass"),
        ("_classifier.py", "class A:\n    from dask import array"),
        ("training/net.py", "if True:\n    from matplotlib import pyplot"),
    ],
)
def test_an_import_that_does_not_go_downwards_is_found(path, source):
    assert len(complaints(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "modules/convnet.py",
            "import math\nfrom torch import nn\nfrom . import lenet",
        ),
        ("data/images.py", "from .layout import Layout\nimport numpy, torch, scipy"),
        ("training/net.py", "import skorch\nfrom ..data import Batches"),
        ("_base/fitting.py", "from ..training import train_net\nfrom .a import b"),
        ("_classifier.py", "from ._base import fitting\nfrom ._regressor import A"),
        ("_classifier.py", "def f():\n    import matplotlib.pyplot as plt"),
        ("_classifier.py", "class A:\n    def f(self):\n        import torchvision"),
    ],
)
def test_an_import_that_goes_downwards_is_fine(path, source):
    assert complaints(source, Path(path)) == []


def test_importing_the_package_loads_nothing_heavy():
    code = "import skcnn, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert {"skcnn", "torch"} <= loaded
    assert loaded & HEAVY == set()
