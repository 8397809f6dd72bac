"""Images of X as pictures, and grids of axes."""

import io
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skcnn import CNNClassifier, CNNFeatureTransformer
from skcnn.inspection.pictures import (
    as_pictures,
    make_grid,
    name_rows,
    reading_of,
    show_picture,
)

PHOTOS = [image[:90, :120] for image in load_sample_images().images]


@pytest.fixture
def paths(tmp_path):
    """Two photographs as lossless files."""
    names = [str(tmp_path / name) for name in ("china.png", "flower.png")]
    for name, photo in zip(names, PHOTOS, strict=True):
        Image.fromarray(photo).save(name)
    return names


def encoded(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "kind",
    ["paths", "series", "frame", "bytes", "pil", "first", "last", "tensor", "floats"],
)
def test_every_kind_of_x_gives_the_same_pictures(kind, paths):
    X = np.stack(PHOTOS)
    X = {
        "paths": paths,
        "series": pd.Series(paths),
        "frame": pd.DataFrame({"file": paths}),
        "bytes": [encoded(path) for path in paths],
        "pil": [Image.open(io.BytesIO(encoded(path))) for path in paths],
        "first": np.moveaxis(X, -1, 1),
        "last": X,
        "tensor": torch.from_numpy(X),
        "floats": X / 255,
    }[kind]
    for rows in (None, [1], [1, 0]):
        pictures = as_pictures(X, rows)
        expected = PHOTOS if rows is None else [PHOTOS[row] for row in rows]
        assert len(pictures) == len(expected)
        for picture, photo in zip(pictures, expected, strict=True):
            scale = 1 if picture.dtype == np.uint8 else 255
            np.testing.assert_allclose(picture * scale, photo, atol=1e-9)


def test_other_ranges_are_scaled_together(rng):
    X = rng.normal(size=(3, 5, 6)) * 10
    pictures = np.array(as_pictures(X))
    np.testing.assert_allclose(pictures, (X - X.min()) / (X.max() - X.min()))
    counts = rng.integers(0, 17, size=(3, 5, 6))
    np.testing.assert_allclose(
        as_pictures(counts + 2), (counts + 2) / (counts + 2).max()
    )


def test_other_channels_and_volumes(rng):
    X = rng.random((2, 4, 5, 6))
    np.testing.assert_array_equal(as_pictures(X)[0], np.moveaxis(X[0, :3], 0, -1))
    X = rng.random((2, 5, 6, 7))
    mean = as_pictures(X, channel_axis=-1)[1]
    np.testing.assert_allclose(mean, X[1].mean(axis=-1))
    volumes = rng.random((2, 5, 6, 7, 1))
    np.testing.assert_array_equal(as_pictures(volumes)[0], volumes[0, 2, :, :, 0])


def test_rows_need_their_shape(rng):
    X = rng.random((3, 75))
    with pytest.raises(ValueError, match="image_shape=\\(height, width\\)"):
        as_pictures(X)
    assert as_pictures(X, image_shape=(5, 5, 3))[0].shape == (5, 5, 3)


def test_a_file_that_cannot_be_read_is_named(paths):
    with pytest.raises(ValueError, match=r"Row 1 of X: 'no.png' does not exist"):
        as_pictures([paths[0], "no.png"], [1])


def test_reading_of_a_pipeline_is_that_of_its_outermost_reader():
    network = CNNClassifier(channel_axis=1)
    transformer = CNNFeatureTransformer(network, channel_axis=-1)
    pipeline = make_pipeline(MinMaxScaler(), transformer)
    assert reading_of(pipeline) == {"image_shape": None, "channel_axis": -1}
    assert reading_of(MinMaxScaler()) == {}


def test_names_of_rows(paths):
    assert name_rows(paths, [1, 0]) == ["flower.png", "china.png"]
    assert name_rows(np.stack(PHOTOS), [1]) == ["row 1"]


@pytest.mark.parametrize("is_free", [False, True])
def test_a_grid_stays_in_the_place_of_its_axes(is_free):
    figure = plt.figure(figsize=(6, 4))
    ax = (
        figure.add_axes((0.1, 0.2, 0.5, 0.6))
        if is_free
        else figure.add_subplot(1, 2, 2)
    )
    place = ax.get_position()
    same, axes = make_grid(2, 3, ax)
    assert same is figure
    assert axes.shape == (2, 3)
    boxes = [one.get_position() for one in axes.flat]
    assert min(box.x0 for box in boxes) == pytest.approx(place.x0)
    assert max(box.y1 for box in boxes) == pytest.approx(place.y1)
    plt.close(figure)


def test_titles_are_cut_to_the_width_of_the_axes():
    figure, axes = make_grid(1, 4)
    for ax in axes.flat:
        show_picture(ax, PHOTOS[0], "a_very_long_name_of_a_file_0123456789.jpg\nshort")
    figure.canvas.draw()
    boxes = [ax.title.get_window_extent() for ax in axes.flat]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
    assert all("…\nshort" in ax.get_title() for ax in axes.flat)
    plt.close(figure)
