"""Speed of feature extraction by skcnn and other packages, at 224 × 224 pixels.

    python benchmarks/extraction_speed.py [--backbone resnet18] [--threads 4]
        [--repeats 5] [--images 64]

``--backbone efficientnet_lite0`` compares the default backbone with the module of
timm, which has the same weights, in float32 only.

With resnet18, all have the same random weights. The plain loop gets normalised float32
batches, CNNFeatureTransformer gets uint8 images, and embetter and img2vec get images of
PIL, as their users pass them. These two are run by their own classes, whose downloaded
weights are replaced by random ones. The error is the relative L2 distance of the
features from those that the network in evaluation mode computes in float64.

bfloat16 is skipped if the processor has no bfloat16 arithmetic, because torch's
emulation takes minutes.
"""

import argparse
import copy
import os
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from unittest.mock import patch

import numpy as np
import timm
import torch
from _timing import (
    describe_load,
    describe_machine,
    has_native_bfloat16,
    interleave,
    median_ratio,
)
from embetter.vision import TimmEncoder
from img2vec_pytorch import Img2Vec
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from skcnn import CNNFeatureTransformer
from skcnn.backbones import find_backbone, load_backbone

SIDE = 224
BATCH_SIZE = 32
MATRIX_SIDE = 2048
N_PRODUCTS = 8
PLAIN = "plain loop"


def make_images(n_images):
    """Return uint8 images of random tiles, (n_images, 224, 224, 3)."""
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (n_images, 14, 14, 3), dtype=np.uint8)
    return tiles.repeat(16, axis=1).repeat(16, axis=2)


def normalize(X, backbone="resnet18"):
    """Return images as the float32 batch that a network takes, channels first."""
    preprocessing = find_backbone(backbone).preprocessing
    return preprocessing.normalize(torch.from_numpy(X).permute(0, 3, 1, 2)).contiguous()


def make_network(images):
    """Return the network with random weights, and the statistics of some images."""
    torch.manual_seed(0)
    module = resnet18()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the mean of all batches, of which there is one
    with torch.no_grad():
        module(images)
    return module.eval()


def without_head(module):
    """Return a copy that returns what the last layer receives."""
    module = copy.deepcopy(module)
    module.fc = nn.Identity()
    return module


def run_plain(module, images):
    """Return features in a plain loop over batches."""
    with torch.no_grad():
        return torch.cat([module(batch) for batch in images.split(BATCH_SIZE)])


def make_embetter(module):
    """Return embetter's encoder with the weights of a network."""
    create = timm.create_model
    with patch("timm.create_model", lambda name, pretrained, **kw: create(name, **kw)):
        encoder = TimmEncoder("resnet18")
    encoder.model.load_state_dict(without_head(module).state_dict())
    return encoder


def make_img2vec(module):
    """Return img2vec's encoder with the weights of a network."""
    network = copy.deepcopy(module)
    with patch("img2vec_pytorch.img_to_vec.resnet18", lambda weights: network):
        return Img2Vec(model="resnet18")


def run_img2vec(encoder, pictures):
    """Return features of lists of images, as its documentation has it."""
    starts = range(0, len(pictures), BATCH_SIZE)
    return np.concatenate(
        [encoder.get_vec(pictures[i : i + BATCH_SIZE]) for i in starts]
    )


def make_transformers(module, folder, X):
    """Return our transformers by what they are called, each warmed up."""
    weights = Path(folder, "weights.pt")
    torch.save(module.state_dict(), weights)
    make = partial(
        CNNFeatureTransformer,
        "resnet18",
        weights=weights,
        image_size=SIDE,
        device="cpu",
    )
    transformers = {
        "skcnn float32": make(),
        "skcnn float32, compiled": make(compile=True),
    }
    if has_native_bfloat16():
        transformers["skcnn bfloat16"] = make(precision="bfloat16")
        transformers["skcnn bfloat16, compiled"] = make(
            precision="bfloat16", compile=True
        )
    for name, transformer in transformers.items():
        start = perf_counter()
        transformer.fit(X).transform(X)
        print(f"{name:26} first call {perf_counter() - start:6.1f} s")
    return transformers


def relative_error(features, network, images):
    """Return the relative L2 distance from float64."""
    exact = run_plain(copy.deepcopy(network).double(), images.double())
    features = torch.as_tensor(features)
    return float((features - exact).norm() / exact.norm())


