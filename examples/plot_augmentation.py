"""
=======================================================
How does augmentation change images and the accuracy?
=======================================================

Augmentation changes each training image at random in every epoch. The pictures show
the presets; the curves show the accuracy with few training digits.
"""

# %%
# The presets on a photograph
# ---------------------------
# Presets are applied to a batch of torch tensors, as in training.

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage.data import cat
from skimage.transform import resize

from skcnn.data.augmentation import make_augmentation

photograph = resize(cat()[:, 75:375], (96, 96), anti_aliasing=True)  # (H, W, C), 0 to 1
batch = (
    torch.tensor(photograph, dtype=torch.float32).permute(2, 0, 1).repeat(5, 1, 1, 1)
)
generator = torch.Generator().manual_seed(3)
presets = ["light", "standard", "strong"]
pictures = {}
for preset in presets:
    augmented, _ = make_augmentation(preset, n_axes=2)(batch.clone(), generator)
    pictures[preset] = augmented.permute(0, 2, 3, 1).clamp(0, 1).numpy()

# %%
# Accuracy with few training images
# ---------------------------------
# The digits of scikit-learn are centred. Test digits are shifted by a pixel to the left
# or to the right, as they may be in practice.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=1000, random_state=0
)
X_test[::2] = np.roll(X_test[::2], 1, axis=2)
X_test[1::2] = np.roll(X_test[1::2], -1, axis=2)
sizes = [50, 100, 200]
scores = {None: [], "light": [], "standard": []}
for augmentation, values in scores.items():
    clf = CNNClassifier(
        n_layers=2,
        n_filters=16,
        max_epochs=20,
        augmentation=augmentation,
        random_state=0,
    )
    for size in sizes:
        clf.fit(X_train[:size], y_train[:size])
        values.append(clf.score(X_test, y_test))
    print(f"{augmentation!s:9}", np.round(values, 3))

# %%
# Pictures and scores
# -------------------
# ``"standard"`` helps most here, as it shifts images further than ``"light"``. It also
# flips them, which suits photographs better than digits.

figure = plt.figure(figsize=(10, 3.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
for row, preset in zip(left.subplots(3, 5), presets, strict=True):
    for ax, picture in zip(row, pictures[preset], strict=True):
        ax.imshow(picture)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(preset)
ax = right.subplots()
for (name, values), style in zip(scores.items(), ["o-", "s--", "^:"], strict=True):
    ax.plot(sizes, values, style, label=name or "no augmentation")
ax.set(xlabel="training digits", ylabel="accuracy on moved digits", xscale="log")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend()
plt.show()
