"""
==============================================================
Which images does a classifier get wrong, and how sure is it?
==============================================================

The score tells how many images are misclassified, and the images often tell why: an
image is hard, its label is wrong, or the model relies on something irrelevant.
"""

# %%
# Few training digits
# -------------------

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skcnn import CNNClassifier

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, train_size=200, random_state=0
)
clf = CNNClassifier(augmentation="light", random_state=0).fit(X_train, y_train)
print(f"accuracy on {len(X_test)} test digits: {clf.score(X_test, y_test):.3f}")

# %%
# The most confident errors first
# -------------------------------
# Any classifier works, even without ``predict_proba``.

from skcnn.inspection import ConfusionImagesDisplay

ConfusionImagesDisplay.from_estimator(clf, X_test, y_test, n_images=10, n_columns=5)
plt.show()
