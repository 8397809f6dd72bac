"""
=====================================================
Are similar images near each other in feature space?
=====================================================

A network trained on the digits 0 to 4 computes features of the digits 5 to 9. A
two-dimensional projection shows whether digits of one class are near each other.
"""

# %%
# A network trained on other digits
# ---------------------------------

from sklearn.datasets import load_digits

from skcnn import CNNClassifier

digits = load_digits()
is_known = digits.target < 5
network = CNNClassifier(random_state=0)
network.fit(digits.images[is_known], digits.target[is_known])
X, y = digits.images[~is_known], digits.target[~is_known]

# %%
# Two projections
# ---------------
# Principal components keep large distances, t-SNE keeps neighbours. Thumbnails that
# would overlap are left out.

import matplotlib.pyplot as plt

from skcnn.inspection import EmbeddingDisplay

figure, axes = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
for ax, method in zip(axes, ["pca", "tsne"], strict=True):
    EmbeddingDisplay.from_estimator(
        network, X, y, method=method, side=0.07, random_state=0, ax=ax
    )
plt.show()
