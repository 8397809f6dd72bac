"""
=============================================================
Train from scratch, take features, or fine-tune?
=============================================================

The answer depends on the number of images. With 2 to 15 patches of each of five
materials, this example compares a network trained from scratch, a logistic regression
on features of a pretrained network, and fine-tuning of this network.
"""

# %%
# Patches of photographs
# ----------------------
# The photographs come with scikit-image. Training patches are from the upper half of
# each, test patches from the lower half.

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

photographs = {
    "brick": data.brick(),
    "fur": (255 * color.rgb2gray(data.cat()[:, 60:390])).astype(np.uint8),
    "grass": data.grass(),
    "gravel": data.gravel(),
    "moon": data.moon(),
}
SIDE = 64
N_TRAIN, N_TEST = 15, 20

rng = np.random.default_rng(0)
X, y = [], []
for _ in range(N_TRAIN + N_TEST):  # one patch of each photograph in turn
    for name, photograph in photographs.items():
        half = len(photograph) // 2
        area = photograph[:half] if len(X) < 5 * N_TRAIN else photograph[half:]
        top, left = rng.integers(0, np.subtract(area.shape, SIDE))
        patch = area[top : top + SIDE, left : left + SIDE]
        low, high = rng.uniform(0, 80), rng.uniform(150, 255)
        patch = np.interp(patch, np.percentile(patch, [1, 99]), [low, high])
        X.append(np.rot90(patch, rng.integers(4)).astype(np.uint8))
        y.append(name)
X, y = np.array(X), np.array(y)
X_train, X_test = np.split(X, [5 * N_TRAIN])
y_train, y_test = np.split(y, [5 * N_TRAIN])

# %%
# Four models
# -----------

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import CNNClassifier, CNNFeatureTransformer, FineTunedClassifier

models = {
    "from scratch": CNNClassifier(
        n_filters=8, augmentation="standard", max_epochs=20, random_state=0
    ),
    "features + logistic regression": make_pipeline(
        CNNFeatureTransformer(image_size=SIDE),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    ),
    "fine-tuned, head only": FineTunedClassifier(
        trainable="head", image_size=SIDE, random_state=0
    ),
    "fine-tuned, two blocks": FineTunedClassifier(
        trainable=2, image_size=SIDE, max_epochs=3, random_state=0
    ),
}
sizes = [2, 5, 15]
scores = {
    name: [
        model.fit(X_train[: 5 * n], y_train[: 5 * n]).score(X_test, y_test)
        for n in sizes
    ]
    for name, model in models.items()
}
for name, values in scores.items():
    print(f"{name:31}", np.round(values, 3))

# %%
# Accuracy by number of patches
# -----------------------------

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for (name, values), style in zip(
    scores.items(), ["x:", "o-", "s--", "^-."], strict=True
):
    ax.plot(sizes, values, style, label=name)
ax.axhline(1 / 5, color="grey", lw=1)
ax.annotate("guessing", (sizes[-1], 1 / 5), ha="right", va="bottom", color="grey")
ax.set(xlabel="training patches of each material", ylabel="accuracy", ylim=(0, 1.03))
ax.set_xticks(sizes)
ax.legend()
plt.show()
