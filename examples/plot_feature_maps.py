"""
=========================================================
What do the feature maps of a photograph look like?
=========================================================

Each filter of a layer computes a feature map: an image that is bright where the filter
responds. Early layers respond to edges and colours in small parts of the image. Late
layers respond to object parts; each pixel of their feature maps depends on most of the
image.
"""

# %%
# Feature maps of five layers
# ---------------------------
# The figure shows each layer's six feature maps of highest variance.

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
