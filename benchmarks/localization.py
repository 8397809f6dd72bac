"""Boxes around objects that were pasted on photographs.

Scenes are made of photographs of ImageNet, on which digits of MNIST, objects of
CIFAR-10 and insects of hymenoptera are pasted with soft edges. No picture is used both
in training and in the test. The script prints

- the average precision of `SlidingWindowDetector` and of HOG with a linear SVM on the
  same windows, and false boxes in images without an object at a recall of 0.8;
- for small and for large objects, the share of boxes with an intersection over union
  of at least 0.5: `BoxRegressor`, `ActivationLocalizer`, the best detection, the middle
  of the image and the mean box;
- seconds for an image of 640 × 480 pixels, and the share of the backbone.

    python benchmarks/localization.py [--only detection localization speed]
"""

import argparse
import gzip
from itertools import pairwise
from time import perf_counter

import numpy as np
import torch
from _timing import data_folder, describe_machine
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from skcnn import CNNFeatureTransformer
from skcnn.localization import (
    ActivationLocalizer,
    BoxRegressor,
    SlidingWindowDetector,
    average_precision,
    box_iou,
)
from skcnn.localization.average_precision import match_detections, paired_iou

SIZE = (320, 240)
SIDES = {"digit": (24, 64), "object": (32, 72), "insect": (48, 110)}  # long ones
LARGE_SIDES = {"object": (110, 220), "insect": (110, 220)}
MAX_OVERLAP = 0.3
HOG_CELL = 8


