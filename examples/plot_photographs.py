"""
======================================================================
Is a pretrained network worth it for a few photographs? Five materials
======================================================================

A support vector machine classifies patches of five photographs: brick, fur, grass,
gravel and the surface of the moon. It is trained on four patches of each, given as
pixels or as features of a network trained on ImageNet.
"""

# %%
# Patches of photographs
# ----------------------
# The photographs come with scikit-image. The grey patches vary in angle and contrast,
# so neither colour nor direction gives the material away. Training patches are from the
# upper half of a photograph, test patches from the lower half.

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data

PHOTOGRAPHS = {
    "brick": data.brick(),
    "fur": (255 * color.rgb2gray(data.cat()[:, 60:390])).astype(np.uint8),
    "grass": data.grass(),
    "gravel": data.gravel(),
    "moon": data.moon(),
}
SIDE = 80


def cut_patches(n_patches, is_lower, rng):
    """Return random patches of each photograph, and the names of the materials."""
    patches, labels = [], []
    for name, photograph in PHOTOGRAPHS.items():
        half = len(photograph) // 2
        area = photograph[half:] if is_lower else photograph[:half]
        for _ in range(n_patches):
            top, left = rng.integers(0, np.subtract(area.shape, SIDE))
            patch = np.rot90(
                area[top : top + SIDE, left : left + SIDE], rng.integers(4)
            )
            low, high = rng.uniform(0, 80), rng.uniform(150, 255)
            patch = np.interp(patch, np.percentile(patch, [1, 99]), [low, high])
            patches.append(patch.astype(np.uint8))
            labels.append(name)
    return np.array(patches), np.array(labels)


rng = np.random.default_rng(0)
X_train, y_train = cut_patches(20, False, rng)
X_test, y_test = cut_patches(40, True, rng)

# %%
# Pixels and features, with the same classifier
# ---------------------------------------------

from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from skcnn import CNNFeatureTransformer

models = {
    "pixels + linear SVC": make_pipeline(
        FunctionTransformer(lambda X: X.reshape(len(X), -1)),
        StandardScaler(),
        SVC(kernel="linear"),
    ),
    "pretrained features + linear SVC": make_pipeline(
        CNNFeatureTransformer(image_size=SIDE), StandardScaler(), SVC(kernel="linear")
    ),
}
few = np.arange(len(X_train)) % 20 < 4  # four patches of each material
predicted = {
    name: model.fit(X_train[few], y_train[few]).predict(X_test)
    for name, model in models.items()
}

figure = plt.figure(figsize=(9, 6.4), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(2, 3))
axes = top.subplots(2, 5)
for (row, column), ax in np.ndenumerate(axes):
    name = list(PHOTOGRAPHS)[column]
    X, y, split = [(X_train, y_train, "train"), (X_test, y_test, "test")][row]
    ax.imshow(X[y == name][0], cmap="gray", vmin=0, vmax=255)
    ax.set(xticks=[], yticks=[], title="" if row else name)
    if column == 0:
        ax.set_ylabel(split)
for ax, (name, y_pred) in zip(bottom.subplots(1, 2), predicted.items(), strict=True):
    ConfusionMatrixDisplay.from_predictions(
        y_test, y_pred, ax=ax, colorbar=False, cmap="Greys"
    )
    ax.set_title(f"{name}\naccuracy {np.mean(y_pred == y_test):.2f}")
    print(f"{name:26} {np.mean(y_pred == y_test):.3f}")
plt.show()
