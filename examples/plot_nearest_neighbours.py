"""
===========================================
Which images does a CNN find alike?
===========================================

Nearest neighbours in feature space, the picture of the AlexNet paper: a query on the
left, and the images whose features are nearest to its right.
"""

# %%
# A network that knows digits
# ---------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier, CNNFeatureTransformer

digits = load_digits()
X_train, images, y_train, labels = train_test_split(
    digits.images, digits.target, test_size=0.6, random_state=0
)
network = CNNClassifier(random_state=0).fit(X_train, y_train)

# %%
# Neighbours by features, and by pixels
# -------------------------------------
# Among the digits that the network has not seen, the share of neighbours that show the
# digit of the query. Features are an ordinary step of a pipeline.

from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

spaces = {
    "features": CNNFeatureTransformer(network),
    "pixels": FunctionTransformer(lambda X: X.reshape(len(X), -1)),
}
features = {}
for name, transformer in spaces.items():
    pipeline = make_pipeline(transformer, StandardScaler())
    features[name] = pipeline.fit_transform(images)
    index = NearestNeighbors(n_neighbors=6).fit(features[name])
    neighbours = index.kneighbors(return_distance=False)
    share = np.mean(labels[neighbours] == labels[:, None])
    print(f"neighbours by {name:8}: {share:.1%} show the digit of the query")

# %%
# The picture
# -----------
# The fifth example of some digits is the query. A broken frame marks a neighbour that
# is another digit.

from skcnn.inspection import NeighborsDisplay

queries = [int(np.flatnonzero(labels == digit)[4]) for digit in (1, 3, 5, 8, 9)]
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for ax, name in zip(axes, spaces, strict=True):
    ax.set_title(f"nearest by {name}", pad=16)
    NeighborsDisplay.from_features(
        features[name], images, labels, queries=queries, n_neighbors=5, ax=ax
    )
plt.show()
