"""
===========================================
Which images does a CNN find alike?
===========================================

Nearest neighbours in feature space, the picture of the AlexNet paper: a query on the
left, and the images whose features are nearest on the right. With
:class:`~skcnn.CNNFeatureTransformer` the search is an ordinary pipeline.
"""

# %%
# A network that knows digits
# ---------------------------
# An unfitted classifier as backbone would be trained on whatever the pipeline
# passes. A fitted one is used as it is.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcnn import CNNClassifier, CNNFeatureTransformer

digits = load_digits()
X_train, images, y_train, labels = train_test_split(
    digits.images, digits.target, test_size=0.6, random_state=0
)
network = CNNClassifier(random_state=0).fit(X_train, y_train)

# %%
# Neighbours by features, and by pixels
# -------------------------------------
# Among the digits that the network has not seen, 500 are searched in and the
# others are queries.

spaces = {
    "features": CNNFeatureTransformer(network),
    "pixels": FunctionTransformer(lambda X: X.reshape(len(X), -1)),
}
neighbours, found = {}, {}
for name, transformer in spaces.items():
    pipeline = make_pipeline(transformer, StandardScaler())
    index = NearestNeighbors(n_neighbors=6).fit(pipeline.fit_transform(images[:500]))
    neighbours[name] = index.kneighbors(
        pipeline.transform(images[500:]), return_distance=False
    )
    found[name] = np.mean(labels[neighbours[name]] == labels[500:, None])
    print(f"neighbours by {name:8}: {found[name]:.1%} show the digit of the query")

# %%
# The picture
# -----------

queries = [
    500 + int(np.flatnonzero(labels[500:] == digit)[1]) for digit in (1, 3, 5, 8, 9)
]
figure, axes = plt.subplots(
    len(queries),
    7,
    figsize=(7, 5.4),
    layout="constrained",
    subplot_kw={"box_aspect": 1},
)
for row, query in zip(axes, queries, strict=True):
    shown = [query, *neighbours["features"][query - 500]]
    for axis, image in zip(row, shown, strict=True):
        wrong = labels[image] != labels[query]
        axis.imshow(images[image], cmap="Reds" if wrong else "gray_r")
        axis.set(xticks=[], yticks=[])
figure.suptitle(
    "Queries (left column) and their nearest neighbours in feature space\n"
    f"{found['features']:.0%} of all neighbours show the digit of the query (red: not)"
)
plt.show()
