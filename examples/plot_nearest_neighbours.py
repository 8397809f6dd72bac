"""
===========================================
Which images are near in feature space?
===========================================

As in the AlexNet paper, each row shows a query image on the left and its nearest
neighbours in feature space to the right. The network was trained on
ImageNet and has not seen these photographs.
"""

# %%
# Patches of photographs
# ----------------------
# Thirty patches are cut from each of nine photographs of scikit-image and scikit-learn.

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from sklearn.datasets import load_sample_image

photographs = {
    "astronaut": data.astronaut(),
    "cat": data.cat(),
    "coffee": data.coffee(),
    "galaxies": data.hubble_deep_field(),
    "retina": data.retina()[::2, ::2],
    "rocket": data.rocket(),
    "tissue": data.immunohistochemistry(),
    "temple": load_sample_image("china.jpg"),
    "flower": load_sample_image("flower.jpg"),
}
SIDE = 96
rng = np.random.default_rng(0)
patches, labels = [], []
for name, photograph in photographs.items():
    for _ in range(30):
        top, left = rng.integers(0, np.subtract(photograph.shape[:2], SIDE))
        patches.append(photograph[top : top + SIDE, left : left + SIDE])
        labels.append(name)
patches, labels = np.array(patches), np.array(labels)

# %%
# Neighbours by features, and by pixels
# -------------------------------------
# The score is the share of neighbours that are from the photograph of the query.

from sklearn.neighbors import NearestNeighbors

from skcnn import CNNFeatureTransformer

features = {
    "features": CNNFeatureTransformer(image_size=SIDE).fit_transform(patches),
    "pixels": patches.reshape(len(patches), -1) / 255,
}
for name, Z in features.items():
    index = NearestNeighbors(n_neighbors=4).fit(Z)
    neighbours = index.kneighbors(return_distance=False)
    share = np.mean(labels[neighbours] == labels[:, None])
    print(f"neighbours by {name:8}: {share:.1%} are from the same photograph")

# %%
# Queries and neighbours
# ----------------------
# Numbers are distances. A dashed frame marks a neighbour from another photograph.

from skcnn.inspection import NeighborsDisplay

queries = [10, 40, 190, 220, 250]
figure = plt.figure(figsize=(11, 6), layout="constrained")
for part, (name, Z) in zip(figure.subfigures(1, 2), features.items(), strict=True):
    part.suptitle(f"nearest by {name}")
    NeighborsDisplay.from_features(
        Z, patches, labels, queries=queries, n_neighbors=4, ax=part.subplots()
    )
plt.show()
