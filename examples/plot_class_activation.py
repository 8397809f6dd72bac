"""
======================================================
Which regions of an image are evidence for a class?
======================================================

A pipeline of pretrained features and a logistic regression is trained on patches of the
left halves of six photographs. In a collage of the right halves, class activation maps
then show which regions are evidence for each photograph. They decompose the class
scores exactly: features are means over positions and other steps are linear.
"""

# %%
# Training patches
# ----------------

import matplotlib.pyplot as plt
import numpy as np
from skimage import data
from skimage.transform import resize
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNFeatureTransformer

photographs = {
    "astronaut": data.astronaut(),
    "cat": data.cat(),
    "coffee": data.coffee(),
    "tissue": data.immunohistochemistry(),
    "temple": load_sample_image("china.jpg"),
    "flower": load_sample_image("flower.jpg"),
}
rng = np.random.default_rng(0)
X, y = [], []
for name, photograph in photographs.items():
    area = photograph[:, : photograph.shape[1] // 2]
    for _ in range(20):
        top, left = rng.integers(0, np.subtract(area.shape[:2], 112))
        X.append(area[top : top + 112, left : left + 112])
        y.append(name)
pipeline = make_pipeline(
    CNNFeatureTransformer(image_size=112), StandardScaler(), LogisticRegression(C=0.01)
)
pipeline.fit(np.array(X), y)

# %%
# A collage of the right halves
# -----------------------------


def as_tile(photograph):
    half = photograph[:, photograph.shape[1] // 2 :]
    side = min(half.shape[:2])
    return resize(half[:side, :side], (112, 112), anti_aliasing=True)


tiles = [as_tile(photograph) for photograph in photographs.values()]
collage = np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])
collage = (255 * collage).astype(np.uint8)

# %%
# A map for each class
# --------------------
# Orange regions are evidence for the class. The right half of the temple photograph
# shows only a lake, trees and the sky. The only evidence for the temple is a small part
# of the astronaut's space shuttle.

from skcnn.inspection import class_activation_maps

finder = make_pipeline(
    CNNFeatureTransformer(image_size=collage.shape[:2]), *pipeline[1:]
)
finder[0].fit(collage[None])
(maps,) = class_activation_maps(finder, collage[None], classes="all")

figure, axes = plt.subplots(2, 4, figsize=(12, 4.4), layout="constrained")
axes[0, 0].imshow(collage)
axes[0, 0].set_title("collage")
axes[1, 0].remove()
names = list(pipeline.classes_)
for ax, name in zip(axes[:, 1:].flat, photographs, strict=True):
    ax.imshow(collage.mean(2), cmap="gray")
    ax.imshow(maps[names.index(name)].clip(0), cmap="Oranges", alpha=0.6)
    ax.set_title(name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
