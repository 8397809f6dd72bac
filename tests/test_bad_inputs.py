"""What bad input gets: an error that names what came, never a silent answer.

Tests are numbered by their row in the project's list of bad inputs. The rows
about image files, weights files and caches are tested where those are read, and most of
what must simply work in ``test_common.py``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn

from skcnn import CNNClassifier, CNNRegressor

# Rows that are fitted on purpose have the length of images.
pytestmark = pytest.mark.filterwarnings("ignore:X has rows of 64 values")
N = 12
BOTH = (CNNClassifier, CNNRegressor)
SMALL = {"n_layers": 2, "n_filters": 4, "max_epochs": 1, "random_state": 0}
GREY = np.random.default_rng(0).normal(size=(N, 8, 8))
RGB = np.random.default_rng(1).normal(size=(N, 8, 8, 3))
ROWS = GREY.reshape(N, 64)
FRAME = pd.DataFrame(ROWS, columns=[f"p{index}" for index in range(64)])
RENAMED = FRAME.rename(columns={"p3": "q"})
CODES = np.arange(N) % 2


def fit(X, y=CODES, sample_weight=None, **parameters):
    """Return a call that fits an estimator of a class."""

    def call(cls):
        return cls(**{**SMALL, **parameters}).fit(X, y, sample_weight)

    return call


def predict(X, fitted_on=GREY, **parameters):
    """Return a call that predicts X with an estimator fitted on something else."""

    def call(cls):
        return fit(fitted_on, **parameters)(cls).predict(X)

    return call


def partial_fit(X, y=CODES, fitted_on=GREY):
    """Return a call that trains on X after another batch."""

    def call(cls):
        return fit(fitted_on)(cls).partial_fit(X, y)

    return call


def changed(array, value, dtype=float):
    """Return a copy of `array` with `value` as its first entry."""
    array = np.array(array, dtype=dtype)
    array.flat[0] = value
    return array


def objects(*values):
    """Return an object array of N values, the given ones by turns."""
    array = np.empty(N, dtype=object)
    array[:] = [values[index % len(values)] for index in range(N)]
    return array


class NeedsThreeChannels(nn.Sequential):
    """A backbone that takes RGB images only."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(n_outputs))


