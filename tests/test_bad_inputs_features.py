"""What bad input gets from the feature transformer.

Tests are numbered by their row in the project's list of bad inputs, like those of
the trained estimators.
"""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import sparse
from sklearn.exceptions import DataConversionWarning, NotFittedError
from torch import nn

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.backbones import WeightsError

# Rows that are fitted on purpose have the length of images.
pytestmark = pytest.mark.filterwarnings("ignore:X has rows of 64 values")
N = 12
SMALL = {"n_layers": 2, "n_filters": 4, "max_epochs": 1, "random_state": 0}
GREY = np.random.default_rng(0).uniform(size=(N, 8, 8))
RGB = np.random.default_rng(1).uniform(size=(N, 8, 8, 3))
ROWS = GREY.reshape(N, 64)
FRAME = pd.DataFrame(ROWS, columns=[f"p{index}" for index in range(64)])
CODES = np.arange(N) % 2


def ready(**parameters):
    """Return a transformer that learns nothing, and resizes what it is given."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    settings = {"preprocessing": "resnet20", "image_size": 16} | parameters
    return CNNFeatureTransformer(module, **settings)


def learning(**parameters):
    """Return a transformer that learns the scale of the pixels."""
    settings = {"weights": None, "random_state": 0} | parameters
    return CNNFeatureTransformer("convnet", **settings)


def supervised(**parameters):
    """Return a transformer that trains its network."""
    return CNNFeatureTransformer(CNNClassifier(**SMALL), **parameters)


def on(module):
    """Return a function that makes a transformer of a module."""

    def make(**parameters):
        return CNNFeatureTransformer(module, **parameters)

    return make


def named(name, **settings):
    """Return a function that makes a transformer of a network with random weights."""

    def make(**parameters):
        parameters = {"weights": None, "random_state": 0} | settings | parameters
        return CNNFeatureTransformer(name, **parameters)

    return make


ALL = (ready, learning, supervised)
LEARN = (learning, supervised)


def fit(X, y=CODES, **parameters):
    """Return a call that fits a transformer."""
    return lambda make: make(**parameters).fit(X, y)


def transform(X, fitted_on=GREY, **parameters):
    """Return a call that transforms X with one fitted on something else."""
    return lambda make: make(**parameters).fit(fitted_on, CODES).transform(X)


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


def refused(row, what, call, *words, error=ValueError, by=ALL):
    """Return a test case for each way to make a transformer."""
    return [
        pytest.param(make, call, error, words, id=f"row{row:02}-{what}-{make.__name__}")
        for make in by
    ]


NAN = ("Input X contains NaN", "CNNFeatureTransformer does not accept missing values")
INFINITY = "Input X contains infinity or a value too large"
NO_SAMPLES = (
    "0 sample(s) (shape=(0, 8, 8)) while a minimum of 1 is required by "
    "CNNFeatureTransformer"
)
EMPTY_AXIS = "CNNFeatureTransformer needs every axis to have a length of at least 1"
ONE_AXIS = ("Expected 2D array, got 1D array instead", "Reshape your data")
ON_GREY = "CNNFeatureTransformer was fitted on (8, 8)"
ON_RGB = "CNNFeatureTransformer was fitted on (8, 8, 3)"
UNEQUAL = ("(8, 7)", "(8, 8)", "Resize them to one shape")
COMPLEX = "Complex data not supported"
NAMES = "The feature names should match those that were passed during fit"
SPARSE = "Sparse data was passed for X, but dense data is required"
NOT_THERE = ("is not available", "cpu", "device='auto'")
ragged = [np.zeros((8, 8)), np.zeros((8, 7))]
mixed = ["a.png", GREY[0]]
type_error = {"error": TypeError}
just_supervised = {"by": [supervised]}
needs_rgb = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
needs_nine_pixels = nn.Sequential(nn.Conv2d(1, 4, 9), nn.ReLU(), nn.Conv2d(4, 2, 1))
needs_64_values = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Linear(3, 2))


class NeedsOneSize(nn.Module):
    """A network for images of 32 x 32 pixels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        assert x.shape[2:] == (32, 32), "32 x 32 pixels"
        return self.head(self.conv(x).mean((2, 3)))


