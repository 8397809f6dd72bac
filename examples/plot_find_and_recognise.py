"""
==============================================================
Where are the digits in a photograph, and which ones are they?
==============================================================

A detector finds the digits in a photograph, and a classifier recognises them. Both are
trained here, in seconds, on scenes with several digits, one or none.
"""

# %%
# Scenes
# ------
# Digits of scikit-learn are pasted on its sample photographs. Training and test scenes
# share no photograph and no digits.

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

WIDTH, HEIGHT = 192, 144


def make_scene(photograph, digits, target, n_digits, rng):
    """Return an image with digits, their boxes and labels."""
    top = rng.integers(photograph.shape[0] - HEIGHT)
    left = rng.integers(photograph.shape[1] - WIDTH)
    image = photograph[top : top + HEIGHT, left : left + WIDTH].copy()
    chosen = rng.integers(len(digits), size=n_digits)
    places = rng.permutation(12)[:n_digits]  # cells of a grid, without overlap
    boxes = []
    for digit, place in zip(digits[chosen], places, strict=True):
        side = rng.integers(26, 42)
        x, y = np.array([place % 4, place // 4]) * 48 + rng.integers(0, 48 - side, 2)
        ink = Image.fromarray((digit * 15).astype(np.uint8)).resize((side, side))
        ink = np.asarray(ink)[..., None] / 255
        part = image[y : y + side, x : x + side]
        part[:] = ink * 255 + (1 - ink) * part * 0.6
        boxes.append([x, y, x + side, y + side])
    return image, {"boxes": boxes, "labels": target[chosen]}


def make_scenes(name, rows, counts, seed):
    """Return scenes on one photograph, with some of the digits."""
    rng = np.random.default_rng(seed)
    digits, photograph = load_digits(), load_sample_image(name)
    images, target = digits.images[rows], digits.target[rows]
    scenes = [make_scene(photograph, images, target, n, rng) for n in counts]
    return np.stack([image for image, _ in scenes]), [truth for _, truth in scenes]


X_train, y_train = make_scenes("china.jpg", slice(1000), [3, 1, 0, 2] * 6, seed=0)
X_test, y_test = make_scenes("flower.jpg", slice(1000, None), [4, 1, 0, 2] * 2, seed=1)

# %%
# Detection
# ---------
# The detector is trained on boxes without labels.

from skcnn.localization import SlidingWindowDetector

boxes_train = [target["boxes"] for target in y_train]
boxes_test = [target["boxes"] for target in y_test]
detector = SlidingWindowDetector(n_windows=2, random_state=0)
detector.fit(X_train, boxes_train)
print(f"average precision: {detector.score(X_test, boxes_test):.3f}")
found = detector.predict(X_test)
print("digits in each scene:", [len(boxes) for boxes in boxes_test])
print("boxes found:         ", [len(one["boxes"]) for one in found])

# %%
# Classification
# --------------
# The classifier is trained on two crops for each box, one of the box itself and one
# shifted by some pixels, because detected boxes are not exact.

from skcnn import CNNClassifier


def crop(image, box, side=24):
    """Return the part of an image in a box, grey and resized."""
    part = Image.fromarray(image).convert("L")
    return np.asarray(part.resize((side, side), Image.BICUBIC, box=tuple(box)))


X_digits, y_digits = make_scenes("china.jpg", slice(1000), [6] * 120, seed=2)
rng = np.random.default_rng(3)
crops, labels = [], []
for image, target in zip(X_digits, y_digits, strict=True):
    for box, label in zip(target["boxes"], target["labels"], strict=True):
        moved = np.clip(box + rng.uniform(-4, 4, size=4), 0, [WIDTH, HEIGHT] * 2)
        crops += [crop(image, box), crop(image, moved)]
        labels += [label, label]
recogniser = CNNClassifier(n_filters=16, max_epochs=12, random_state=0)
recogniser.fit(np.stack(crops), labels)

# %%
# Both together
# -------------
# Scenes without detections are skipped.

import matplotlib.pyplot as plt

from skcnn.localization import BoxDisplay, average_precision

for image, one in zip(X_test, found, strict=True):
    if len(one["boxes"]):
        parts = np.stack([crop(image, box) for box in one["boxes"]])
        one["labels"] = recogniser.predict(parts)
print(f"average precision with labels: {average_precision(y_test, found):.3f}")
BoxDisplay(list(X_test), y_test, found).plot()
plt.show()