def product(dtype):
    """Return a function that multiplies matrices, as fast as the machine does."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(MATRIX_SIDE, MATRIX_SIDE, generator=generator).to(dtype)
    return lambda: [a @ a for _ in range(N_PRODUCTS)]


def count_operations(network):
    """Return the floating-point operations of the forward pass of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, SIDE, SIDE))
    return counter.get_total_flops()


def make_ways(module, folder, X, images):
    """Return functions that compute features, by the names of the ways."""
    network = without_head(module)
    last = {"memory_format": torch.channels_last}
    pictures = [Image.fromarray(image) for image in X]
    embetter, img2vec = make_embetter(module), make_img2vec(module)
    ways = {
        PLAIN: partial(run_plain, network, images),
        "plain loop, channels last": partial(
            run_plain, copy.deepcopy(network).to(**last), images.contiguous(**last)
        ),
        "embetter": partial(embetter.transform, pictures),
        "img2vec": partial(run_img2vec, img2vec, pictures),
    }
    for name, transformer in make_transformers(module, folder, X).items():
        ways[name] = partial(transformer.transform, X)
    errors = {
        name: relative_error(way(), network, images)
        for name, way in ways.items()
        if name != "embetter"  # which crops the images
    }
    crops = torch.stack([embetter.transform_img(picture) for picture in pictures])
    errors["embetter"] = relative_error(ways["embetter"](), network, crops)
    return ways, errors


def make_default_ways(X):
    """Return ways to the features of the default backbone, and their errors."""
    transformer = CNNFeatureTransformer(image_size=SIDE, device="cpu").fit(X)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    backbone = load_backbone("efficientnet_lite0")
    network.load_state_dict(backbone.module.state_dict(), strict=False)
    network.eval()
    images = normalize(X, "efficientnet_lite0")
    last = {"memory_format": torch.channels_last}
    ways = {
        PLAIN: partial(run_plain, network, images),
        "plain loop, channels last": partial(
            run_plain, copy.deepcopy(network).to(**last), images.contiguous(**last)
        ),
        "skcnn float32": partial(transformer.transform, X),
    }
    errors = {
        name: relative_error(way(), network, images) for name, way in ways.items()
    }
    return ways, errors


def report(ways, errors, seconds, n_images):
    """Print the table."""
    print(f"{'':26} images/s   speed / plain loop   relative L2 error")
    for name in ways:
        speed = n_images / median(seconds[name])
        ratio = median_ratio(seconds[PLAIN], seconds[name])
        print(f"{name:26} {speed:8.1f} {ratio:20.2f} {errors[name]:19.1e}")


def report_share(way, dtype, seconds, n_operations, n_images):
    """Print the rate of products of matrices, and which share of it a way reaches."""
    rate = 2 * MATRIX_SIDE**3 * N_PRODUCTS / median(seconds[dtype])
    reached = n_operations * n_images / median(seconds[way])
    print(
        f"{way:26} {reached / 1e9:.0f} of {rate / 1e9:.0f} GFLOP/s of products of "
        f"matrices in that precision: {reached / rate:.2f}"
    )


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backbone", choices=["resnet18", "efficientnet_lite0"], default="resnet18"
    )
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    describe_machine()
    X = make_images(args.images)
    if args.backbone == "efficientnet_lite0":
        ways, errors = make_default_ways(X)
        seconds = interleave(ways, args.repeats)
        report(ways, errors, seconds, args.images)
        describe_load()
        return
    images = normalize(X)
    module = make_network(images[:BATCH_SIZE])
    precisions = {"skcnn float32": torch.float32}
    if has_native_bfloat16():
        precisions["skcnn bfloat16"] = torch.bfloat16
    else:
        print("no native bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # nothing is compiled yet
        ways, errors = make_ways(module, folder, X, images)
        products = {dtype: product(dtype) for dtype in precisions.values()}
        seconds = interleave(ways | products, args.repeats)
    report(ways, errors, seconds, args.images)
    n_operations = count_operations(without_head(module))
    for way, dtype in precisions.items():
        report_share(way, dtype, seconds, n_operations, args.images)
    describe_load()


if __name__ == "__main__":
    main()
