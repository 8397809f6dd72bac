"""Images per second on a GPU: features of resnet18 and resnet50 at 224 × 224 pixels.

    python benchmarks/gpu_features.py [--repeats 5] [--images 4096] [--compile]

All variants have the same random weights, channels last, evaluation mode, and batches
of the same size. "resident" is the forward pass alone, on normalised batches on the
GPU, which is the upper bound. "plain loop" is the usual batched loop: uint8 images
are moved, normalised and computed batch by batch, and the features are moved back.
CNNFeatureTransformer gets the same uint8 array, then JPEG files.

The shares are the times of decoding, copying to the GPU and computing alone, divided by
the time for files. These steps overlap, so the shares may add up to more than one.
"""

import argparse
import tempfile
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from _timing import (
    data_folder,
    describe_load,
    describe_machine,
    interleave,
    median_ratio,
)

from skcnn import CNNFeatureTransformer
from skcnn.backbones import find_backbone
from skcnn.data import ImageFiles

SIDE = 224
BATCH_SIZE = 128
NETWORKS = ("resnet18", "resnet50")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAST = {"memory_format": torch.channels_last}
PREPROCESSING = find_backbone("resnet18").preprocessing.with_image_size(SIDE)


def make_images(n_images):
    """Return uint8 images of random tiles, (n_images, 224, 224, 3)."""
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (n_images, 14, 14, 3), dtype=np.uint8)
    return tiles.repeat(16, axis=1).repeat(16, axis=2)


def make_network(name, dtype, folder):
    """Return a network without its head, and the file of its random weights."""
    torch.manual_seed(0)
    module = getattr(torchvision.models, name)().eval()
    weights = Path(folder, f"{name}.pt")
    torch.save(module.state_dict(), weights)
    module.fc = torch.nn.Identity()
    return module.to("cuda", dtype, **LAST), weights


def normalize(images, dtype):
    """Return uint8 images on the GPU, (n, h, w, c), as the network takes them."""
    batch = PREPROCESSING.normalize(images.permute(0, 3, 1, 2))
    return batch.to(dtype).contiguous(**LAST)


@torch.inference_mode()
def run_resident(network, batches):
    """Compute features of batches that are on the GPU, and leave them there."""
    for batch in batches:
        network(batch)


@torch.inference_mode()
def run_plain(network, X, dtype):
    """Return features of an array, batch by batch."""
    outputs = []
    for start in range(0, len(X), BATCH_SIZE):
        images = torch.from_numpy(X[start : start + BATCH_SIZE]).to("cuda")
        outputs.append(network(normalize(images, dtype)).float().cpu())
    return torch.cat(outputs).numpy()


def copy_alone(X):
    """Move batches to the GPU from pinned memory, and nothing else."""
    pinned = torch.from_numpy(X[:BATCH_SIZE]).pin_memory()

    def copy():
        for _ in range(0, len(X), BATCH_SIZE):
            pinned.to("cuda", non_blocking=True)

    return copy


def decode_alone(paths):
    """Decode and resize files in batches, and nothing else."""
    files = ImageFiles(
        paths, PREPROCESSING.resize_image, short_side=PREPROCESSING.short_side
    )
    starts = range(0, len(paths), BATCH_SIZE)
    chunks = (np.arange(i, min(i + BATCH_SIZE, len(paths))) for i in starts)
    for _ in files.batches(chunks):
        pass


def measure(name, precision, X, paths, folder, args):
    """Print the speeds of a network in a precision."""
    dtype = DTYPES[precision]
    network, weights = make_network(name, dtype, folder)
    resident = [
        normalize(torch.from_numpy(X[i : i + BATCH_SIZE]).to("cuda"), dtype)
        for i in range(0, len(X), BATCH_SIZE)
    ]
    make = partial(
        CNNFeatureTransformer,
        name,
        weights=weights,
        precision=precision,
        image_size=SIDE,
        batch_size=BATCH_SIZE,
    )
    ours = make()
    ways = {
        "resident": partial(run_resident, network, resident),
        "plain loop": partial(run_plain, network, X, dtype),
        "skcnn": partial(ours.transform, X),
    }
    if args.compile:
        ways["skcnn, compiled"] = partial(make(compile=True).transform, X)
    errors = {
        way: relative_error(ways[way](), ways["plain loop"]()) for way in list(ways)[2:]
    }
    seconds = interleave(ways, args.repeats)
    for way in ways:
        print(
            f"{name} {precision:9} {way:16} {len(X) / median(seconds[way]):8.0f} "
            f"images/s   speed / plain loop "
            f"{median_ratio(seconds['plain loop'], seconds[way]):5.2f}   "
            f"/ resident {median_ratio(seconds['resident'], seconds[way]):5.2f}"
            + (f"   off by {errors[way]:.1e}" if way in errors else "")
        )
    report_shares(name, precision, ours, ways["resident"], X, paths, args)


def relative_error(features, expected):
    """Return the relative L2 distance of features."""
    return float(np.linalg.norm(features - expected) / np.linalg.norm(expected))


def report_shares(name, precision, transformer, compute, X, paths, args):
    """Print the speed from files, and which part of the time is what."""
    share = len(paths) / len(X)
    ways = {
        "files": partial(transformer.transform, paths),
        "decoding": partial(decode_alone, paths),
        "copying": copy_alone(X),
        "computing": compute,
    }
    seconds = {way: median(s) for way, s in interleave(ways, 3).items()}
    for way in ("copying", "computing"):
        seconds[way] *= share
    parts = ", ".join(
        f"{way} {seconds[way] / seconds['files']:.2f}" for way in list(ways)[1:]
    )
    speed = len(paths) / seconds["files"]
    print(f"{name} {precision:9} from JPEG files {speed:8.0f} images/s   {parts}")


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--compile", action="store_true", help="compile, too")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("Skipped: there is no CUDA device.")
    describe_machine()
    photographs = sorted(data_folder().glob("images/hymenoptera/val/*/*.jpg"))
    paths = list(islice(cycle(photographs), args.images // 8))
    X = make_images(args.images)
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            for precision in DTYPES:
                measure(name, precision, X, paths, folder, args)
    describe_load()


if __name__ == "__main__":
    main()
