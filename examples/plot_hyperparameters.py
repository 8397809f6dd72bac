"""
==================================================
Which hyper-parameters matter? One at a time
==================================================

The usual hyper-parameters of a convolutional network are the number of layers, the
number, size and stride of the filters, the learning rate, the batch size and the number
of epochs. One grid search varies each of them separately, on the digits of
scikit-learn.
"""

# %%
# One search over a list of grids
# -------------------------------
# A search over a list of grids tries each grid by itself; it does not combine them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skcnn import CNNClassifier

digits = load_digits()
X, y = digits.images[:1000], digits.target[:1000]

grids = [
    {"n_layers": [1, 2, 3]},
    {"n_filters": [4, 8, 16, 32]},
    {"kernel_size": [1, 2, 3, 5]},
    {"stride": [1, 2, 3]},
    {"lr": [1e-4, 1e-3, 1e-2, 1e-1]},
    {"batch_size": [16, 64, 256]},
    {"max_epochs": [1, 3, 10, 30]},
]
search = GridSearchCV(
    CNNClassifier(n_layers=2, n_filters=16, max_epochs=10, random_state=0),
    grids,
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
    n_jobs=-1,
)
search.fit(X, y)
print(f"best: {search.best_params_}, 3-fold accuracy {search.best_score_:.4f}")

# %%
# The effect of each
# ------------------
# Points are means over the folds, bars their standard deviations.

results = search.cv_results_
figure, axes = plt.subplots(
    1, len(grids), figsize=(14, 3), sharey=True, layout="constrained"
)
for ax, grid in zip(axes, grids, strict=True):
    ((name, values),) = grid.items()
    rows = [i for i, params in enumerate(results["params"]) if name in params]
    ax.errorbar(
        np.arange(len(values)),
        results["mean_test_score"][rows],
        results["std_test_score"][rows],
        marker="o",
        capsize=3,
    )
    ax.set(xlabel=name, xticks=range(len(values)), xticklabels=values)
axes[0].set_ylabel("3-fold accuracy")
figure.suptitle("Digits, two layers of 16 and 32 filters unless stated otherwise")
plt.show()
