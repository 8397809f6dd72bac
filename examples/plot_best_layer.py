"""
===========================================
Which layer of a CNN has the best features?
===========================================

The layer is a parameter of :class:`~skcnn.CNNFeatureTransformer`, so a grid search
finds the best one for each classifier. The network is trained on the digits 0 to 4. Its
features are used to classify the digits 5 to 9 with few labels.
"""

# %%
# Layers by name
# --------------

import tempfile

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skcnn import CNNClassifier, CNNFeatureTransformer

digits = load_digits()
known = digits.target < 5
network = CNNClassifier(random_state=0).fit(digits.images[known], digits.target[known])
X, y = digits.images[~known], digits.target[~known]
print(CNNFeatureTransformer(network).fit(X).layer_names())

# %%
# Layer and classifier, searched together
# ---------------------------------------
# 50 digits have labels, the others are test data. All candidates and splits need the
# same features; with `memory`, each image passes through the network once per layer,
# however large the search is.

layers = ["block1", "block2", "block3", "penultimate"]
classifiers = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "SVC": SVC(),
    "nearest neighbours": KNeighborsClassifier(3),
}
with tempfile.TemporaryDirectory() as folder:
    search = GridSearchCV(
        Pipeline(
            [
                ("features", CNNFeatureTransformer(network, memory=folder)),
                ("scale", StandardScaler()),
                ("classify", SVC()),
            ]
        ),
        {"features__layer": layers, "classify": list(classifiers.values())},
        cv=StratifiedShuffleSplit(10, train_size=50, random_state=0),
    ).fit(X, y)

# %%
# Accuracy by layer
# -----------------

results = pd.DataFrame(search.cv_results_)
names = {str(classifier): name for name, classifier in classifiers.items()}
results["classifier"] = results["param_classify"].astype(str).map(names)
table = results.pivot(
    index="param_features__layer", columns="classifier", values="mean_test_score"
).loc[layers]
print(table.round(3))

figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
table.plot(ax=axis, style=["o-", "s--", "^:"])
axis.set(
    xlabel="layer",
    xticks=range(len(layers)),
    xticklabels=layers,
    ylabel="accuracy from 50 labels",
    title="Digits 5 to 9, features of a network trained on 0 to 4",
)
plt.show()