class NeedsNineValues(nn.Module):
    """A network that cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 9)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.conv(x).mean(2))


REFUSED = [
    *refused(1, "fit", fit(changed(GREY, np.nan)), *NAN),
    *refused(1, "float16", fit(changed(GREY, np.nan, "f2")), *NAN),
    *refused(1, "tensor", fit(torch.full((N, 8, 8), torch.nan)), *NAN),
    *refused(1, "transform", transform(changed(GREY, np.nan)), *NAN),
    *refused(2, "fit", fit(changed(GREY, np.inf)), INFINITY),
    *refused(2, "transform", transform(changed(GREY, -np.inf)), INFINITY),
    *refused(2, "overflow", fit(GREY * 1e200), "values too large", by=LEARN),
    *refused(2, "far", transform(GREY * 1e300), "far outside the range", by=LEARN),
    *refused(2, "range", transform(GREY * 1e300), "X has pixels", by=[ready]),
    *refused(3, "fit", fit(GREY[:0], CODES[:0]), NO_SAMPLES),
    *refused(3, "transform", transform(GREY[:0]), NO_SAMPLES),
    *refused(3, "files", transform([]), "0 sample(s) (shape=(0,))", by=[ready]),
    *refused(4, "image", fit(np.zeros((N, 8, 0))), "(8, 0)", EMPTY_AXIS),
    *refused(4, "row", fit(np.zeros((N, 0))), "0 feature(s) (shape=(12, 0))"),
    *refused(5, "last", fit(np.zeros((N, 8, 8, 0))), "(8, 8, 0)", EMPTY_AXIS),
    *refused(5, "first", fit(np.zeros((N, 0, 8, 8))), "(0, 8, 8)", EMPTY_AXIS),
    *refused(
        5,
        "row",
        fit(ROWS, image_shape=(8, 8, 0)),
        "(8, 8, 0)",
        "positive",
        by=[ready, learning],
    ),
    *refused(6, "float", fit(3.0), "Expected 2D array, got scalar array instead"),
    *refused(6, "tensor", transform(torch.tensor(3.0)), "got scalar array instead"),
    *refused(7, "fit", fit(GREY[:, 0, 0]), *ONE_AXIS),
    *refused(7, "transform", transform(GREY[0, 0]), *ONE_AXIS),
    *refused(8, "six", fit(np.zeros((N, 2, 2, 2, 2, 2))), "with dim 6", "dim <= 5"),
    *refused(
        8,
        "clips",
        fit(np.zeros((N, 5, 6, 7, 3))),
        "(5, 6, 7, 3)",
        "images with two spatial axes",
        by=[ready],
    ),
    *refused(9, "fewer", transform(RGB[..., :2], RGB), "(8, 8, 2)", ON_RGB),
    *refused(9, "grey", transform(GREY, RGB), "(8, 8)", ON_RGB),
    *refused(10, "smaller", transform(GREY[:, :7]), "(7, 8)", ON_GREY),
    *refused(10, "turned", transform(RGB.reshape(N, 4, 16, 3), RGB), ON_RGB),
    *refused(10, "flattened", transform(ROWS), "64", "(8, 8)"),
    *refused(
        10,
        "columns",
        transform(ROWS[:, :63], ROWS),
        "X has 63 features, but CNNFeatureTransformer is expecting 64 features",
        by=LEARN,
    ),
    *refused(
        11, "first", transform(RGB.transpose(0, 3, 1, 2), RGB), "(3, 8, 8)", ON_RGB
    ),
    *refused(
        12,
        "four",
        fit(np.zeros((N, 8, 8, 4))),
        "X has images of 4 channels, but sequential takes 3 (RGB) or 1 (grey)",
        by=[ready],
    ),
    *refused(12, "two", fit(np.zeros((N, 2, 8, 8))), "2 channels", by=[ready]),
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
        12,
        "network",
        transform(GREY),
        "sequential cannot take samples of shape (1, 8, 8)",
        "3 channels, but got 1 channels",
        by=[on(needs_rgb)],
    ),
    *refused(
        13,
        "wide",
        transform(GREY, image_size=(20, 60)),
        "squeezenet1_0 takes images of at least 21 x 21, got 20 x 60",
        by=[named("squeezenet1_0")],
    ),
    *refused(
        13,
        "fixed",
        transform(GREY, preprocessing="resnet20", image_size=16),
        "needsonesize takes images of 32 x 32 only, got 16 x 16",
        by=[on(NeedsOneSize())],
    ),
    *refused(
        13,
        "module",
        transform(GREY),
        "sequential takes images of at least 9 x 9, got 8 x 8",
        by=[on(needs_nine_pixels)],
    ),
    *refused(
        13,
        "linear",
        transform(GREY[:, :7], GREY[:, :7]),
        "sequential cannot take samples of shape (1, 7, 8)",
        by=[on(needs_64_values)],
    ),
    *refused(13, "lenet5", fit(GREY), "at least 12 x 12", by=[named("lenet5")]),
    *refused(
        14,
        "rows",
        fit(ROWS, image_shape=(8, 9)),
        "X has 64 features",
        "image_shape=(8, 9) needs 72",
        by=[ready, learning],
    ),
    *refused(
        14,
        "images",
        fit(GREY, image_shape=(4, 16)),
        "(8, 8)",
        "image_shape=(4, 16)",
        by=[ready, learning],
    ),
    *refused(15, "rows", fit([[1.0, 2.0], [1.0]] * 6), "inhomogeneous shape"),
    *refused(15, "images", fit([[[1.0, 2.0], [1.0]]] * N), "inhomogeneous shape"),
    *refused(15, "arrays", fit(ragged * 6), *UNEQUAL, by=[learning, supervised]),
    *refused(16, "fit", fit(objects(*ragged)), *UNEQUAL, by=[learning, supervised]),
    *refused(
        16,
        "transform",
        transform(objects(*ragged)),
        *UNEQUAL,
        by=[learning, supervised],
    ),
    *refused(17, "fit", fit(GREY + 1j), COMPLEX),
    *refused(17, "transform", transform(GREY + 1j), COMPLEX),
    *refused(
        18,
        "fit",
        fit(GREY, CODES[:-1]),
        "inconsistent numbers of samples: [12, 11]",
        **just_supervised,
    ),
    *refused(19, "fit", fit(GREY, CODES + 0.3), "continuous", **just_supervised),
    *refused(
        20,
        "fit",
        fit(GREY, changed(CODES, np.nan)),
        "y contains NaN",
        **just_supervised,
    ),
    *refused(
        21, "fit", fit(GREY, changed(CODES, np.inf)), "infinity", **just_supervised
    ),
    *refused(
        22,
        "fit",
        fit(GREY, np.c_[CODES, 2 + CODES]),
        "MultiOutputClassifier",
        **just_supervised,
    ),
    *refused(23, "fit", fit(GREY, None), "requires y to be passed", **just_supervised),
    *refused(
        28,
        "renamed",
        transform(FRAME.rename(columns={"p3": "q"}), FRAME),
        NAMES,
        "unseen at fit time",
        by=LEARN,
    ),
    *refused(
        28, "order", transform(FRAME[FRAME.columns[::-1]], FRAME), NAMES, by=LEARN
    ),
    *refused(29, "array", fit(sparse.csr_array(ROWS)), SPARSE, **type_error),
    *refused(29, "matrix", transform(sparse.csc_matrix(ROWS)), SPARSE, **type_error),
    *refused(30, "array", fit(objects({"a": 1})), "dict", **type_error),
    *refused(30, "list", fit([{"a": 1}] * N), "dict", **type_error),
    *refused(30, "dates", fit(np.zeros((N, 8, 8), "M8[s]")), "datetime", **type_error),
    *refused(31, "list", fit(mixed * 6), "X mixes image files", **type_error),
    *refused(31, "array", fit(objects(*mixed)), "row 1 is a ndarray", **type_error),
    *refused(31, "transform", transform([Path("a"), GREY[0]]), "mixes", **type_error),
    *refused(31, "number", transform(["a.png", 3.0]), "a float", **type_error),
    *refused(
        44,
        "none",
        transform(["a.png", None]),
        "missing value (None) in row 1",
        by=[ready],
    ),
    *refused(50, "index", fit(GREY, device="cuda:97"), "'cuda:97'", *NOT_THERE),
    *refused(50, "unknown", fit(GREY, device="gpu"), "'gpu'", *NOT_THERE),
    *refused(50, "meta", fit(GREY, device=torch.device("meta")), *NOT_THERE),
]


@pytest.mark.parametrize(("make", "call", "error", "words"), REFUSED)
def test_bad_input_is_refused_in_words(make, call, error, words):
    with pytest.raises(error) as caught:
        call(make)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("length", [8], ids=["row13-untraced"])
def test_a_network_that_cannot_be_traced_names_its_minimum(length):
    signals = ROWS[:, :length]
    words = "needsninevalues takes samples of at least 9, got 8"
    with pytest.raises(ValueError, match=words):
        CNNFeatureTransformer(NeedsNineValues()).fit_transform(signals)


@pytest.mark.parametrize("cached", [False, True], ids=["row13-plain", "row13-cached"])
def test_the_minimum_is_named_by_all_that_runs_the_network(cached, tmp_path, capfd):
    make = named("squeezenet1_0", image_size=20)
    fitted = make(memory=tmp_path if cached else None).fit(RGB)
    words = "squeezenet1_0 takes images of at least 21 x 21, got 20 x 20"
    for call in (fitted.get_feature_names_out, lambda: fitted.transform(RGB)):
        with pytest.raises(ValueError, match=words):
            call()
    assert capfd.readouterr().err == ""
    assert fitted.set_params(image_size=21).fit_transform(RGB).shape == (N, 512)


# Image files


@pytest.fixture
def pretrained(data_dir):
    """Return a pretrained transformer and a function to the path of an odd image."""
    weights = data_dir / "weights" / "resnet20_cifar10.safetensors"
    folder = data_dir / "odd_images"
    return CNNFeatureTransformer("resnet20", weights=weights), folder.joinpath


@pytest.mark.numerics
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("hopper_gray.jpg", id="row37-grey"),
        pytest.param("pil123rgba.png", id="row38-rgba"),
        pytest.param("pil_sample_cmyk.jpg", id="row39-cmyk"),
        pytest.param("tiff_strip_cmyk_jpeg.tif", id="row39-cmyk-tiff"),
        pytest.param("p_trns_single.png", id="row40-palette"),
    ],
)
def test_files_of_every_colour_mode_are_like_their_rgb_pixels(pretrained, name):
    transformer, path = pretrained
    with Image.open(path(name)) as image:
        assert image.mode != "RGB"
        image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    pixels = np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    transformer.set_params(image_size=pixels.shape[:2])  # no resize
    features = transformer.transform([path(name)])
    np.testing.assert_allclose(
        features, transformer.transform(pixels[None]), rtol=0, atol=0.01
    )


@pytest.mark.numerics
@pytest.mark.parametrize("name", ["hopper_16bit.pgm"], ids=["row34-file"])
def test_files_of_16_bits_are_scaled_by_their_range(pretrained, name):
    transformer, path = pretrained
    with Image.open(path(name)) as image:
        pixels = np.asarray(image).astype(np.uint16)
    assert pixels.max() > 60_000
    transformer.set_params(image_size=pixels.shape)
    features = transformer.transform([path(name)])
    expected = transformer.transform(pixels[None])  # not rounded to 8 bits
    np.testing.assert_allclose(features, expected, rtol=0, atol=0.02)


@pytest.mark.numerics
@pytest.mark.parametrize("name", ["dispose_bgnd_rgba.gif"], ids=["animation"])
def test_the_first_frame_of_an_animation_is_used_with_a_warning(pretrained, name):
    transformer, path = pretrained
    with pytest.warns(UserWarning, match="have several frames"):
        features = transformer.transform([path(name)])
    with Image.open(path(name)) as image:
        first = transformer.transform([image.convert("RGB")])
    np.testing.assert_allclose(features, first, rtol=0, atol=1e-4)


UNREADABLE = [
    pytest.param("nothing.jpg", "does not exist", id="row44-missing"),
    pytest.param("made_empty.jpg", "is empty", id="row45-empty"),
    pytest.param("made_text_named.jpg", "is not an image", id="row45-text"),
    pytest.param("made_truncated_hopper.jpg", "truncated", id="row46-truncated"),
    pytest.param("broken_data_stream.png", "truncated or damaged", id="row47-checksum"),
    pytest.param("made_bomb_30000x30000_1bit.png", "the limit of PIL", id="row48-bomb"),
    pytest.param("", "is a folder", id="row49-folder"),
]


@pytest.mark.parametrize(("name", "words"), UNREADABLE)
@pytest.mark.parametrize("cached", [False, True])
def test_a_file_that_cannot_be_read_is_named(pretrained, name, words, cached, tmp_path):
    transformer, path = pretrained
    transformer.set_params(memory=tmp_path if cached else None)
    files = [path("hopper.jpg"), path(name)]
    with pytest.raises(ValueError, match=f"Row 1 of X: .*{name}.*{words}"):
        transformer.fit_transform(files)
    transformer.set_params(on_error="skip")
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"1 of 2 images .*\n?.*{words}"):
            features = transformer.fit_transform(files)
        assert np.isnan(features[1]).all()
        good = transformer.transform(files[:1])
        np.testing.assert_allclose(features[:1], good, rtol=0, atol=1e-4)


# At run time


class Greedy(nn.Module):
    """A network that asks for a petabyte where a batch has more than 4 samples."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        if len(x) > 4:
            torch.empty(2**48, device=x.device)
        return self.head(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize("cached", [False, True], ids=["row51-plain", "row51-cached"])
def test_out_of_memory_names_a_batch_size_that_fits(cached, tmp_path):
    memory = tmp_path if cached else None
    transformer = CNNFeatureTransformer(Greedy(), batch_size=8, memory=memory)
    with pytest.raises(MemoryError, match=r"batch_size=8.*batch_size=4"):
        transformer.fit_transform(GREY)
    assert transformer.set_params(batch_size=4).transform(GREY).shape == (N, 3)


class Failing(nn.Module):
    """A network with a fault of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)

    def forward(self, x):
        if x.device.type != "meta":
            raise RuntimeError("a fault of its own")
        return self.conv(x)


@pytest.mark.parametrize("module", [Failing()], ids=["fault"])
def test_a_fault_of_the_network_is_not_put_down_to_the_images(module):
    with pytest.raises(RuntimeError, match="a fault of its own"):
        CNNFeatureTransformer(module, layer="conv").fit_transform(GREY)


def damaged(tensors, kind):
    if kind == "keys":
        return {f"net_{name}": tensor for name, tensor in tensors.items()}
    if kind == "missing":
        return dict(list(tensors.items())[3:])
    if kind == "infinite":
        name = "layer1.0.conv1.weight"
        return tensors | {name: tensors[name] / 0}
    return tensors | {"linear.weight": torch.zeros(10, 63)}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        pytest.param("keys", r"Missing: conv1\.weight; ", id="row54-keys"),
        pytest.param("missing", r"Missing: ", id="row54-missing"),
        pytest.param("shape", r"linear\.weight is \(10, 63\)", id="row54-shape"),
        pytest.param(
            "infinite", r"layer1\.0\.conv1\.weight contains NaN, inf", id="row54-inf"
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(data_dir, tmp_path, kind, words):
    tensors = load_file(data_dir / "weights" / "resnet20_cifar10.safetensors")
    path = tmp_path / "damaged.safetensors"
    save_file(damaged(tensors, kind), path)
    for method in ("fit", "transform"):
        with pytest.raises(WeightsError, match=words):
            getattr(CNNFeatureTransformer("resnet20", weights=path), method)(RGB)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"], ids=lambda s: f"row54-{s}")
def test_no_code_of_a_weights_file_is_run(tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(WeightsError, match="weights"):
        CNNFeatureTransformer("resnet20", weights=path).fit(RGB)


@pytest.mark.parametrize("set_name", ["CIFAR10"], ids=["row54-no-network"])
def test_without_network_the_error_says_which_file_to_put_where(
    set_name, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    transformer = CNNFeatureTransformer("resnet20", weights=set_name)
    words = r"Cannot download the weights 'CIFAR10'.*Put the file at .*resnet20-.*\.th"
    for method in ("fit", "transform"):
        with pytest.raises(WeightsError, match=words):
            getattr(transformer, method)(RGB)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["row54-nan", "row54-infinite"])
def test_a_module_with_weights_that_are_not_finite_gives_no_features(value):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    module[0].bias.data[0] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        CNNFeatureTransformer(module).fit_transform(GREY)


# The cache


@pytest.mark.numerics
def test_features_of_a_damaged_cache_are_computed_anew(tmp_path):
    transformer = learning(memory=tmp_path).fit(GREY)
    expected = transformer.transform(GREY)
    (database,) = tmp_path.glob("*.sqlite")
    database.write_bytes(b"no database" * 500)
    with pytest.warns(UserWarning, match="was damaged"):
        np.testing.assert_array_equal(transformer.transform(GREY), expected)
    assert transformer.cache_info_ == (0, 2 * N)
    np.testing.assert_array_equal(transformer.transform(GREY), expected)
    assert transformer.cache_info_ == (N, 2 * N)


@pytest.mark.numerics
def test_features_are_returned_where_the_cache_cannot_be_used(tmp_path):
    expected = learning().fit_transform(GREY)
    (tmp_path / "file").touch()
    transformer = learning(memory=tmp_path / "file").fit(GREY)
    with pytest.warns(UserWarning, match="cache"):
        features = transformer.transform(GREY)
    np.testing.assert_array_equal(features, expected)


# What must simply work


@pytest.mark.numerics
@pytest.mark.parametrize("y", [CODES[:, None]], ids=["row43"])
def test_a_column_of_labels_is_read_with_a_warning(y):
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        transformer = supervised().fit(GREY, y)
    expected = supervised().fit(GREY, CODES).transform(GREY)
    np.testing.assert_array_equal(transformer.transform(GREY), expected)


@pytest.mark.parametrize("y", [np.full(N, 7), np.array(["a", "b"])[CODES]])
def test_labels_of_every_kind_are_trained_on(y):
    assert np.isfinite(supervised().fit(GREY, y).transform(GREY)).all()


def test_what_is_refused_leaves_the_transformer_unfitted():
    for make in LEARN:
        transformer = make().fit(GREY, CODES)
        with pytest.raises(ValueError, match="NaN"):
            transformer.fit(changed(GREY, np.nan), CODES)
        with pytest.raises(NotFittedError):
            transformer.transform(GREY)


# -- beyond the list ----------------------------------------------------------


def test_a_layer_that_is_named_twice_is_an_error():
    with pytest.raises(ValueError, match="names a layer twice"):
        ready(layer=["0", "0"]).fit(RGB)


def test_a_layer_without_rows_of_samples_is_an_error():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(0, 2), nn.Linear(6, 2))
    with pytest.raises(ValueError, match=r"layer='1' gives .* for 12 samples"):
        CNNFeatureTransformer(module, layer="1").fit_transform(RGB)


@pytest.mark.parametrize(
    "parameters",
    [{"batch_size": 0}, {"pooling": "mean"}, {"on_error": "ignore"}],
    ids=str,
)
def test_parameters_that_are_set_after_fit_are_checked(parameters):
    transformer = ready().fit(RGB).set_params(**parameters)
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter"):
        transformer.transform(RGB)


def test_truth_values_of_numpy_are_truth_values(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for value in (np.False_, np.True_):
        transformer = ready(memory=value).fit(RGB)
        assert transformer.transform(RGB).shape == (N, 4)
        assert transformer.cache_info_.misses == N * value


def test_weights_that_are_no_numbers_are_named():
    transformer = ready().fit(RGB)
    transformer.backbone[0].weight.data[0] = torch.nan
    with pytest.raises(ValueError, match="weights of the network hold NaN"):
        transformer.transform(RGB)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ((path for path in ["a.jpg"]), "X is a generator, expected a list of paths"),
        ([bytearray(b"x")], "X holds a bytearray in row 0"),
        ([BytesIO(b"x")], "X holds a BytesIO in row 0"),
    ],
    ids=["generator", "bytearray", "file"],
)
def test_what_is_nearly_a_list_of_files_is_named(X, message):
    with pytest.raises(TypeError, match=message):
        ready().fit(X)


def test_torchscript_is_refused():
    with warnings.catch_warnings(action="ignore"):  # new versions of torch warn of it
        module = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(TypeError, match="TorchScript"):
        CNNFeatureTransformer(module).fit(RGB)


def test_files_that_cannot_be_read_are_not_found_in_the_cache(tmp_path):
    transformer = ready(memory=tmp_path, on_error="skip")
    good = tmp_path / "good.png"
    Image.new("RGB", (8, 8)).save(good)
    with pytest.warns(UserWarning, match="cannot be read"):
        transformer.fit([good]).transform([tmp_path / "none.png", good, good])
    assert transformer.cache_info_ == (1, 1)


@pytest.mark.numerics
@pytest.mark.parametrize("is_known", [True, False])
def test_dask_arrays_may_have_empty_blocks_and_unknown_lengths(is_known):
    da = pytest.importorskip("dask.array")
    transformer = ready()
    X = da.from_array(RGB, chunks=(4, 8, 8, 3))
    X = X[da.from_array(np.arange(N) > 5, chunks=4)]
    X = X.compute_chunk_sizes() if is_known else X
    features = transformer.fit(X).transform(X).compute()
    np.testing.assert_allclose(features, transformer.transform(RGB[6:]), rtol=1e-5)