class NeedsNinePixels(nn.Sequential):
    """A backbone whose filter is larger than the images."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(
            nn.Conv2d(input_shape[0], 4, 9), nn.Flatten(), nn.LazyLinear(n_outputs)
        )


def refused(row, what, call, *words, error=ValueError, by=BOTH):
    """Return a test case for each estimator class; {name} in `words` is its name."""
    return [
        pytest.param(cls, call, error, words, id=f"row{row:02}-{what}-{cls.__name__}")
        for cls in by
    ]


NAN = ("Input X contains NaN", "{name} does not accept missing values")
INFINITY = "Input X contains infinity or a value too large"
NO_SAMPLES = "0 sample(s) (shape=(0, 8, 8)) while a minimum of 1 is required by {name}"
EMPTY_AXIS = "{name} needs every axis to have a length of at least 1"
NO_FEATURES = "0 feature(s) (shape=(12, 0)) while a minimum of 1 is required by {name}"
SCALAR = "Expected 2D array, got scalar array instead"
ONE_AXIS = ("Expected 2D array, got 1D array instead", "Reshape your data")
FITTED_ON_RGB = "{name} was fitted on (8, 8, 3)"
FITTED_ON_GREY = "{name} was fitted on (8, 8)"
UNEQUAL = ("(8, 7)", "(8, 8)", "Resize them to one shape")
COMPLEX = "Complex data not supported"
LENGTHS = "inconsistent numbers of samples: [12, 11]"
Y_MISSING = "This {name} estimator requires y to be passed, but the target y is None"
NAMES = "The feature names should match those that were passed during fit"
SPARSE = "Sparse data was passed for X, but dense data is required"
SPARSE_Y = SPARSE.replace("X", "y")
DICTIONARY = "argument must be a string or a real number, not 'dict'"
NOT_THERE = ("is not available", "cpu", "device='auto'")
ragged = [np.zeros((8, 8)), np.zeros((8, 7))]
mixed = ["a.png", GREY[0]]
balanced = {"class_weight": "balanced"}
just_classifier = {"by": [CNNClassifier]}
just_regressor = {"by": [CNNRegressor]}
type_error = {"error": TypeError}

REFUSED = [
    *refused(1, "fit", fit(changed(GREY, np.nan)), *NAN),
    *refused(1, "float16", fit(changed(GREY, np.nan, "f2")), *NAN),
    *refused(1, "tensor", fit(torch.full((N, 8), torch.nan)), *NAN),
    *refused(1, "predict", predict(changed(GREY, np.nan)), *NAN),
    *refused(1, "partial_fit", partial_fit(changed(GREY, np.nan)), *NAN),
    *refused(2, "fit", fit(changed(GREY, np.inf)), INFINITY),
    *refused(2, "predict", predict(changed(GREY, -np.inf)), INFINITY),
    *refused(2, "overflow", fit(GREY * 1e200), "X holds values too large"),
    *refused(2, "far", predict(GREY * 1e300), "X holds values far outside the range"),
    *refused(3, "fit", fit(GREY[:0], CODES[:0]), NO_SAMPLES),
    *refused(3, "predict", predict(GREY[:0]), NO_SAMPLES),
    *refused(4, "image", fit(np.zeros((N, 8, 0))), "(8, 0)", EMPTY_AXIS),
    *refused(4, "row", fit(np.zeros((N, 0))), NO_FEATURES),
    *refused(5, "last", fit(np.zeros((N, 8, 8, 0))), "(8, 8, 0)", EMPTY_AXIS),
    *refused(5, "first", fit(np.zeros((N, 0, 8, 8))), "(0, 8, 8)", EMPTY_AXIS),
    *refused(5, "row", fit(ROWS, image_shape=(8, 8, 0)), "(8, 8, 0)", "positive"),
    *refused(6, "float", fit(3.0), SCALAR),
    *refused(6, "tensor", predict(torch.tensor(3.0)), SCALAR),
    *refused(7, "fit", fit(GREY[:, 0, 0]), *ONE_AXIS),
    *refused(7, "predict", predict(GREY[0, 0]), *ONE_AXIS),
    *refused(
        8,
        "six",
        fit(np.zeros((N, 2, 2, 2, 2, 2))),
        "with dim 6",
        "dim <= 5 is required",
    ),
    *refused(
        8,
        "no-channels",
        fit(np.zeros((N, 2, 2, 2, 2)), channel_axis=None),
        "(2, 2, 2, 2)",
        "4 spatial axes",
        "expected 1 (signals), 2 (images) or 3",
    ),
    *refused(9, "fewer", predict(RGB[..., :2], RGB), "(8, 8, 2)", FITTED_ON_RGB),
    *refused(9, "grey", predict(GREY, RGB), "(8, 8)", FITTED_ON_RGB),
    *refused(9, "partial_fit", partial_fit(RGB[..., :2], CODES, RGB), FITTED_ON_RGB),
    *refused(10, "smaller", predict(GREY[:, :7]), "(7, 8)", FITTED_ON_GREY),
    *refused(
        10,
        "turned",
        predict(RGB.reshape(N, 4, 16, 3), RGB),
        "(4, 16, 3)",
        FITTED_ON_RGB,
    ),
    *refused(10, "flattened", predict(ROWS), "(64,)", FITTED_ON_GREY),
    *refused(
        10,
        "unflattened",
        predict(GREY, ROWS, image_shape=(8, 8)),
        "(8, 8)",
        "{name} was fitted on (64,)",
    ),
    *refused(
        10,
        "columns",
        predict(ROWS[:, :63], ROWS),
        "X has 63 features, but {name} is expecting 64 features as input",
    ),
    *refused(10, "partial_fit", partial_fit(GREY[:, :7]), "(7, 8)", FITTED_ON_GREY),
    *refused(
        11, "first", predict(RGB.transpose(0, 3, 1, 2), RGB), "(3, 8, 8)", FITTED_ON_RGB
    ),
    *refused(
        11,
        "last",
        predict(RGB, RGB.transpose(0, 3, 1, 2)),
        "(8, 8, 3)",
        "{name} was fitted on (3, 8, 8)",
    ),
    *refused(
        12,
        "network",
        fit(GREY, architecture=NeedsThreeChannels),
        "samples of shape (1, 8, 8)",
        "3 channels, but got 1 channels",
    ),
    *refused(
        12,
        "unclear",
        fit(np.zeros((N, 8, 8, 5))),
        "(8, 8, 5)",
        "channel_axis=-1",
        "channel_axis=1",
        "channel_axis=None",
    ),
    *refused(
        13, "lenet5", fit(GREY, architecture="lenet5"), "at least 12 x 12", "got 8 x 8"
    ),
    *refused(
        13,
        "filter",
        fit(GREY, architecture=NeedsNinePixels),
        "samples of shape (1, 8, 8)",
        "Kernel size: (9 x 9)",
    ),
    *refused(
        14,
        "rows",
        fit(ROWS, image_shape=(8, 9)),
        "X has 64 features",
        "image_shape=(8, 9) needs 72",
    ),
    *refused(
        14, "images", fit(GREY, image_shape=(4, 16)), "(8, 8)", "image_shape=(4, 16)"
    ),
    *refused(15, "rows", fit([[1.0, 2.0], [1.0]] * 6), "inhomogeneous shape"),
    *refused(15, "images", fit([[[1.0, 2.0], [1.0]]] * N), "inhomogeneous shape"),
    *refused(15, "arrays", fit(ragged * 6), *UNEQUAL),
    *refused(16, "fit", fit(objects(*ragged)), *UNEQUAL),
    *refused(16, "predict", predict(objects(*ragged)), *UNEQUAL),
    *refused(17, "fit", fit(GREY + 1j), COMPLEX),
    *refused(17, "tensor", fit(torch.from_numpy(GREY + 1j)), COMPLEX),
    *refused(17, "predict", predict(GREY + 1j), COMPLEX),
    *refused(17, "y", fit(GREY, CODES + 1j), COMPLEX),
    *refused(18, "fit", fit(GREY, CODES[:-1]), LENGTHS),
    *refused(18, "partial_fit", partial_fit(GREY, CODES[:-1]), LENGTHS),
    *refused(
        19, "fit", fit(GREY, CODES + 0.3), "label type: continuous", **just_classifier
    ),
    *refused(
        19,
        "balanced",
        fit(GREY, CODES + 0.3, **balanced),
        "label type: continuous",
        **just_classifier,
    ),
    *refused(20, "fit", fit(GREY, changed(CODES, np.nan)), "Input y contains NaN"),
    *refused(
        20, "partial_fit", partial_fit(GREY, changed(CODES, np.nan)), "y contains NaN"
    ),
    *refused(
        20,
        "object",
        fit(GREY, changed(CODES, None, object)),
        "y contains NaN",
        **just_regressor,
    ),
    *refused(
        20,
        "none",
        fit(GREY, changed(CODES, None, object)),
        "contains NaN or a missing value (None) in row 0",
        **just_classifier,
    ),
    *refused(21, "fit", fit(GREY, changed(CODES, np.inf)), "Input y contains infinity"),
    *refused(
        21,
        "overflow",
        fit(GREY, (CODES - 0.5) * 1e200),
        "y holds values too large",
        **just_regressor,
    ),
    *refused(
        22,
        "fit",
        fit(GREY, np.c_[CODES, 2 + CODES]),
        "MultiOutputClassifier",
        **just_classifier,
    ),
    *refused(22, "lists", fit(GREY, [[0], [0, 1]] * 6), "inhomogeneous shape"),
    *refused(23, "fit", fit(GREY, None), Y_MISSING),
    *refused(23, "partial_fit", partial_fit(GREY, None), Y_MISSING),
    *refused(
        24,
        "weights",
        fit(GREY, CODES, changed(np.ones(N), -1)),
        "Negative values in data passed to `sample_weight`",
    ),
    *refused(
        24,
        "classes",
        fit(GREY, class_weight={0: -1, 1: 3}),
        "class_weight",
        **just_classifier,
    ),
    *refused(
        25,
        "weights",
        fit(GREY, CODES, np.zeros(N)),
        "Sample weights must contain at least one non-zero number",
    ),
    *refused(
        25,
        "classes",
        fit(GREY, class_weight={0: 0, 1: 0}),
        "class_weight",
        **just_classifier,
    ),
    *refused(
        26,
        "nan",
        fit(GREY, CODES, changed(np.ones(N), np.nan)),
        "Input sample_weight contains NaN",
    ),
    *refused(
        26,
        "infinity",
        fit(GREY, CODES, changed(np.ones(N), np.inf)),
        "Input sample_weight contains infinity",
    ),
    *refused(
        26,
        "nan for all",
        fit(GREY, CODES, np.nan),
        "Input sample_weight contains NaN",
    ),
    *refused(
        26,
        "infinity for all",
        fit(GREY, CODES, np.inf),
        "Input sample_weight contains infinity",
    ),
    *refused(
        26,
        "classes",
        fit(GREY, class_weight={0: np.nan, 1: 1}),
        "class_weight",
        **just_classifier,
    ),
    *refused(
        27,
        "short",
        fit(GREY, CODES, np.ones(N - 1)),
        "sample_weight.shape == (11,), expected (12,)!",
    ),
    *refused(
        27,
        "column",
        fit(GREY, CODES, np.ones((N, 1))),
        "Sample weights must be 1D array or scalar, got 2D array",
        "1D array of length 12",
    ),
    *refused(28, "renamed", predict(RENAMED, FRAME), NAMES, "unseen at fit time", "q"),
    *refused(28, "partial_fit", partial_fit(RENAMED, CODES, FRAME), NAMES, "p3"),
    *refused(
        28, "order", predict(FRAME[FRAME.columns[::-1]], FRAME), NAMES, "the same order"
    ),
    *refused(
        29, "y", fit(GREY, sparse.csr_array(CODES[:, None])), SPARSE_Y, **type_error
    ),
    *refused(29, "array", fit(sparse.csr_array(ROWS)), SPARSE, **type_error),
    *refused(29, "matrix", predict(sparse.csc_matrix(ROWS)), SPARSE, **type_error),
    *refused(
        29, "tensor", fit(torch.from_numpy(ROWS).to_sparse()), "to_dense", **type_error
    ),
    *refused(30, "array", fit(objects({"a": 1})), DICTIONARY, **type_error),
    *refused(30, "list", fit([{"a": 1}] * N), DICTIONARY, **type_error),
    *refused(30, "predict", predict(objects({"a": 1})), DICTIONARY, **type_error),
    *refused(
        30, "dates", fit(np.zeros((N, 8, 8), "M8[s]")), "datetime64", **type_error
    ),
    *refused(30, "named", fit({"a": GREY}), "X is a dict", "array", **type_error),
    *refused(30, "stream", fit(iter(GREY)), "X is a ", "array", **type_error),
    *refused(30, "set", fit({1, 2}), "X is a set", "array", **type_error),
    *refused(30, "nothing", fit(None), "X is None", "array", **type_error),
    *refused(31, "list", fit(mixed * 6), "paths", "arrays", **type_error),
    *refused(31, "paths", fit([Path("a.png")] * N), "paths", "FineTunedClassifier"),
    *refused(31, "text", fit(np.array(["a.png"] * N)), "paths", "{name} takes arrays"),
    *refused(31, "array", fit(objects(*mixed)), "paths", "arrays", **type_error),
    *refused(
        31,
        "predict",
        predict([Path("a.png"), GREY[0]]),
        "paths",
        "arrays",
        **type_error,
    ),
    *refused(50, "index", fit(GREY, device="cuda:97"), "'cuda:97'", *NOT_THERE),
    *refused(50, "unknown", fit(GREY, device="gpu"), "'gpu'", *NOT_THERE),
    *refused(50, "type", fit(GREY, device=torch.device("meta")), "'meta'", *NOT_THERE),
]


@pytest.mark.parametrize(("cls", "call", "error", "words"), REFUSED)
def test_bad_input_is_refused_in_words(cls, call, error, words):
    with pytest.raises(error) as caught:
        call(cls)
    message = str(caught.value)
    for word in words:
        assert word.format(name=cls.__name__) in message


def test_what_is_refused_changes_no_fitted_estimator():
    for cls in BOTH:
        estimator = fit(GREY)(cls)
        before = estimator.predict(GREY)
        for X, y in ((RGB, CODES), (changed(GREY, np.nan), CODES), (GREY, CODES[:-1])):
            with pytest.raises(ValueError, match=r"X|samples"):
                estimator.partial_fit(X, y)
        np.testing.assert_array_equal(estimator.predict(GREY), before)
        assert estimator.n_iter_ == 1


# What must simply work


def lit_halves(low, high, dtype):
    """Return images whose left or right half is lit, and which half it is."""
    rng = np.random.default_rng(0)
    y = np.arange(48) % 2
    X = rng.uniform(0, 0.3, size=(48, 8, 8))
    for image, half in zip(X, y, strict=True):
        image[:, 4 * half : 4 * half + 4] += 0.7
    return (low + (high - low) * X).astype(dtype), y


def assert_learnt(cls, X, y):
    estimator = cls(n_layers=2, n_filters=8, max_epochs=10, random_state=0).fit(X, y)
    assert estimator.score(X, y) > 0.8
    np.testing.assert_allclose(
        estimator.predict(X).astype(float),
        estimator.predict(np.array(X, dtype=np.float64)).astype(float),
        atol=1e-5,
    )
    return estimator


@pytest.mark.numerics
@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        pytest.param(-1e6, 1e6, "float64", id="row32-float64"),
        pytest.param(1e-30, 1e-28, "float64", id="row32-tiny"),
        pytest.param(0, 255, "uint8", id="row33-uint8"),
        pytest.param(40_000, 60_000, "uint16", id="row34-uint16"),
        pytest.param(-32_000, 32_000, "int16", id="row34-int16"),
        pytest.param(40_000, 60_000, ">u2", id="row34-big-endian"),
    ],
)
def test_any_range_of_values_is_learnt_from(cls, low, high, dtype):
    X, y = lit_halves(low, high, dtype)
    estimator = assert_learnt(cls, X, y)
    np.testing.assert_allclose(estimator.scaler_.mean_, X.mean(dtype=float), rtol=1e-6)


@pytest.mark.numerics
# At run time


@pytest.mark.parametrize("cls", BOTH, ids=lambda cls: f"row50-{cls.__name__}")
def test_device_auto_takes_what_is_there(cls):
    estimator = fit(GREY, device="auto")(cls)
    device = next(estimator.module_.parameters()).device
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


class Greedy(nn.Module):
    """A network that asks for a petabyte where a batch has more than 4 samples."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(n_outputs))

    def forward(self, x):
        if len(x) > 4:
            torch.empty(2**48, device=x.device)
        return self.layers(x)


