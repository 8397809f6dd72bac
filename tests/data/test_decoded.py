"""Files that are decoded once."""

import numpy as np
import pytest
from PIL import Image

from skcnn.data import ImageFiles, decode_files
from skcnn.data.decoded import DecodedImages


@pytest.fixture
def files(rng):
    images = [
        Image.fromarray(rng.integers(0, 256, (6, 4, 3), np.uint8)) for _ in range(70)
    ]
    return ImageFiles(images, lambda image: image)


@pytest.mark.parametrize("memory_limit", [2**20, 1])
def test_pixels_are_those_of_the_files_in_their_order(files, memory_limit):
    pixels = decode_files(files, (6, 4, 3), memory_limit)
    assert isinstance(pixels, DecodedImages)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, [np.asarray(f) for f in files.sources])
    assert isinstance(pixels[[1, 2]], DecodedImages)


def test_beyond_the_limit_pixels_are_in_a_file_without_a_name(
    files, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = decode_files(files, (6, 4, 3), memory_limit=1)
    assert isinstance(pixels.base, np.memmap)
    assert list(tmp_path.iterdir()) == []
    pixels[0] = 7
    assert (pixels[0] == 7).all()
