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
# Of each layer, the six feature maps that vary most.

import matplotlib.pyplot as plt
from skimage import data

from skcnn import CNNFeatureTransformer
from skcnn.inspection import FeatureMapDisplay

images = data.cat()[None, :, 75:375]
transformer = CNNFeatureTransformer().fit(images)
FeatureMapDisplay.from_estimator(
    transformer, images, ["conv_stem", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]
)
plt.show()
