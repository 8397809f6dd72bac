"""
==========================================
What does a convolution do to an image?
==========================================

A filter is a small grid of weights. A convolution moves it over the image, multiplies
the weights by the pixels under it and adds the products. Here the filters are fixed;
a network learns its own.
"""

# %%
# A photograph and seven filters
# ------------------------------
# The filters of :class:`~skcnn.FixedFilterTransformer` are textbook examples:
# the identity, three edge detectors, sharpening, and two kinds of blur.

import matplotlib.pyplot as plt
from skimage.data import camera

from skcnn import FixedFilterTransformer

image = camera()[::2, ::2] / 255  # 256 × 256 pixels, 0 to 1
transformer = FixedFilterTransformer("all").fit(image[None])
filtered = transformer.transform(image[None])[0]  # a channel for each filter
print(filtered.shape)

# %%
# Each filter, and the image that it makes
# ----------------------------------------
# The weights of edge detectors add up to 0, so uniform areas become 0, shown in middle
# grey. The other filters keep the brightness, as their weights add up to 1.

filters = transformer.filters_
figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
axes[0, 0].imshow(image, cmap="gray", vmin=0, vmax=1)
axes[0, 0].set_title("photograph")
for column, (ax, name) in enumerate(zip(axes.flat[1:], filters, strict=True)):
    low, high = (-0.5, 0.5) if "edges" in name else (0, 1)
    ax.imshow(filtered[..., column], cmap="gray", vmin=low, vmax=high)
    ax.set_title(name)
    small = ax.inset_axes([0.72, 0.72, 0.28, 0.28])
    small.imshow(filters[name], cmap="gray", vmin=-1, vmax=1)
    small.set(xticks=[], yticks=[])
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
