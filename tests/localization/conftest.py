"""Scenes: digits pasted on the photographs of scikit-learn, with their boxes."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

SIDE = 96


def paste_digit(image, digit, rng, side):
    """Paste a digit at a random place of an image, and return its box."""
    x, y = rng.integers(0, SIDE - side, size=2)
    ink = Image.fromarray((digit * 15).astype(np.uint8)).resize((side, side))
    share = np.asarray(ink)[..., None] / 255
    part = image[y : y + side, x : x + side]
    part[:] = share * 255 + (1 - share) * (part / 2)
    return [x, y, x + side, y + side]


def make_scenes(counts, seed):
    """Return photographs with so many digits each, and their boxes."""
    rng = np.random.default_rng(seed)
    digits = load_digits().images
    photographs = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    X, y = [], []
    for i, count in enumerate(counts):
        photograph = photographs[i % 2]
        top, left = rng.integers(0, (300, 500))
        image = photograph[top : top + SIDE, left : left + SIDE].copy()
        sides = rng.integers(28, 40, size=count)
        drawn = digits[rng.integers(0, len(digits), size=count)]
        boxes = [
            paste_digit(image, digit, rng, side)
            for digit, side in zip(drawn, sides, strict=True)
        ]
        X.append(image)
        y.append(np.array(boxes, dtype=float).reshape(-1, 4))
    return np.stack(X), y


@pytest.fixture(scope="session")
def scenes():
    """Scenes with 0 to 2 digits: 20 to learn from, 10 to test."""
    return (*make_scenes([2, 1, 1, 0] * 5, 0), *make_scenes([1, 2, 0, 1, 1] * 2, 1))
