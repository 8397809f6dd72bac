"""
==================================================
Why ReLU and not sigmoid? The gradient vanishes
==================================================

The derivative of the sigmoid is at most 1/4. Backpropagation multiplies by it in each
layer, so the gradient of the first layers is tiny and they hardly learn. This example
measures the gradient of each layer and the accuracy after training.
"""

# %%
# The gradient of each layer
# --------------------------
# ``module_`` is a torch module, so one backward pass gives the gradient of all weights.
# The networks have six blocks without batch normalisation, as was once usual. A
# learning rate near 0 keeps the initial weights, whose gradient is measured.

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from skcnn import CNNClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, train_size=800, random_state=0
)
network = CNNClassifier(
    n_layers=6,
    n_filters=16,
    filter_growth=1,
    pooling=None,
    norm=None,
    max_epochs=10,
    random_state=0,
)


def gradient_by_layer(clf):
    """Return the mean absolute gradient of each convolution's weights."""
    clf.set_params(lr=1e-12, weight_decay=0, max_epochs=1).fit(X_train, y_train)
    images = torch.tensor(X_train[:, None] / 16 - 0.3, dtype=torch.float32)
    outputs = clf.module_(images)
    nn.functional.cross_entropy(outputs, torch.tensor(y_train)).backward()
    layers = [layer for layer in clf.module_.modules() if isinstance(layer, nn.Conv2d)]
    return [layer.weight.grad.abs().mean().item() for layer in layers]


# %%
# Three networks: gradient and accuracy
# -------------------------------------
# Batch normalisation helps the sigmoid by keeping its inputs in the steep range.

from sklearn.base import clone

settings = {
    "ReLU": {"activation": "relu"},
    "sigmoid": {"activation": "sigmoid"},
    "sigmoid, batch norm": {"activation": "sigmoid", "norm": "batch"},
}
gradients, losses, accuracy = {}, {}, {}
for name, params in settings.items():
    clf = clone(network).set_params(**params).fit(X_train, y_train)
    losses[name], accuracy[name] = clf.loss_curve_, clf.score(X_test, y_test)
    gradients[name] = gradient_by_layer(clone(network).set_params(**params))
    print(f"{name:20} accuracy {accuracy[name]:.3f}, gradient by layer:", end=" ")
    print(*(f"{gradient:.0e}" for gradient in gradients[name]))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, style in zip(settings, ["o-", "s--", "^:"], strict=True):
    left.plot(range(1, 7), gradients[name], style, label=name)
    label = f"{name}: accuracy {accuracy[name]:.2f}"
    right.plot(range(1, 11), losses[name], style, label=label)
left.set(
    xlabel="layer", ylabel="mean size of the gradient", yscale="log", title="at start"
)
right.set(xlabel="epoch", ylabel="training loss", title="training")
right.legend()
plt.show()
