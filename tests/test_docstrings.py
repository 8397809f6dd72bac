"""Docstrings say what the code does: parameters, defaults, attributes."""

import ast
import importlib
import inspect
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils._param_validation import StrOptions

import skcnn
from skcnn import (
    CNNClassifier,
    CNNFeatureTransformer,
    CNNRegressor,
    FineTunedClassifier,
    FineTunedRegressor,
    FixedFilterTransformer,
    TextCNNClassifier,
)
from skcnn.backbones import FineTunedNetwork
from skcnn.data import ChannelScaler, ImageFiles, Layout, Vocabulary
from skcnn.features import CachedFeatures, FeatureCache
from skcnn.inspection import (
    ClassActivationDisplay,
    ConfusionImagesDisplay,
    EmbeddingDisplay,
    FeatureMapDisplay,
    FilterDisplay,
    HistoryDisplay,
    NeighborsDisplay,
    OcclusionDisplay,
    TopPatchesDisplay,
)
from skcnn.localization import (
    BoxDisplay,
    BoxRegressor,
    PretrainedDetector,
    SlidingWindowDetector,
)
from skcnn.modules import ARCHITECTURES, ConvBlock, Dropout
from skcnn.runtime import PrivateRandomness, make_generator
from skcnn.training import FitProgress, LearningRateCurve, Monitor

MODULES = [
    "skcnn",
    "skcnn.backbones",
    "skcnn.data",
    "skcnn.export",
    "skcnn.features",
    "skcnn.inspection",
    "skcnn.localization",
    "skcnn.modules",
    "skcnn.training",
]
ESTIMATORS = [
    value
    for value in vars(skcnn).values()
    if inspect.isclass(value) and issubclass(value, BaseEstimator)
]


def exported(module_name):
    """Yield name and object of each public class and function of a module."""
    module = importlib.import_module(module_name)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"{module_name}.{name}", value


def own_members(cls):
    """Yield name and value of what a class has from this package, not from others."""
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == "skcnn":
            yield from vars(base).items()


def public_methods(cls):
    for name, value in own_members(cls):
        if not name.startswith("_"):
            value = getattr(value, "__func__", value)
            if inspect.isfunction(value):
                yield name, value


EXPORTED = {name: value for module in MODULES for name, value in exported(module)}
CLASSES = {name: value for name, value in EXPORTED.items() if inspect.isclass(value)}
METHODS = {
    f"{class_name}.{name}": method
    for class_name, cls in CLASSES.items()
    for name, method in public_methods(cls)
}
PROPERTIES = {
    f"{class_name}.{name}": value
    for class_name, cls in CLASSES.items()
    for name, value in own_members(cls)
    if isinstance(value, property) and not name.startswith("_")
}
CALLABLES = EXPORTED | METHODS


def is_forward(name):
    """Return whether it is the `forward` of a network, whose first line says all."""
    return name.endswith(".forward")


def is_of_monitors(name):
    """Return whether it is what training calls, documented in the base class."""
    class_name, _, method = name.rpartition(".")
    cls = CLASSES.get(class_name, object)
    return cls is not Monitor and issubclass(cls, Monitor) and method in vars(Monitor)


def is_error(value):
    """Return whether it is an exception, which takes a message."""
    return inspect.isclass(value) and issubclass(value, Exception)


FORWARDS = [name for name in METHODS if is_forward(name)]
DOCUMENTED = {
    name: value
    for name, value in CALLABLES.items()
    if name not in FORWARDS and not is_of_monitors(name) and not is_error(value)
}


def parse(value):
    """Return the sections of an object's own docstring."""
    return NumpyDocString(inspect.cleandoc(value.__doc__))


def documented_parameters(value):
    """Return the names of the parameters, several to an entry taken apart."""
    entries = parse(value)["Parameters"]
    return [name for entry in entries for name in entry.name.split(", ")]


