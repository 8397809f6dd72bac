"""Training speed against a skorch net and against a plain torch loop.

    python benchmarks/fit_speed.py [--threads 4] [--repeats 7]

The skorch net is written as users write it: a Sequential, float32 arrays, a
DataLoader. The plain loop is the fastest we can write for the same network:
channels last, batches indexed out of one tensor, a fused optimiser; in bfloat16
(autocast), too, on processors and GPUs that multiply matrices in it. The
accuracy column is that on unseen images, mean and standard deviation over five
seeds, where `--data` names the folder of MNIST.
"""

import argparse
import gzip
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
import torch
from _timing import (
    describe_machine,
    has_native_bfloat16,
    interleave,
    median_ratio,
)
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional as F

from skcnn import CNNClassifier
from skcnn.modules import build_module

LR = 0.003
BATCH_SIZE = 128
EPOCHS = 3


class UsersNet(nn.Sequential):
    """The default network, as one writes it down."""

    def __init__(self, side):
        layers = []
        n_in = 1
        for n_out in (32, 64, 128):
            layers += [
                nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            n_in, side = n_out, side // 2
        super().__init__(*layers, nn.Flatten(), nn.Linear(n_in * side**2, 10))


def skorch_net(X, device, epochs=EPOCHS, seed=0):
    """Return a net as users of skorch write it."""
    torch.manual_seed(seed)
    return NeuralNetClassifier(
        partial(UsersNet, X.shape[1]),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=LR,
        batch_size=BATCH_SIZE,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        device=device,
    )


def fit_skorch(X, y, device, **params):
    """Train a skorch net."""
    return skorch_net(X, device, **params).fit(standardise(X)[:, None], y)


def standardise(X, like=None):
    """Return X in float32, scaled to mean 0 and standard deviation 1 of `like`."""
    X = X.astype(np.float32)
    like = X if like is None else like
    return (X - np.float32(like.mean())) / np.float32(like.std())


def fit_plain(X, y, device, epochs=EPOCHS, precision="float32"):
    """Train the network in the fastest plain loop."""
    reduced = torch.autocast(device, torch.bfloat16, precision == "bfloat16")
    torch.manual_seed(0)
    module = build_module("convnet", (1, *X.shape[1:]), 10)
    module = module.to(device, memory_format=torch.channels_last)
    images = torch.from_numpy(standardise(X))[:, None].to(device)
    labels = torch.from_numpy(y).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LR, fused=True)
    module.train()
    for _ in range(epochs):
        for index in torch.randperm(len(y), device=device).split(BATCH_SIZE):
            optimizer.zero_grad()
            batch = images[index].contiguous(memory_format=torch.channels_last)
            with reduced:
                loss = F.cross_entropy(module(batch), labels[index])
            loss.backward()
            optimizer.step()


def fit_skcnn(X, y, device, epochs=EPOCHS, seed=0, precision="float32"):
    """Train CNNClassifier with the same network, optimiser and batches."""
    return CNNClassifier(
        lr=LR,
        dropout=0.0,
        lr_schedule=None,
        batch_size=BATCH_SIZE,
        max_epochs=epochs,
        device=device,
        precision=precision,
        random_state=seed,
    ).fit(X, y)


def read_mnist(folder):
    """Return images and labels for training and for the test."""
    parts = []
    for name in ("train", "t10k"):
        for kind, header in (("images", 16), ("labels", 8)):
            (path,) = Path(folder).glob(f"{name}*{kind}*")
            with gzip.open(path) as file:
                values = np.frombuffer(file.read(), np.uint8, offset=header)
            parts.append(values.copy())
    X, y, X_test, y_test = parts
    shape = (-1, 28, 28)
    y, y_test = y.astype(np.int64), y_test.astype(np.int64)
    return X.reshape(shape), y, X_test.reshape(shape), y_test


def find_ways(device):
    """Return the functions that train, by name."""
    ways = {"skorch": fit_skorch, "plain loop": fit_plain, "skcnn": fit_skcnn}
    if device == "cuda" or has_native_bfloat16():
        for name in ("plain loop", "skcnn"):
            ways[f"{name}, bfloat16"] = partial(ways[name], precision="bfloat16")
    return ways


def measure(name, X, y, device, repeats):
    """Print the speeds of all ways."""
    ways = find_ways(device)
    seconds = interleave(
        {way: partial(fit, X, y, device) for way, fit in ways.items()}, repeats
    )
    images = EPOCHS * len(y)
    for way in ways:
        print(
            f"{name:14} {way:20} {images / median(seconds[way]):10.0f} images/s   "
            f"time / plain loop {median_ratio(seconds[way], seconds['plain loop']):.3f}"
        )
    for way in (way for way in ways if "skcnn" in way):
        plain = way.replace("skcnn", "plain loop")
        print(
            f"{name:14} skorch / {way} "
            f"{median_ratio(seconds['skorch'], seconds[way]):.2f}, {way} / {plain} "
            f"{median_ratio(seconds[way], seconds[plain]):.2f}"
        )


def compare_accuracy(folder, device):
    """Print test accuracies of skorch and skcnn over five seeds."""
    X, y, X_test, y_test = read_mnist(folder)
    unseen = standardise(X_test, like=X)[:, None]
    ways = {way: fit for way, fit in find_ways(device).items() if "loop" not in way}
    for way, fit in ways.items():
        scores = []
        for seed in range(5):
            model = fit(X, y, device, epochs=5, seed=seed)
            images = unseen if way == "skorch" else X_test
            scores.append(model.score(images, y_test))
        print(f"MNIST 6000     {way:20} {mean(scores):.4f} ± {stdev(scores):.4f}")


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--data", help="folder of MNIST's idx.gz files")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    describe_machine()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = np.random.default_rng(0)
    n_times = 10 if device == "cuda" else 1
    for side, n_samples in ((8, 1792 * n_times), (28, 1280 * n_times)):
        X = rng.integers(0, 256, (n_samples, side, side), dtype=np.uint8)
        y = rng.integers(0, 10, n_samples)
        measure(f"{side} x {side} uint8", X, y, device, args.repeats)
    if args.data:
        compare_accuracy(args.data, device)


if __name__ == "__main__":
    main()
