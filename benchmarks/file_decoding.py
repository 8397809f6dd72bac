"""Cost of computing features of files instead of arrays.

    python benchmarks/file_decoding.py [--threads 4] [--repeats 5]

1. JPEG files of 256 pixels to resnet18's features, against the forward pass on an
   array of the same images, decoded, resized and cropped.
2. A JPEG of 12 megapixels to 224 × 224 pixels, against PIL alone, on one thread and on
   the decoding threads of the transformer. The gain is largest for images with little
   detail: an enlarged photograph has less, a mosaic of small photographs more detail
   than an image of a camera.
3. The peak memory of a process that computes features of 1,000 files, and of 10,000.

The photographs are in the folder that SKCNN_DATA names, or in shared/data beside the
repository.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _timing import (
    data_folder,
    describe_load,
    describe_machine,
    interleave,
    median_ratio,
)
from PIL import Image, ImageOps
from torchvision.models import resnet18

from skcnn import CNNFeatureTransformer
from skcnn.backbones import find_backbone
from skcnn.data import ImageFiles
from skcnn.data.image_decoding import decode_image

LARGE = (4000, 3000)
TILES = (4000, 500, 250)  # pixels; photographs have about 256
JPEG_QUALITY = 90
N_COPIES = 8
FILE_COUNTS = (1000, 10_000)
PREPROCESSING = find_backbone("resnet18").preprocessing


def decode_plainly(path):
    """Return what the network takes of a file, as one does it with PIL."""
    with Image.open(path) as image:
        return PREPROCESSING.resize_image(image.convert("RGB"))


def decode_ours(path):
    """Return what the network takes of a file, as the transformer does it."""
    image = decode_image(path, short_side=PREPROCESSING.short_side)
    return PREPROCESSING.resize_image(image)


def compare_with_forward(paths, folder, repeats):
    """Print the time of files to features, against that of the forward pass."""
    weights = Path(folder, "weights.pt")
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), weights)
    images = np.stack([np.asarray(decode_ours(path)) for path in paths])
    from_files = CNNFeatureTransformer("resnet18", weights=weights).fit(paths)
    from_array = CNNFeatureTransformer("resnet18", weights=weights, image_size=224)
    from_array.fit(images)
    if not np.array_equal(from_files.transform(paths), from_array.transform(images)):
        raise AssertionError("files and arrays have other features")
    seconds = interleave(
        {
            "decoded array": partial(from_array.transform, images),
            "JPEG files": partial(from_files.transform, paths),
        },
        repeats,
    )
    for way, values in seconds.items():
        print(
            f"{way:14} to features {len(paths) / median(values):8.1f} images/s   "
            f"time / forward {median_ratio(values, seconds['decoded array']):.3f}"
        )


def make_mosaic(paths, tile):
    """Return a large image that is filled with photographs of some size."""
    mosaic = Image.new("RGB", LARGE)
    corners = product(range(0, LARGE[0], tile), range(0, LARGE[1], tile))
    for corner, path in zip(corners, cycle(paths), strict=False):
        photograph = ImageOps.fit(Image.open(path).convert("RGB"), (tile, tile))
        mosaic.paste(photograph, corner)
    return mosaic


def compare_with_pil(paths, folder, repeats):
    """Print the time of decoding large JPEGs."""
    path = Path(folder, "large.jpg")
    files = ImageFiles(
        [path] * N_COPIES,
        PREPROCESSING.resize_image,
        short_side=PREPROCESSING.short_side,
    )
    ways = {
        "PIL": lambda: [decode_plainly(path) for _ in range(N_COPIES)],
        "one thread": lambda: [decode_ours(path) for _ in range(N_COPIES)],
        "threads": lambda: list(files.batches([np.arange(N_COPIES)])),
    }
    for tile in TILES:
        make_mosaic(paths, tile).save(path, quality=JPEG_QUALITY)
        report_decoding(tile, path, interleave(ways, repeats))


def report_decoding(tile, path, seconds):
    """Print how fast a large JPEG is decoded, and how far pixels are from PIL's."""
    plain, ours = (
        np.asarray(decode(path), int) for decode in (decode_plainly, decode_ours)
    )
    difference = abs(ours - plain)
    print(
        f"12 megapixels, photographs of {tile:4} pixels, "
        f"{path.stat().st_size / 1e6:.1f} MB: "
        f"PIL {1e3 * median(seconds['PIL']) / N_COPIES:5.1f} ms, PIL / ours "
        f"{median_ratio(seconds['PIL'], seconds['one thread']):.2f} on one thread, "
        f"{median_ratio(seconds['PIL'], seconds['threads']):.2f} with threads; "
        f"grey levels apart {difference.mean():.2f}, at most {difference.max()}"
    )


def peak_memory(folder, n_files):
    """Compute features of files in a new process; return its largest memory in MB."""
    command = [sys.executable, __file__, "--folder", folder, "--files", str(n_files)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def measure_own_memory(folder, n_files):
    """Compute features of files, and return the largest memory so far in MB."""
    paths = list(islice(sorted(Path(folder).glob("*.jpg")), n_files))
    CNNFeatureTransformer("squeezenet1_1", weights=None, image_size=64).fit_transform(
        paths
    )
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def compare_memory(paths, folder):
    """Print the largest memory for few and for many files."""
    folder = Path(folder, "links")
    folder.mkdir()
    for i, path in zip(range(max(FILE_COUNTS)), cycle(paths), strict=False):
        if i < len(paths):
            shutil.copyfile(path, folder / f"{i}.jpg")
        else:
            os.link(folder / f"{i % len(paths)}.jpg", folder / f"{i}.jpg")
    megabytes = [peak_memory(str(folder), n_files) for n_files in FILE_COUNTS]
    for n_files, peak in zip(FILE_COUNTS, megabytes, strict=True):
        print(f"{n_files:6} files: {peak:5.0f} MB at most")
    print(f"largest memory, many / few files {megabytes[1] / megabytes[0]:.3f}")


def main():
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.folder:
        print(measure_own_memory(args.folder, args.files))
        return
    paths = sorted((data_folder() / "images" / "imagenet200").glob("*.jpg"))
    describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        compare_with_forward(paths, folder, args.repeats)
        compare_with_pil(paths, folder, args.repeats)
        compare_memory(paths, folder)
    describe_load()


if __name__ == "__main__":
    main()
