"""
=========================================================
What are the filters of the first layers looking for?
=========================================================

The weights of a deep filter say little to the eye. The parts of photographs to which it
responds most say more, as in Zeiler and Fergus (2014): colours and edges in the first
layer, textures and corners in the next ones.
"""

# %%
# Photographs, and what three layers make of them
# -----------------------------------------------
# ``pooling=None`` keeps the values of all positions.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.transform import resize
from sklearn.datasets import load_sample_image

from skcnn import CNNFeatureTransformer

photographs = [
    data.astronaut(),
    data.cat(),
    data.coffee(),
    data.retina(),
    data.rocket(),
    data.immunohistochemistry(),
    load_sample_image("china.jpg"),
    load_sample_image("flower.jpg"),
]
SIDE = 224


def as_square(photograph):
    """Cut out the middle of a photograph and resize it."""
    height, width, _ = photograph.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photograph[top : top + side, left : left + side]
    return (255 * resize(square, (SIDE, SIDE), anti_aliasing=True)).astype(np.uint8)


images = np.array([as_square(photograph) for photograph in photographs])
layers = {  # name: number of filters, and side of the part that a value depends on
    "conv_stem": (32, 3),
    "blocks.1": (24, 19),
    "blocks.2": (40, 67),
}
responses = {}
for layer, (n_filters, _) in layers.items():
    transformer = CNNFeatureTransformer(layer=layer, pooling=None, image_size=SIDE)
    rows = transformer.fit_transform(images)
    side = int(np.sqrt(rows.shape[1] / n_filters))
    responses[layer] = rows.reshape(len(images), n_filters, side, side)

# %%
# The strongest patch of each photograph
# --------------------------------------
# For each layer the eight filters whose strongest responses stand out most, and the
# patches of the four photographs that excite each of them most.


def patch_at(image, row, column, side):
    """Return the part of an image around a place, which is repeated at borders."""
    padded = np.pad(image, ((side, side), (side, side), (0, 0)), mode="edge")
    top, left = row + side - side // 2, column + side - side // 2
    return padded[top : top + side, left : left + side]


N_FILTERS, N_PATCHES = 8, 4
figure = plt.figure(figsize=(10, 5.4), layout="constrained")
parts = figure.subfigures(1, len(layers), wspace=0.04)
for part, (layer, (_, side)) in zip(parts, layers.items(), strict=True):
    maps = responses[layer]
    step = SIDE // maps.shape[2]
    strongest = maps.max((2, 3))  # of each image and filter
    excess = (strongest.max(0) - maps.mean((0, 2, 3))) / maps.std((0, 2, 3))
    chosen = np.argsort(excess)[::-1][:N_FILTERS]
    part.suptitle(f"{layer}, {side} × {side} pixels")
    for axes, number in zip(part.subplots(N_FILTERS, N_PATCHES), chosen, strict=True):
        best_images = np.argsort(strongest[:, number])[::-1][:N_PATCHES]
        for ax, image in zip(axes, best_images, strict=True):
            one = maps[image, number]
            row, column = np.unravel_index(one.argmax(), one.shape)
            ax.imshow(patch_at(images[image], row * step, column * step, side))
            ax.set(xticks=[], yticks=[])
plt.show()
