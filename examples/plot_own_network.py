"""
============================================
How do I use a network of my own?
============================================

The ``architecture`` can be any torch module class, or a function that returns a module.
Network parameters in its signature can be searched. This example compares networks with
and without skip connections, for several depths.
"""

# %%
# A residual network in twenty lines
# ----------------------------------
# The function gets the shape of an image, ``(channels, height, width)``, and the number
# of outputs. ``n_layers`` and ``n_filters`` come from the estimator.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from torch import nn

from skcnn import CNNClassifier


class Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, x):
        return x + super().forward(x)


def network(block, input_shape, n_outputs, n_layers, n_filters):
    layers = [
        block(nn.Conv2d(n_filters, n_filters, 3, padding=1), nn.ReLU())
        for _ in range(n_layers)
    ]
    return nn.Sequential(
        nn.Conv2d(input_shape[0], n_filters, 3, padding=1),
        nn.ReLU(),
        *layers,
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * n_filters, n_outputs),
    )


def plain(input_shape, n_outputs, n_layers=2, n_filters=16):
    return network(nn.Sequential, input_shape, n_outputs, n_layers, n_filters)


def residual(input_shape, n_outputs, n_layers=2, n_filters=16):
    return network(Residual, input_shape, n_outputs, n_layers, n_filters)


# %%
# Architecture and depth in one search
# ------------------------------------

digits = load_digits()
depths = [2, 6, 12]
search = GridSearchCV(
    CNNClassifier(plain, n_filters=16, max_epochs=8, random_state=0),
    {"architecture": [plain, residual], "n_layers": depths},
    cv=2,
    error_score="raise",
)
search.fit(digits.images[:450], digits.target[:450])
scores = search.cv_results_["mean_test_score"].reshape(2, len(depths))

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.plot(depths, scores[1], "o-", label="with skip connections")
ax.plot(depths, scores[0], "s--", label="without")
ax.axhline(0.1, color="grey", ls=":", label="guessing")
ax.set(xlabel="layers", ylabel="2-fold accuracy", xticks=depths, ylim=(0, 1))
ax.legend()
plt.show()
