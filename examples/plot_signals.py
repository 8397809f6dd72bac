"""
===============================================================
Which part of a signal determines its class?
===============================================================

A pulse of one of three shapes begins at a random step of a noisy signal. A
convolution finds a shape at any position. A linear model has a separate weight for each
step, and nearest neighbours need aligned pulses.
"""

# %%
# Signals of unequal lengths
# --------------------------
# The signals last 160 to 240 steps. :func:`~skcnn.data.pad_signals` stacks them as
# ``(n, channels, length)`` and pads or cuts test signals to the length of the training
# signals.

import matplotlib.pyplot as plt
import numpy as np

from skcnn.data import pad_signals

PULSES = {
    "triangle": np.concatenate([np.linspace(0, 1.5, 12), np.linspace(1.5, 0, 12)]),
    "rectangle": np.concatenate([[0.0], np.ones(22), [0.0]]),
    "burst": np.sin(np.linspace(0, 6 * np.pi, 24)) * 1.3,
}
names = list(PULSES)


def record(n_signals, rng):
    """Return noisy signals of unequal lengths and the names of their pulses."""
    labels = rng.choice(names, size=n_signals)
    signals = []
    for label in labels:
        signal = rng.normal(scale=0.4, size=rng.integers(160, 241))
        start = rng.integers(0, len(signal) - 24)
        signal[start : start + 24] += PULSES[label]
        signals.append(signal)
    return signals, labels


rng = np.random.default_rng(0)
signals, y_train = record(400, rng)
X_train = pad_signals(signals)
signals, y_test = record(400, rng)
X_test = pad_signals(signals, length=X_train.shape[2], truncate=True)
print(X_train.shape, X_test.shape)

# %%
# Accuracy by number of signals
# -----------------------------
# Signals of one channel need no ``channel_axis``; for several channels in this layout,
# set ``channel_axis=1``. Three blocks with pooling by 4 reduce 240 steps to three, so
# the network hardly depends on the position of a pulse. Random shifts by up to a
# quarter of the signal have the same purpose. Small sets get more epochs, for the same
# number of weight updates.

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from skcnn import CNNClassifier
from skcnn.data.augmentation import Shift

network = CNNClassifier(n_filters=16, kernel_size=7, pool_size=4, random_state=0)
models = {
    "network, shifted signals": clone(network).set_params(augmentation=Shift(0.25)),
    "network": network,
    "nearest neighbour": KNeighborsClassifier(1),
    "logistic regression": LogisticRegression(max_iter=2000),
}
sizes = [50, 100, 200, 400]
scores = {name: [] for name in models}
for size in sizes:
    for name, model in models.items():
        if "network" in name:
            model.set_params(max_epochs=4000 // size)
        model.fit(X_train[:size, 0], y_train[:size])
        scores[name].append(model.score(X_test[:, 0], y_test))
for name, values in scores.items():
    print(f"{name:25} {np.round(values, 3)}")

# %%
# The part that matters
# ---------------------
# A window of 25 steps is set to zero at each position. If the probability of the true
# class decreases, the window is evidence for the class.


def importance(model, signal, name):
    """Return the decrease of the class probability with each window set to 0."""
    steps = np.arange(len(signal))
    is_covered = np.abs(steps - steps[:, None]) <= 12
    covered = np.where(is_covered, 0, signal)
    column = list(model.classes_).index(name)
    before = model.predict_proba(signal[None])[0, column]
    return before - model.predict_proba(covered)[:, column]


finder = models["network, shifted signals"]
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
is_right = finder.predict(X_test[:, 0]) == y_test
for offset, name in enumerate(names):
    signal = X_test[np.flatnonzero(is_right & (y_test == name))[1], 0]
    fall = importance(finder, signal, name)
    axes[0].plot(signal - 6 * offset, color="black", lw=0.8)
    base = -6 * offset - 3
    axes[0].fill_between(np.arange(len(fall)), base, base + 1.5 * fall, color="C1")
    axes[0].text(1, 1.6 - 6 * offset, name)
axes[0].set(xlabel="step", yticks=[], title="signals and important steps (orange)")
for (name, values), style in zip(
    scores.items(), ["o-", "s--", "^:", "v-."], strict=True
):
    axes[1].plot(sizes, values, style, label=name)
axes[1].axhline(1 / 3, color="grey", lw=1)
axes[1].set(xlabel="training signals", ylabel="accuracy", xscale="log")
axes[1].set_xticks(sizes, sizes)
axes[1].minorticks_off()
axes[1].legend()
plt.show()
