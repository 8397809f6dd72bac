"""
=====================================================
How do I train a CNN on the digits of scikit-learn?
=====================================================

As any other classifier: with ``fit``. This example trains a convolutional network on
898 images of 8 × 8 pixels and looks at the digits that it gets wrong.
"""

# %%
# Fit and score
# -------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=0.5, random_state=0
)
clf = CNNClassifier(random_state=0).fit(X_train, y_train, X_val=X_test, y_val=y_test)
print(f"accuracy on {len(X_test)} test digits: {clf.score(X_test, y_test):.4f}")

# %%
# The course of training, and the digits that are hardest
# -------------------------------------------------------
# The test digits were passed as ``X_val``, so they were scored after each epoch, and
# had no influence on training. The hardest digits are those whose label got the lowest
# probability.

probability = clf.predict_proba(X_test)
hardest = np.argsort(probability[np.arange(len(y_test)), y_test])[:6]
predicted = clf.classes_[probability.argmax(1)]

figure = plt.figure(figsize=(9, 3.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(5, 4))
ax = left.subplots()
epochs = range(1, clf.n_iter_ + 1)
ax.plot(epochs, clf.loss_curve_, marker="o", label="training loss")
ax.plot(epochs, clf.history_[:, "valid_loss"], marker="s", ls="--", label="test loss")
ax.set(xlabel="epoch", ylabel="cross-entropy", yscale="log", title="training")
ax.set_xticks(range(0, clf.n_iter_ + 1, 5))
ax.legend()
for ax, row in zip(right.subplots(2, 3).flat, hardest, strict=True):
    ax.imshow(X_test[row], cmap="gray_r")
    verdict = "right" if predicted[row] == y_test[row] else "wrong"
    ax.set_title(f"{y_test[row]}, predicted {predicted[row]}:\n{verdict}", fontsize=9)
    ax.set(xticks=[], yticks=[])
right.suptitle("hardest test digits")
plt.show()
