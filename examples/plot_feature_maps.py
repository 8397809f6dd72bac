"""
=========================================================
What do the layers of a network make of a photograph?
=========================================================

Each filter of a layer makes a feature map: an image that is bright where the filter has
found something. First layers find edges and colours and see small parts of the image.
Last layers see nearly all of it, find parts of things, and have few pixels left.
"""

# %%
# Feature maps of five layers
# ---------------------------
# ``pooling=None`` keeps the values of all positions. They come as a row for each image,
# so they are brought back to the shape ``(filters, height, width)``.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from skcnn import CNNFeatureTransformer

image = data.cat()[:, 75:375]
layers = {  # name, and number of filters
    "conv_stem": 32,
    "blocks.1": 24,
    "blocks.2": 40,
    "blocks.4": 112,
    "blocks.6": 320,
}
feature_maps = {}
for layer, n_filters in layers.items():
    transformer = CNNFeatureTransformer(layer=layer, pooling=None)
    row = transformer.fit_transform(image[None])[0]
    side = int(np.sqrt(len(row) / n_filters))
    feature_maps[layer] = row.reshape(n_filters, side, side)
    print(layer, feature_maps[layer].shape)

# %%
# Six of the filters of each layer
# --------------------------------
# Those whose feature maps vary most.

figure = plt.figure(figsize=(10, 7), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 3))
ax = left.subplots()
ax.imshow(image)
ax.set(xticks=[], yticks=[], title="photograph")
axes = right.subplots(len(layers), 6)
for row, (layer, maps) in zip(axes, feature_maps.items(), strict=True):
    chosen = np.argsort(maps.std((1, 2)))[::-1][:6]
    for ax, filter_map in zip(row, maps[chosen], strict=True):
        ax.imshow(filter_map, cmap="viridis")
        ax.set(xticks=[], yticks=[])
    _, height, width = maps.shape
    row[0].set_ylabel(f"{layer}\n{height} × {width}")
plt.show()
