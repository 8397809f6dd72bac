"""
=========================================================
What do the filters of the first layers respond to?
=========================================================

The weights of a deep filter are hard to interpret. The image patches to which it
responds most are more informative (Zeiler and Fergus, 2014): they show colours and
edges in the first layer, then textures and corners.
"""

# %%
# Photographs
# -----------

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.transform import resize
from sklearn.datasets import load_sample_image

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

# %%
# Filters and their top patches
# -----------------------------
# The filters of the first layer have three channels, so they are drawn in colour. For
# filters of three layers, the figure shows the four top patches, each from a different
# photograph.

from skcnn import CNNFeatureTransformer
from skcnn.inspection import FilterDisplay, TopPatchesDisplay

transformer = CNNFeatureTransformer(image_size=SIDE).fit(images)
figure = plt.figure(figsize=(12, 5.4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(2, 5))
left.suptitle("filters of conv_stem")
FilterDisplay.from_estimator(transformer, n_filters=24, n_columns=4, ax=left.subplots())
TopPatchesDisplay.from_estimator(
    transformer,
    images,
    ["conv_stem", "blocks.1", "blocks.2"],
    n_filters=6,
    n_patches=4,
    ax=right.subplots(),
)
plt.show()
