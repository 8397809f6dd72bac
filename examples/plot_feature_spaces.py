"""
====================================================================
Which features need the fewest labels? Pixels, PCA, LLE or a CNN's
====================================================================

A logistic regression classifies the digits 5 to 9 by seven kinds of features. Four are
pixels and their PCA, kernel PCA and LLE. Three are feature maps of networks: untrained,
trained on other digits, or trained on photographs. The number of labels varies.
"""

# %%
# Seven feature spaces
# --------------------
# No features depend on labels of the digits 5 to 9: the other digits are 0 to 4.
# Feature maps are from a middle layer, because the last layers are specialised in the
# training classes. ``pooling=None`` keeps all positions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import LocallyLinearEmbedding
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNClassifier, CNNFeatureTransformer

digits = load_digits()
is_known = digits.target < 5
network = CNNClassifier(random_state=0)
network.fit(digits.images[is_known], digits.target[is_known])
images, pixels, y = (digits[key][~is_known] for key in ("images", "data", "target"))
scaled = images / 16  # a pretrained network expects floats from 0 to 1

features = {
    "pixels": pixels,
    "PCA": PCA(30, random_state=0).fit_transform(pixels),
    "kernel PCA": KernelPCA(30, kernel="rbf", gamma=1e-3).fit_transform(pixels),
    "LLE": LocallyLinearEmbedding(n_neighbors=15, n_components=10).fit_transform(
        pixels
    ),
    "random filters": CNNFeatureTransformer(
        "convnet", weights=None, layer="block2", pooling=None, random_state=0
    ).fit_transform(images),
    "filters of other digits": CNNFeatureTransformer(
        network, layer="block2", pooling=None
    ).fit_transform(images),
    "filters of photographs": CNNFeatureTransformer(
        layer="blocks.4", pooling=None, image_size=64
    ).fit_transform(scaled),
}

# %%
# Accuracy by number of labels
# ----------------------------

sizes = [10, 20, 50, 100, 200]
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
scores = {
    name: [
        cross_val_score(
            model, Z, y, cv=StratifiedShuffleSplit(10, train_size=n, random_state=0)
        ).mean()
        for n in sizes
    ]
    for name, Z in features.items()
}
for name, values in scores.items():
    print(f"{name:24}", np.round(values, 3))

figure, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
styles = ["s:", "v:", "^:", "D:", "x--", "o-", "P-"]
for (name, values), style in zip(scores.items(), styles, strict=True):
    ax.plot(sizes, values, style, label=f"{name} ({features[name].shape[1]})")
ax.set(xlabel="labelled digits", ylabel="accuracy on the others", xscale="log")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend(title="features (number)", fontsize=9)
plt.show()
