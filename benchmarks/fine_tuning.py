"""Accuracy of fine-tuned networks, by trainable layers.

    python benchmarks/fine_tuning.py DATA [--backbone squeezenet1_0] [--threads 2]
        [--seeds 5] [--jobs 1] [--only NAME ...]

``--only cifar10`` compares, on 4,000 small images, a network trained from scratch, with
and without augmentation, features of a pretrained network, and a fine-tuned network.

DATA is the folder with ``images/hymenoptera`` (244 and 153 photographs of ants
and bees), ``images/cifar10`` (4,000 and 1,000 images) and the ImageNet weights of
SqueezeNet, which ``--backbone squeezenet1_0`` reads. A row is the accuracy on unseen
images, mean and standard deviation over seeds, with the CPU seconds of a fit. All
settings are defaults unless the row names others. With ``--jobs``, fits run in parallel
processes, which gives the same networks in less time.
"""

import argparse
from itertools import islice
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter, process_time

import numpy as np
import torch
from _timing import describe_machine
from joblib import Parallel, delayed
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNClassifier, CNNFeatureTransformer, FineTunedClassifier

DEFAULT = "efficientnet_lite0"


def read_hymenoptera(data):
    """Return paths and labels for training and for the test."""
    parts = []
    for part in ("train", "val"):
        folder = data / "images" / "hymenoptera" / part
        paths = sorted(folder.glob("*/*.jpg"))
        parts += [list(map(str, paths)), np.array([path.parent.name for path in paths])]
    return parts


def read_cifar10(data):
    """Return images and labels for training and for the test."""
    folder = data / "images" / "cifar10"
    labels = np.load(folder / "labels.npz")
    train = np.concatenate([read_mosaic(p) for p in sorted(folder.glob("train_*.png"))])
    return train, labels["train"], read_mosaic(folder / "test.png"), labels["test"]


def read_mosaic(path):
    """Return the images of a mosaic of 25 rows of 40 tiles."""
    tiles = np.asarray(Image.open(path)).reshape(25, 32, 40, 32, 3)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)


def hymenoptera_models(backbone, weights):
    """Return what makes each model of a seed."""

    def fine_tuned(**params):
        return lambda seed: FineTunedClassifier(
            backbone, weights=weights, random_state=seed, **params
        )

    return {
        "features + logistic regression": lambda seed: make_pipeline(
            CNNFeatureTransformer(backbone, weights=weights),
            StandardScaler(),
            LogisticRegression(max_iter=1000),
        ),
        "trainable='head'": fine_tuned(trainable="head"),
        "trainable='all'": fine_tuned(trainable="all"),
        "trainable=3": fine_tuned(trainable=3),
        "trainable='all', head_epochs=0": fine_tuned(trainable="all", head_epochs=0),
        "trainable='all', lr_decay=1": fine_tuned(trainable="all", lr_decay=1.0),
    }


def cifar10_models(backbone, weights):
    """Return what makes each model of a seed."""

    def fine_tuned(**params):
        return lambda seed: FineTunedClassifier(
            backbone, weights=weights, image_size=96, random_state=seed, **params
        )

    def from_scratch(**params):
        return lambda seed: CNNClassifier(random_state=seed, **params)

    return {
        "from scratch": from_scratch(),
        "from scratch, augmented": from_scratch(augmentation="standard"),
        "from scratch, augmented, 40 epochs": from_scratch(
            augmentation="standard", max_epochs=40
        ),
        "features + logistic regression": lambda seed: make_pipeline(
            CNNFeatureTransformer(backbone, weights=weights, image_size=96),
            StandardScaler(),
            LogisticRegression(max_iter=1000),
        ),
        "trainable='head'": fine_tuned(trainable="head"),
        "trainable=3": fine_tuned(trainable=3),
        "trainable='all'": fine_tuned(trainable="all"),
    }


def measure(make_model, seed, X, y, X_test, y_test):
    """Return the accuracy, the CPU seconds and the seconds of a fit."""
    start, cpu_start = perf_counter(), process_time()
    model = make_model(seed).fit(X, y)
    cost = process_time() - cpu_start, perf_counter() - start
    return model.score(X_test, y_test), *cost


def report(name, fits):
    """Print a row."""
    scores, cpu_seconds, seconds = zip(*fits, strict=True)
    spread = stdev(scores) if len(scores) > 1 else float("nan")
    print(
        f"{name:45} {mean(scores):.3f} ± {spread:.3f}   least {min(scores):.3f}   "
        f"{mean(cpu_seconds):6.0f} CPU s   {mean(seconds):6.0f} s",
        flush=True,
    )


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--backbone", choices=[DEFAULT, "squeezenet1_0"], default=DEFAULT
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="parts of names")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    describe_machine()
    weights = "default"
    if args.backbone != DEFAULT:
        weights = str(args.data / "weights" / "squeezenet1_0_imagenet.fp32.safetensors")
    sets = {
        "hymenoptera": (read_hymenoptera, hymenoptera_models),
        "cifar10": (read_cifar10, cifar10_models),
    }
    rows = {}
    for set_name, (read, make_models) in sets.items():
        images = read(args.data)
        for name, make_model in make_models(args.backbone, weights).items():
            name = f"{set_name}: {name}"
            if not args.only or any(part in name for part in args.only):
                rows[name] = make_model, images
    fits = Parallel(n_jobs=args.jobs, return_as="generator")(
        delayed(measure)(make_model, seed, *images)
        for make_model, images in rows.values()
        for seed in range(args.seeds)
    )
    for name in rows:
        report(name, islice(fits, args.seeds))


if __name__ == "__main__":
    main()