@pytest.mark.parametrize("cls", BOTH, ids=lambda cls: f"row51-{cls.__name__}")
def test_out_of_memory_names_a_batch_size_that_fits(cls):
    estimator = cls(Greedy, max_epochs=1, batch_size=8)
    words = "batch_size=8.*batch_size=4"
    with pytest.raises(MemoryError, match=words):
        estimator.fit(GREY, CODES)
    with pytest.raises(NotFittedError):
        estimator.predict(GREY)
    estimator.set_params(batch_size=4).fit(GREY, CODES)
    expected = estimator.predict(GREY)
    estimator.set_params(batch_size=8)
    with pytest.raises(MemoryError, match=words):
        estimator.predict(GREY)
    estimator.set_params(batch_size=4)
    np.testing.assert_array_equal(estimator.predict(GREY), expected)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("batch_size", [0, -3, 2.5, "all", None])
def test_a_batch_size_that_is_none_is_named_by_predict(cls, batch_size):
    estimator = cls(max_epochs=1).fit(GREY, CODES).set_params(batch_size=batch_size)
    with pytest.raises((ValueError, TypeError), match="batch_size"):
        estimator.predict(GREY)


def train_on(estimator, method):
    for _ in range(9):
        getattr(estimator, method)(GREY, CODES)


@pytest.mark.parametrize("cls", BOTH, ids=lambda cls: f"row53-{cls.__name__}")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_names_the_epoch_and_what_to_lower(cls, method):
    estimator = fit(GREY, optimizer="sgd", lr_schedule=None)(cls)
    estimator.set_params(lr=1e12, max_epochs=9)
    words = r"became (nan|inf) in epoch \d+\. Lower lr \(it is 1000000000000"
    with pytest.raises(ValueError, match=words):
        train_on(estimator, method)
    if method == "fit":
        with pytest.raises(NotFittedError):
            estimator.predict(GREY)
