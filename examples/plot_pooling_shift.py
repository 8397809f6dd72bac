"""
================================================================
Max or average pooling: which one survives a shift of the image?
================================================================

Pooling makes a network depend less on the exact position of an object. Networks with
max, average and no pooling are trained on centred digits and tested on digits with
increasing shifts.
"""

# %%
# Digits on a larger canvas
# -------------------------
# The training digits are in the middle of 16 × 16 pixels. Test digits are moved to the
# right.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier

digits = load_digits()
X = np.pad(digits.images, ((0, 0), (4, 4), (4, 4)))
X_train, X_test, y_train, y_test = train_test_split(
    X, digits.target, train_size=800, random_state=0
)
shifts = range(5)
shifted = [np.roll(X_test, shift, axis=2) for shift in shifts]

# %%
# Three networks
# --------------
# Without pooling, the fully connected layer has weights for each position, and those at
# a new position were not trained on the digit.

scores = {}
for pooling in ["max", "avg", None]:
    clf = CNNClassifier(
        n_layers=2, n_filters=16, pooling=pooling, max_epochs=8, random_state=0
    )
    clf.fit(X_train, y_train)
    scores[pooling] = [clf.score(images, y_test) for images in shifted]
    print(f"{pooling!s:5}", np.round(scores[pooling], 3))

# %%
# Accuracy by shift
# -----------------
# Max and average pooling help equally. Neither makes the network invariant to shifts.
# For that, train on shifted images: ``augmentation="shift"``.

figure = plt.figure(figsize=(8, 4.2), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 3))
for ax, shift in zip(top.subplots(1, len(shifts)), shifts, strict=True):
    ax.imshow(shifted[shift][0], cmap="gray_r")
    ax.set(xticks=[], yticks=[])
ax = bottom.subplots()
for (pooling, values), style in zip(scores.items(), ["o-", "s--", "^:"], strict=True):
    label = "no pooling" if pooling is None else f"{pooling} pooling"
    ax.plot(shifts, values, style, label=label)
ax.set(xlabel="shift to the right, pixels", ylabel="accuracy", xticks=shifts)
ax.legend()
plt.show()
