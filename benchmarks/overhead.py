"""Overhead of the estimator over a plain torch loop, per image.

    python benchmarks/overhead.py [--threads 1] [--repeats 15]

The network is nearly empty (one linear layer on 8 × 8 images), so the time is that of
validation, scaling, batches and history.
"""

import argparse
from functools import partial
from statistics import median

import numpy as np
import torch
from _timing import describe_machine, interleave
from torch import nn
from torch.nn import functional as F

from skcnn import CNNClassifier

BATCH_SIZE = 128
N_SAMPLES = 128 * 200
EPOCHS = 3


class NearEmpty(nn.Sequential):
    """One linear layer."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(nn.Flatten(), nn.Linear(int(np.prod(input_shape)), n_outputs))


def make_classifier():
    """Return the estimator with the near-empty network."""
    return CNNClassifier(
        NearEmpty, batch_size=BATCH_SIZE, max_epochs=EPOCHS, random_state=0
    )


def raw_fit(images, labels):
    """Train in a raw loop, on images that are scaled already."""
    module = NearEmpty((1, 8, 8), 10)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(labels)).split(BATCH_SIZE):
            optimizer.zero_grad()
            F.cross_entropy(module(images[index]), labels[index]).backward()
            optimizer.step()


def raw_predict(module, images):
    """Return probabilities in a raw loop."""
    with torch.inference_mode():
        batches = [module(batch).softmax(1) for batch in images.split(BATCH_SIZE)]
        return torch.cat(batches).numpy()


def main():
    """Print the overheads in microseconds per image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    describe_machine()
    rng = np.random.default_rng(0)
    X = rng.random((N_SAMPLES, 8, 8), dtype=np.float32)
    y = rng.integers(0, 10, N_SAMPLES)
    images, labels = torch.from_numpy(X)[:, None], torch.from_numpy(y)
    clf = make_classifier().fit(X, y)
    seconds = interleave(
        {
            "fit": lambda: make_classifier().fit(X, y),
            "raw fit": partial(raw_fit, images, labels),
            "predict_proba": partial(clf.predict_proba, X),
            "raw predict_proba": partial(raw_predict, clf.module_, images),
        },
        args.repeats,
    )
    for method, passes in (("fit", EPOCHS), ("predict_proba", 1)):
        ours, raw = seconds[method], seconds[f"raw {method}"]
        extra = median(a - b for a, b in zip(ours, raw, strict=True))
        images_seen = passes * N_SAMPLES
        print(
            f"{method:14} {1e6 * median(ours) / images_seen:6.2f} µs/image, raw loop "
            f"{1e6 * median(raw) / images_seen:6.2f}, above it "
            f"{1e6 * extra / images_seen:6.2f}"
        )


if __name__ == "__main__":
    main()
