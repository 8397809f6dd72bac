"""
=====================================================
Which solid is it? Volumes, and slices of them
=====================================================

A volume is an array with three axes, such as a scan. Balls, shells and rings are
placed at random in noisy volumes. A network with convolutions along three axes sees the
whole solid; the same estimator on a slice sees a disc or a circle.
"""

# %%
# Three solids
# ------------
# All have about the same number of voxels, so that brightness does not tell them apart.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

SIDE = 16
grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1)


def draw(kind, rng):
    """Return a noisy volume with a solid in it."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    offset = grid - rng.uniform(6, SIDE - 7, size=3)
    radius = np.linalg.norm(offset, axis=-1)
    height = offset @ axis
    around = np.sqrt(np.clip(radius**2 - height**2, 0, None))
    solid = {
        "ball": radius < 3.9,
        "shell": np.abs(radius - 3.9) < 0.65,
        "ring": np.hypot(around - 3.9, height) < 1.78,
    }[kind]
    return solid + rng.normal(scale=0.8, size=solid.shape)


rng = np.random.default_rng(0)
kinds = ["ball", "shell", "ring"]
y = np.repeat(kinds, 150)
volumes = np.array([draw(kind, rng) for kind in y])[..., None]  # (n, D, H, W, C)
X_train, X_test, y_train, y_test = train_test_split(
    volumes, y, test_size=0.5, stratify=y, random_state=0
)

# %%
# Whole volumes, the middle slice, and a linear model
# ---------------------------------------------------

from sklearn.linear_model import LogisticRegression

from skcnn import CNNClassifier

network = CNNClassifier(n_layers=2, n_filters=8, max_epochs=20, random_state=0)
middle = SIDE // 2
linear = LogisticRegression(max_iter=200)
accuracy = {
    "3-D network": network.fit(X_train, y_train).score(X_test, y_test),
    "2-D network,\nmiddle slice": network.fit(X_train[:, middle], y_train).score(
        X_test[:, middle], y_test
    ),
    "logistic regression": linear.fit(X_train.reshape(len(X_train), -1), y_train).score(
        X_test.reshape(len(X_test), -1), y_test
    ),
}
for name, value in accuracy.items():
    print(f"{' '.join(name.split()):28} {value:.3f}")

# %%
# Slices and accuracies
# ---------------------

figure = plt.figure(figsize=(10, 4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
slices = [4, 6, 8, 10, 12]
for row, kind in zip(left.subplots(3, len(slices)), kinds, strict=True):
    volume = volumes[y == kind][0, ..., 0]
    for ax, index in zip(row, slices, strict=True):
        ax.imshow(volume[index], cmap="gray", vmin=-1, vmax=2)
        ax.set(xticks=[], yticks=[])
        if kind == kinds[0]:
            ax.set_title(f"slice {index}")
    row[0].set_ylabel(kind)
ax = right.subplots()
bars = ax.barh(list(accuracy), list(accuracy.values()))
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.axvline(1 / 3, color="black", ls=":")
ax.set(xlabel="accuracy (dotted line: guessing)", xlim=(0, 1.15))
ax.invert_yaxis()
plt.show()
