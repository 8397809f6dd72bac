"""
=======================================
Which way does the digit move?
=======================================

A clip is an array of frames, and the convolutions of a network run along time as
well as along height and width. The direction of a movement can be seen in a clip, but
not in a single frame.
"""

# %%
# Clips of moving digits
# ----------------------
# Each digit of scikit-learn starts anywhere in a 16 × 16 frame and moves two
# pixels per frame, to the left, right, top or bottom. A digit that leaves the frame on
# one side enters it on the other, so single frames look alike for all directions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

STEPS = {"left": (0, -2), "right": (0, 2), "up": (-2, 0), "down": (2, 0)}
N_FRAMES = 6

rng = np.random.default_rng(0)
digits = load_digits().images[:900].astype(np.uint8)
canvas = np.pad(digits, ((0, 0), (0, 8), (0, 8)))
y = rng.choice(list(STEPS), size=len(canvas))
X = np.empty((len(canvas), N_FRAMES, 16, 16, 1), np.uint8)  # (n, T, H, W, C)
for clip, image, direction in zip(X, canvas, y, strict=True):
    start = rng.integers(0, 16, size=2)
    for t, frame in enumerate(clip):
        shift = start + t * np.array(STEPS[direction])
        frame[..., 0] = np.roll(image, shift, axis=(0, 1))
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Clips and frames
# ----------------
# The number of axes decides how an array is read, so the same estimator takes clips,
# ``(n, T, H, W, C)``, and frames, ``(n, H, W, C)``.

from skcnn import CNNClassifier

network = CNNClassifier(n_layers=2, n_filters=8, max_epochs=10, random_state=0)
accuracy = {
    "clips": network.fit(X_train, y_train).score(X_test, y_test),
    "clips, backwards": network.score(X_test[:, ::-1], y_test),
    "one frame": network.fit(X_train[:, 0], y_train).score(X_test[:, 0], y_test),
}
for name, value in accuracy.items():
    print(f"{name:18} {value:.3f}")

# %%
# Played backwards, the clips show the opposite direction, and the network predicts it:
# its accuracy falls to 0.

figure = plt.figure(figsize=(10, 4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
axes = left.subplots(len(STEPS), N_FRAMES)
for row, direction in zip(axes, STEPS, strict=True):
    for ax, frame in zip(row, X[y == direction][0], strict=True):
        ax.imshow(frame, cmap="gray_r")
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(direction)
ax = right.subplots()
ax.barh(list(accuracy), list(accuracy.values()))
ax.axvline(1 / len(STEPS), color="black", ls=":", label="guessing")
ax.set(xlabel="accuracy", xlim=(0, 1))
ax.invert_yaxis()
ax.legend()
plt.show()
