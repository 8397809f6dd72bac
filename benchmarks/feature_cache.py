"""Forward passes of an image in a grid search, and their cost.

    python benchmarks/feature_cache.py [--threads 4] [--repeats 5] [--images 256]

First, images that go through the network are counted in a search over 20 candidates and
5 folds with a refit; the last search is a new process with the cache of the previous
one. Then the times of hashing, look-up and storage are compared with the time of the
forward pass: resnet18 on uint8 images of 224 × 224
pixels, with random weights.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _counting import CountingNetwork, take_count
from _timing import describe_load, describe_machine, interleave, median_ratio
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from torchvision.models import resnet18

from skcnn import CNNFeatureTransformer
from skcnn.backbones import find_backbone
from skcnn.data import find_layout
from skcnn.features import ArraySource, FeatureCache, PublishedScaling

N_SEARCHED = 100
BATCH_SIZE = 16
KEY_SIZE = 32  # bytes


def search(path, memory=None, pipeline_memory=None, **options):
    """Search 20 values of C, and return how many images went through the network."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (N_SEARCHED, 32, 32, 3), dtype=np.uint8)
    y = np.arange(N_SEARCHED) % 2
    features = CNNFeatureTransformer(
        CountingNetwork(path), preprocessing="resnet20", memory=memory
    )
    steps = [("features", features), ("svc", SVC())]
    GridSearchCV(
        Pipeline(steps, memory=pipeline_memory),
        {"svc__C": np.logspace(-3, 3, 20)},
        cv=5,
        **options,
    ).fit(X, y)
    return take_count(path)


def search_again(folder):
    """Search in a new process, and return what it counted."""
    command = [sys.executable, __file__, "--again", folder]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def count_forwards(folder):
    """Print the counts, as multiples of the number of images."""
    path = str(Path(folder, "count"))
    caches = (Path(folder, f"cache{i}") for i in count())
    last = Path(folder, "last")
    counts = {
        "plain": search(path),
        "Pipeline(memory=...)": search(path, pipeline_memory=str(next(caches))),
        "memory=..., n_jobs=1": search(path, next(caches)),
        "memory=..., n_jobs=2": search(path, next(caches), n_jobs=2),
        "memory=..., with train scores": search(
            path, next(caches), return_train_score=True
        ),
        "memory=..., n_jobs=2, with train scores": search(
            path, last, n_jobs=2, return_train_score=True
        ),
        "the same in a new process": search_again(folder),
    }
    for way, n_images in counts.items():
        print(f"{way:40} {n_images / N_SEARCHED:6.2f} forwards an image")


def make_transformer(folder, **params):
    """Return resnet18 with random weights, from a file as a user's would be."""
    weights = Path(folder, "weights.pt")
    if not weights.exists():
        torch.manual_seed(0)
        torch.save(resnet18().state_dict(), weights)
    return CNNFeatureTransformer("resnet18", weights=weights, image_size=224, **params)


def make_steps(folder, X):
    """Return what a cache does, as functions by name: hashing, look-up, storage."""
    rng = np.random.default_rng(0)
    layout = find_layout(X.shape[1:], None, "auto")
    scaling = PublishedScaling(find_backbone("resnet18").preprocessing, layout, X.dtype)
    source = ArraySource(X, scaling, torch.device("cpu"), torch.float32)
    cache = FeatureCache(Path(folder, "steps"))
    rows = dict(
        zip(new_keys(rng, X), rng.random((len(X), 512), np.float32), strict=True)
    )
    cache.store(rows)

    def store():
        """Store new rows, in transactions of a batch each."""
        fresh = zip(new_keys(rng, X), rows.values(), strict=True)
        while batch := dict(islice(fresh, BATCH_SIZE)):
            cache.store(batch)

    return {
        "hashing": source.digests,
        "look-up": partial(cache.lookup, list(rows)),
        "storage": store,
    }


def new_keys(rng, X):
    """Return random keys for images."""
    return [rng.bytes(KEY_SIZE) for _ in X]


def make_passes(folder, X):
    """Return functions that compute features, with and without a cache."""
    fresh = (Path(folder, f"fresh{i}") for i in count())
    plain = make_transformer(folder).fit(X)
    warm = make_transformer(folder, memory=Path(folder, "warm")).fit(X)
    return {
        "forward, no cache": partial(plain.transform, X),
        "forward, new cache": lambda: (
            make_transformer(folder, memory=next(fresh)).fit(X).transform(X)
        ),
        "all from the cache": partial(warm.transform, X),
    }


def measure_costs(folder, n_images, repeats):
    """Print what hashing, look-up and storage take, and the forward pass."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n_images, 224, 224, 3), dtype=np.uint8)
    alternatives = make_passes(folder, X) | make_steps(folder, X)
    seconds = interleave(alternatives, repeats)
    forward = seconds["forward, no cache"]
    for name, values in seconds.items():
        print(
            f"{name:20} {1e6 * median(values) / n_images:10.1f} µs/image   "
            f"time / forward {median_ratio(values, forward):.4f}"
        )
    both = [a + b for a, b in zip(seconds["hashing"], seconds["look-up"], strict=True)]
    print(f"(hashing + look-up) / forward {median_ratio(both, forward):.4f}")


def main():
    """Run the counts and the timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--again", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.again:
        print(search(str(Path(args.again, "count")), Path(args.again, "last")))
        return
    torch.set_num_threads(args.threads)
    describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        count_forwards(folder)
        measure_costs(folder, args.images, args.repeats)
    describe_load()


if __name__ == "__main__":
    main()
