"""Training speed against a skorch net and against a plain torch loop.

    python benchmarks/fit_speed.py [--threads 1 2] [--repeats 7]

The networks: the default one on images of 8 × 8 and 28 × 28 pixels, a residual network
(resnet20) on colour images of 32 × 32, and a custom network with attention. The skorch
net is written as users write it: a Sequential, float32 arrays, a DataLoader. The plain
loop is the fastest that we can write for the same network: channels last, batches
indexed out of one tensor, a fused optimiser. On hardware with bfloat16 arithmetic, it
also runs in bfloat16 (autocast). If `--data` names the folder of MNIST, the accuracy on
unseen images is printed, mean and standard deviation over five seeds.
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


class AttentionNet(nn.Module):
    """A small network of one's own, with attention between the positions of a map."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
        )
        self.norm = nn.LayerNorm(64)
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
        self.head = nn.Linear(64, n_outputs)

    def forward(self, x):
        """Map images to scores."""
        tokens = self.norm(self.stem(x).flatten(2).mT)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.head((tokens + mixed).mean(1))


def skorch_net(X, device, architecture, epochs=EPOCHS, seed=0):
    """Return a net as users of skorch write it."""
    torch.manual_seed(seed)
    if architecture == "convnet":
        make_module = partial(UsersNet, X.shape[1])
    else:
        make_module = partial(build_module, architecture, input_shape(X), 10)
    return NeuralNetClassifier(
        make_module,
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


def fit_skorch(X, y, device, architecture="convnet", **params):
    """Train a skorch net."""
    net = skorch_net(X, device, architecture, **params)
    return net.fit(channels_first(standardise(X)), y)


def input_shape(X):
    """Return the shape of an image with channels first."""
    return (1, *X.shape[1:]) if X.ndim == 3 else (X.shape[3], *X.shape[1:3])


def channels_first(X):
    """Return images with channels first."""
    return np.ascontiguousarray(X.reshape(*X.shape[:3], -1).transpose(0, 3, 1, 2))


def standardise(X, like=None):
    """Return X in float32, scaled to mean 0 and standard deviation 1 of `like`."""
    X = X.astype(np.float32)
    like = X if like is None else like
    return (X - np.float32(like.mean())) / np.float32(like.std())


def fit_plain(X, y, device, architecture="convnet", epochs=EPOCHS, precision="float32"):
    """Train the network in the fastest plain loop."""
    reduced = torch.autocast(device, torch.bfloat16, precision == "bfloat16")
    torch.manual_seed(0)
    module = build_module(architecture, input_shape(X), 10)
    module = module.to(device, memory_format=torch.channels_last)
    images = torch.from_numpy(channels_first(standardise(X))).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
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


def fit_skcnn(
    X, y, device, architecture="convnet", epochs=EPOCHS, seed=0, precision="float32"
):
    """Train CNNClassifier with the same network, optimiser and batches."""
    return CNNClassifier(
        architecture,
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


# Name -> architecture, number of images, their shape.
NETWORKS = {
    "8x8": ("convnet", 1792, (8, 8)),
    "28x28": ("convnet", 1280, (28, 28)),
    "resnet20": ("resnet20", 256, (32, 32, 3)),
    "attention": (AttentionNet, 2560, (28, 28)),
}


def find_ways(device):
    """Return the functions that train, by name."""
    ways = {"skorch": fit_skorch, "plain loop": fit_plain, "skcnn": fit_skcnn}
    if device == "cuda" or has_native_bfloat16():
        for name in ("plain loop", "skcnn"):
            ways[f"{name}, bfloat16"] = partial(ways[name], precision="bfloat16")
    return ways


def measure(name, X, y, device, architecture, repeats):
    """Print the speeds of all ways."""
    ways = find_ways(device)
    seconds = interleave(
        {way: partial(fit, X, y, device, architecture) for way, fit in ways.items()},
        repeats,
    )
    images = EPOCHS * len(y)
    for way in ways:
        print(
            f"{name:10} {way:20} {images / median(seconds[way]):10.0f} images/s   "
            f"time / plain loop {median_ratio(seconds[way], seconds['plain loop']):.3f}"
        )
    for way in (way for way in ways if "skcnn" in way):
        plain = way.replace("skcnn", "plain loop")
        print(
            f"{name:10} skorch / {way} "
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
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[torch.get_num_threads()]
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--data", help="folder of MNIST's idx.gz files")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = np.random.default_rng(0)
    n_times = 10 if device == "cuda" else 1
    for n_threads in args.threads:
        torch.set_num_threads(n_threads)
        describe_machine()
        for name in args.networks:
            architecture, n_samples, shape = NETWORKS[name]
            n_samples *= n_times
            X = rng.integers(0, 256, (n_samples, *shape), dtype=np.uint8)
            y = rng.integers(0, 10, n_samples)
            measure(name, X, y, device, architecture, args.repeats)
    if args.data:
        compare_accuracy(args.data, device)


if __name__ == "__main__":
    main()
