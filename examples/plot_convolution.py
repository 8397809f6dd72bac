"""
==========================================
What does a convolution do to an image?
==========================================

A filter is a small grid of weights. A convolution moves it over the image, multiplies
the weights with the pixels below and adds the products up. These filters are given;
those of a network are learnt.
"""

# %%
# A photograph and seven filters
# ------------------------------
# The filters are those of the first pages of many lectures: the identity, three edge
# detectors, sharpening, and two kinds of blur.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import convolve
from skimage.data import camera

image = camera()[::2, ::2] / 255  # 256 × 256 pixels, 0 to 1
filters = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "horizontal edges": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "vertical edges": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "all edges": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "box blur": np.full((3, 3), 1 / 9),
    "Gaussian blur": np.outer([1, 2, 1], [1, 2, 1]) / 16,
}
feature_maps = {
    name: convolve(image, np.array(weights, float)) for name, weights in filters.items()
}

# %%
# Each filter, and the image that it makes
# ----------------------------------------
# Edge detectors have weights that add up to 0, so even areas become 0, shown in middle
# grey. The other filters keep the brightness, as their weights add up to 1.

figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
axes[0, 0].imshow(image, cmap="gray", vmin=0, vmax=1)
axes[0, 0].set_title("photograph")
for ax, (name, weights) in zip(axes.flat[1:], filters.items(), strict=True):
    low, high = (-1, 1) if "edges" in name else (0, 1)
    ax.imshow(feature_maps[name], cmap="gray", vmin=low, vmax=high)
    ax.set_title(name)
    small = ax.inset_axes([0.72, 0.72, 0.28, 0.28])
    small.imshow(weights, cmap="gray", vmin=-2, vmax=2)
    small.set(xticks=[], yticks=[])
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