class Pictures:
    """Photographs, and the pictures that are pasted on them, of one part."""

    def __init__(self, is_train, sides):
        self.sides = sides
        folder = data_folder() / "images"
        photographs = sorted((folder / "imagenet200").glob("*.jpg"))
        self.photographs = photographs[0 if is_train else 1 :: 2]
        name = "train6000" if is_train else "t10k"
        (path,) = (folder / "mnist").glob(f"{name}*images*")
        raw = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16)
        self.digits = raw.reshape(-1, 28, 28)
        mosaic = folder / "cifar10" / ("train_0.png" if is_train else "test.png")
        tiles = np.asarray(Image.open(mosaic)).reshape(25, 32, 40, 32, 3)
        self.objects = tiles.swapaxes(1, 2).reshape(-1, 32, 32, 3)
        part = "train" if is_train else "val"
        self.insects = sorted((folder / "hymenoptera" / part).glob("*/*.jpg"))

    def digit(self, rng):
        """Return a coloured digit and the share of its ink in each pixel."""
        digit = self.digits[rng.integers(len(self.digits))]
        rows, columns = np.nonzero(digit > 40)
        digit = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        gap = max(0, -(-digit.shape[0] // 2) - digit.shape[1])  # of a one
        digit = np.pad(digit, ((0, 0), (gap // 2, gap - gap // 2)))
        ink = _resized(digit, rng.uniform(*self.sides["digit"])) / 255
        color = rng.integers(0, 256, 3) if rng.random() < 0.5 else np.full(3, 255)
        return np.broadcast_to(color, (*ink.shape, 3)), ink

    def object(self, rng):
        """Return a picture of CIFAR-10 and its soft mask."""
        picture = self.objects[rng.integers(len(self.objects))]
        return _with_mask(_resized(picture, rng.uniform(*self.sides["object"])))

    def insect(self, rng):
        """Return a picture of hymenoptera and its soft mask."""
        path = self.insects[rng.integers(len(self.insects))]
        picture = np.asarray(Image.open(path).convert("RGB"))
        return _with_mask(_resized(picture, rng.uniform(*self.sides["insect"])))

    def background(self, rng, size):
        """Return a part of a photograph."""
        path = self.photographs[rng.integers(len(self.photographs))]
        image = Image.open(path).convert("RGB")
        scale = max(new / old for new, old in zip(size, image.size, strict=True))
        image = image.resize(
            [max(n, round(s * scale)) for n, s in zip(size, image.size, strict=True)]
        )
        x, y = (rng.integers(s - n + 1) for n, s in zip(size, image.size, strict=True))
        pixels = np.asarray(image)[y : y + size[1], x : x + size[0]].astype(float)
        return pixels[:, ::-1].copy() if rng.random() < 0.5 else pixels

    def scene(self, rng, n_objects, size):
        """Return an image with objects, and their boxes and labels."""
        image, boxes, labels = self.background(rng, size), [], []
        names = list(self.sides)
        while len(boxes) < n_objects:
            label = names[rng.integers(len(names))]
            picture, mask = getattr(self, label)(rng)
            height, width = mask.shape
            x, y = rng.integers(size[0] - width + 1), rng.integers(size[1] - height + 1)
            box = [x, y, x + width, y + height]
            if boxes and box_iou([box], boxes).max() > MAX_OVERLAP:
                continue
            part = image[y : y + height, x : x + width]
            part[:] = mask[..., None] * picture + (1 - mask[..., None]) * part
            boxes.append(box)
            labels.append(label)
        boxes = np.array(boxes, dtype=float).reshape(-1, 4)
        return image.astype(np.uint8), {
            "boxes": boxes,
            "labels": np.array(labels, "<U6"),
        }


def _resized(picture, long_side):
    """Return a picture with another long side."""
    scale = long_side / max(picture.shape[:2])
    height, width = (max(2, round(n * scale)) for n in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.BICUBIC))


def _with_mask(picture):
    """Return a picture and a mask that fades out towards its edges."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return picture, np.clip((1 - (x**4 + y**4) ** 0.25) / 0.15, 0, 1)


def make_scenes(is_train, n_scenes, counts, seed, size=SIZE, sides=SIDES):
    """Return images and their targets, with each of `counts` objects in turn."""
    pictures, rng = Pictures(is_train, sides), np.random.default_rng(seed)
    scenes = [
        pictures.scene(rng, counts[i % len(counts)], size) for i in range(n_scenes)
    ]
    return np.stack([image for image, _ in scenes]), [target for _, target in scenes]


class HOGMaps(nn.Module):
    """Histograms of oriented gradients (Dalal and Triggs 2005) as a feature map."""

    def forward(self, x):
        """Map (n, 3, height, width) to (n, 36, height / 8, width / 8)."""
        shape = [n // HOG_CELL for n in x.shape[2:]]
        if x.is_meta:
            return x.new_zeros(len(x), 36, *shape)
        return torch.stack([self._of_image(image) for image in x])

    def _of_image(self, image):
        from skimage.feature import hog

        blocks = hog(
            image.movedim(0, -1).numpy(),
            orientations=9,
            pixels_per_cell=(HOG_CELL, HOG_CELL),
            cells_per_block=(2, 2),
            channel_axis=-1,
            feature_vector=False,
        )
        blocks = blocks.reshape(*blocks.shape[:2], 36).astype(np.float32)
        blocks = np.pad(blocks, ((0, 1), (0, 1), (0, 0)), mode="edge")
        return torch.from_numpy(blocks).movedim(-1, 0)


class HOGNetwork(nn.Module):
    """A network whose layer `hog` is `HOGMaps`."""

    def __init__(self):
        super().__init__()
        self.hog = HOGMaps()

    def forward(self, x):
        return self.hog(x)


def false_boxes_at_recall(y, found, found_in_empty, recall=0.8):
    """Return the number of false boxes an empty image, at a recall over all classes."""
    is_right, scores = [], []
    for label in SIDES:
        of_class = [one["labels"] == label for one in found]
        true = [t["boxes"][t["labels"] == label] for t in y]
        boxes = [f["boxes"][c] for f, c in zip(found, of_class, strict=True)]
        is_right += match_detections(true, boxes)
        scores += [f["scores"][c] for f, c in zip(found, of_class, strict=True)]
    is_right, scores = np.concatenate(is_right), np.concatenate(scores)
    n_needed = int(np.ceil(recall * sum(len(t["boxes"]) for t in y)))
    right = np.sort(scores[is_right])[::-1]
    if len(right) < n_needed:
        return np.inf
    limit = right[n_needed - 1]
    return np.mean([(one["scores"] >= limit).sum() for one in found_in_empty])


def compare_detectors(n_train, n_test, memory):
    """Print the figures of both detectors."""
    X, y = make_scenes(True, n_train, range(6), seed=0)
    X_test, y_test = make_scenes(False, n_test, range(6), seed=1)
    empty, _ = make_scenes(False, n_test // 2, [0], seed=2)
    hog = {"backbone": HOGNetwork(), "layer": "hog", "preprocessing": "resnet18"}
    shared = {"memory": memory, "threshold": -np.inf, "random_state": 0}
    detectors = {
        "efficientnet_lite0": SlidingWindowDetector(**shared),
        "HOG + LinearSVC": SlidingWindowDetector(
            LinearSVC(C=1e-3, max_iter=10_000), **hog, **shared
        ),
    }
    for name, detector in detectors.items():
        start = perf_counter()
        detector.fit(X, y)
        middle = perf_counter()
        found, found_in_empty = detector.predict(X_test), detector.predict(empty)
        seconds = perf_counter() - middle
        values = [
            average_precision(y_test, found, iou_threshold=t) for t in (0.3, 0.5, 0.7)
        ]
        false = false_boxes_at_recall(y_test, found, found_in_empty)
        print(
            f"{name:20} AP at IoU 0.3, 0.5, 0.7: {np.round(values, 3)}, false boxes an "
            f"empty image at recall 0.8: {false:.3f}; fit {middle - start:.0f} s, "
            f"{seconds / (len(X_test) + len(empty)):.2f} s an image"
        )
        for label in SIDES:
            value = average_precision(only(y_test, label), only(found, label))
            print(f"{'':20} {label}: {value:.3f}")


def only(targets, label):
    """Return the boxes of one class."""
    return [{k: v[t["labels"] == label] for k, v in t.items()} for t in targets]


def compare_localizers(n_train, n_test, memory, sides):
    """Print the accuracy of one box for each image, of objects of these sizes."""
    X, y = make_scenes(True, n_train, [1], seed=3, sides=sides)
    X_test, y_test = make_scenes(False, n_test, [1], seed=4, sides=sides)
    true = np.concatenate([target["boxes"] for target in y_test])
    mean = np.concatenate([target["boxes"] for target in y]).mean(axis=0)
    width, height = SIZE
    middle = np.array([width, height, 3 * width, 3 * height]) / 4
    classifier = make_pipeline(
        CNNFeatureTransformer(image_size=SIZE[::-1], memory=memory),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    ).fit(X, [target["labels"][0] for target in y])
    thresholds = {"threshold": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]}
    search = GridSearchCV(ActivationLocalizer(classifier), thresholds, cv=3)
    few = slice(30)  # boxes are seen of these only
    augmentation = ["flip", "shift", "scale"]
    regressor = BoxRegressor(
        augmentation=augmentation, max_epochs=20, memory=memory, random_state=0
    )
    head = BoxRegressor(
        trainable="head", head_epochs=50, max_epochs=1, memory=memory, random_state=0
    )
    detector = SlidingWindowDetector(
        threshold=-np.inf, max_detections=1, memory=memory, random_state=0
    ).fit(X, y)
    boxes = {
        "middle of the image": np.tile(middle, (len(true), 1)),
        "mean box": np.tile(mean, (len(true), 1)),
        "ActivationLocalizer": search.fit(X[few], y[few]).predict(X_test),
        "BoxRegressor": regressor.fit(X, y).predict(X_test),
        "BoxRegressor, head": head.fit(X, y).predict(X_test),
        "best detection": np.concatenate(
            [one["boxes"] for one in detector.predict(X_test)]
        ),
    }
    for name, found in boxes.items():
        overlap = paired_iou(found, true)
        print(
            f"{name:20} IoU at least 0.5: {(overlap >= 0.5).mean():.3f}, mean IoU "
            f"{overlap.mean():.3f}"
        )
    right = regressor.predict_labels(X_test) == [t["labels"][0] for t in y_test]
    print(f"{'BoxRegressor':20} accuracy of the label: {right.mean():.3f}")


def time_detection():
    """Print seconds for an image of 640 × 480 pixels, and the backbone's share."""
    X, y = make_scenes(True, 12, [3], seed=5, size=(640, 480))
    detector = SlidingWindowDetector(random_state=0).fit(X, y)
    detector.predict(X[:2])
    images = [X[i : i + 4] for i in range(0, 12, 4)]
    marks = [perf_counter()]
    for batch in images:
        detector.predict(batch)
        marks.append(perf_counter())
    seconds = np.median([b - a for a, b in pairwise(marks)]) / 4
    shares = []
    for batch in images:
        start = perf_counter()
        run_backbone(detector, batch)
        shares.append((perf_counter() - start) / 4 / seconds)
    print(f"{seconds:.2f} s an image of 640 × 480, backbone {np.median(shares):.2f}")


def run_backbone(detector, X):
    """Compute the feature maps of images, and no more."""
    from skcnn.localization.image_sequence import ImageSequence
    from skcnn.runtime import usual_torch

    scales = sorted({size.scale for size in detector.window_sizes_})
    with usual_torch():
        pyramid = detector._make_pyramid(None, detector.layer_)
        for _ in pyramid.maps(ImageSequence(detector, X), scales):
            pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", default=["detection", "localization", "speed"]
    )
    parser.add_argument("--n-train", type=int, default=300)
    parser.add_argument("--n-test", type=int, default=200)
    parser.add_argument("--memory", default=None)
    args = parser.parse_args()
    describe_machine()
    sizes = args.n_train, args.n_test, args.memory
    if "detection" in args.only:
        compare_detectors(*sizes)
    if "localization" in args.only:
        for sides in (SIDES, LARGE_SIDES):
            print(f"long sides of objects: {sides}")
            compare_localizers(*sizes, sides)
    if "speed" in args.only:
        time_detection()


if __name__ == "__main__":
    main()