def signature_parameters(value):
    """Return the parameters of a call, without self or cls, stars as in a docstring."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return {
        stars.get(parameter.kind, "") + name: parameter
        for name, parameter in inspect.signature(value).parameters.items()
        if name not in ("self", "cls")
    }


@pytest.mark.parametrize("name", CALLABLES | PROPERTIES)
def test_what_is_public_has_a_docstring(name):
    assert parse((CALLABLES | PROPERTIES)[name])["Summary"]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_parameters_are_those_of_the_signature_in_order(name):
    value = DOCUMENTED[name]
    assert documented_parameters(value) == list(signature_parameters(value))


def stated_defaults(value):
    """Return the default, as text, of each parameter that the docstring gives one."""
    stated = {}
    for entry in parse(value)["Parameters"]:
        names = entry.name.split(", ")
        _, found, text = entry.type.partition("default=")
        if found:
            texts = text.split(", ") if ", " in text and len(names) > 1 else [text]
            texts *= len(names) // len(texts)  # one default may stand for all names
            stated |= dict(zip(names, texts, strict=True))
    return stated


@pytest.mark.parametrize("name", DOCUMENTED)
def test_defaults_that_are_stated_are_true(name):
    parameters = signature_parameters(DOCUMENTED[name])
    for parameter, text in stated_defaults(DOCUMENTED[name]).items():
        assert repr(ast.literal_eval(text)) == repr(parameters[parameter].default)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_estimators_state_all_defaults(cls):
    for value in (cls, *(method for _, method in public_methods(cls))):
        expected = {
            name
            for name, parameter in signature_parameters(value).items()
            if parameter.default is not inspect.Parameter.empty
        }
        assert set(stated_defaults(value)) == expected


def string_options(cls, name):
    """Return the strings that a parameter may be."""
    if name == "architecture":
        return set(ARCHITECTURES)
    found = [
        c.options for c in cls._parameter_constraints[name] if type(c) is StrOptions
    ]
    return set().union(*found)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_strings_that_a_parameter_may_be_are_those_that_its_text_quotes(cls):
    for entry in parse(cls)["Parameters"]:
        options = string_options(cls, entry.name)
        if options:
            text = " ".join([entry.type, *entry.desc])
            assert set(re.findall(r'"([\w-]+)"', text)) == options, entry.name


SMALL = {"max_epochs": 1, "random_state": 0}
QUICK = {
    CNNClassifier: CNNClassifier(n_filters=2, **SMALL),
    CNNFeatureTransformer: CNNFeatureTransformer(CNNClassifier(n_filters=2, **SMALL)),
    CNNRegressor: CNNRegressor(n_filters=2, **SMALL),
    FineTunedClassifier: FineTunedClassifier("convnet", weights=None, **SMALL),
    FineTunedRegressor: FineTunedRegressor("convnet", weights=None, **SMALL),
    FixedFilterTransformer: FixedFilterTransformer("sharpen"),
    TextCNNClassifier: TextCNNClassifier(n_filters=2, embedding_dim=2, **SMALL),
}
TABLE = pd.DataFrame(np.eye(12), columns=[f"x{i}" for i in range(12)])


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_attributes_are_those_that_a_fit_leaves(cls):
    takes_sentences = not get_tags(QUICK[cls]).input_tags.two_d_array
    X = 12 * ["a sentence"] if takes_sentences else TABLE
    estimator = QUICK[cls].fit(X, [0, 1] * 6)
    properties = [
        name for name, value in own_members(cls) if isinstance(value, property)
    ]
    left = {
        name
        for name in (*vars(estimator), *properties)
        if name.endswith("_") and not name.startswith("_")
    }
    documented = {
        name
        for attribute in parse(cls)["Attributes"]
        for name in attribute.name.split(", ")
    }
    assert documented == left
    assert all(hasattr(estimator, name) for name in documented)


def fitted_scaler():
    return ChannelScaler(Layout((3,), (3,), None)).fit(np.eye(3))


class NoImages(list):
    def digests(self):
        return []


def no_features():
    return CachedFeatures(NoImages(), SimpleNamespace(canonical_layers=()), 1, None, "")


def no_neighbors():
    return NeighborsDisplay([np.eye(2)], [[]], np.zeros((1, 0)), np.zeros((1, 0)))


def no_maps():
    one = np.array([["a"]])
    return np.ones((1, 1, 2, 2)), [np.ones((2, 2))], one, one[0]


def no_drops():
    maps, pictures, labels, y_pred = no_maps()
    return maps, pictures, labels, np.ones((1, 1)), y_pred


def blank_images():
    """Return two images, and a box of each."""
    boxes = np.array([[0.0, 0, 32, 32], [16, 0, 48, 64]])
    return np.zeros((2, 64, 64, 3), np.uint8), boxes


def fitted_detector():
    X, boxes = blank_images()
    return SlidingWindowDetector(n_windows=1, random_state=0).fit(X, boxes[:, None])


INSTANCES = {
    BoxDisplay: lambda: BoxDisplay([np.zeros((8, 8))]).plot(),
    BoxRegressor: lambda: BoxRegressor(image_size=64, max_epochs=1).fit(
        *blank_images()
    ),
    SlidingWindowDetector: fitted_detector,
    CachedFeatures: no_features,
    ChannelScaler: fitted_scaler,
    ConfusionImagesDisplay: lambda: ConfusionImagesDisplay([], [], [], []).plot(),
    FeatureMapDisplay: lambda: FeatureMapDisplay(
        np.ones((1, 4, 4)), {"a": np.ones((1, 2, 2))}, {"a": [0]}
    ).plot(),
    FilterDisplay: lambda: FilterDisplay(np.ones((1, 1, 3, 3)), "a").plot(),
    TopPatchesDisplay: lambda: TopPatchesDisplay(
        {"a": [[np.ones((2, 2))]]}, {"a": np.zeros((1, 1))}, {}, {"a": [0]}
    ).plot(),
    ClassActivationDisplay: lambda: ClassActivationDisplay(*no_maps()).plot(),
    ConvBlock: lambda: ConvBlock(1, 1, (3,)),
    Dropout: lambda: Dropout(0.5),
    EmbeddingDisplay: lambda: EmbeddingDisplay(np.eye(2), {}).plot(),
    FeatureCache: lambda: FeatureCache("folder"),
    FineTunedNetwork: lambda: FineTunedNetwork(ConvBlock(1, 1, (3,)), (1, 3), 1),
    FitProgress: lambda: FitProgress(object(), None, None, None, 1),
    HistoryDisplay: lambda: HistoryDisplay({}).plot(),
    ImageFiles: lambda: ImageFiles([], None),
    LearningRateCurve: lambda: LearningRateCurve([1], [1], 1).plot(),
    NeighborsDisplay: lambda: no_neighbors().plot(),
    OcclusionDisplay: lambda: OcclusionDisplay(*no_drops()).plot(),
    Vocabulary: lambda: Vocabulary().fit(["a word"]),
    PrivateRandomness: lambda: PrivateRandomness(make_generator(0)),
}
WITH_ATTRIBUTES = [
    cls
    for cls in CLASSES.values()
    if parse(cls)["Attributes"] and cls not in (*ESTIMATORS, PretrainedDetector)
]


@pytest.mark.parametrize("cls", WITH_ATTRIBUTES)
def test_attributes_of_other_classes_exist(cls):
    instance = INSTANCES[cls]()
    for entry in parse(cls)["Attributes"]:
        for name in entry.name.split(", "):
            assert hasattr(instance, name)


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards_say_in_a_line_what_comes_out(name):
    summary = " ".join(parse(METHODS[name])["Summary"])
    assert re.match(r"(Map ``\(n, .*\)`` to|Return) ", summary)
